"""Every field of the SDKs of OpenAI and Anthropic is acted on, refused or ignored for a stated reason."""

from typing import Any

import pytest
from anthropic.types import (
    Base64ImageSourceParam,
    Base64PDFSourceParam,
    ContentBlockSourceParam,
    DocumentBlockParam,
    FileImageSourceParam,
    ImageBlockParam,
    OutputConfigParam,
    PlainTextSourceParam,
    RedactedThinkingBlockParam,
    SearchResultBlockParam,
    TextBlockParam,
    ThinkingBlockParam,
    ThinkingConfigEnabledParam,
    ToolChoiceAnyParam,
    ToolChoiceToolParam,
    ToolParam,
    ToolResultBlockParam,
    ToolUseBlockParam,
    URLImageSourceParam,
    message_count_tokens_params,
)
from anthropic.types import message_create_params as anthropic_create_params
from anthropic.types.beta import BetaAssistantMessageParam, BetaSystemMessageParam, BetaUserMessageParam
from anthropic.types.beta import message_count_tokens_params as beta_count_params
from anthropic.types.beta import message_create_params as beta_create_params
from openai.types import completion_create_params, embedding_create_params, image_edit_params, image_generate_params
from openai.types.audio import speech_create_params, transcription_create_params
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionContentPartImageParam,
    ChatCompletionContentPartInputAudioParam,
    ChatCompletionContentPartRefusalParam,
    ChatCompletionContentPartTextParam,
    ChatCompletionDeveloperMessageParam,
    ChatCompletionFunctionMessageParam,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionStreamOptionsParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
    chat_completion_content_part_param,
)
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import (
    CustomToolParam,
    EasyInputMessageParam,
    FunctionToolParam,
    NamespaceToolParam,
    ResponseCustomToolCallOutputParam,
    ResponseCustomToolCallParam,
    ResponseFunctionToolCallParam,
    ResponseInputFileParam,
    ResponseInputImageParam,
    ResponseInputTextParam,
    ResponseOutputMessageParam,
    ResponseOutputRefusalParam,
    ResponseOutputTextParam,
    ResponseReasoningItemParam,
    WebSearchPreviewToolParam,
    WebSearchToolParam,
    input_item_list_params,
    response_create_params,
    response_input_item_param,
    response_retrieve_params,
)
from openai.types.shared_params import Reasoning

from shared.dialects.messages import blocks
from shared.dialects.messages.request import CountedFields, MessageFields, WireOutputConfig
from shared.dialects.messages.request import WireThinking as WireThinkingConfig
from shared.dialects.messages.tools import WireFunction as WireAnthropicFunction
from shared.dialects.messages.tools import WireToolChoice
from shared.dialects.openai.caching import WirePromptCacheOptions
from shared.dialects.openai.chat import OpenAIChat, WireFunction, WireStreamOptions, WireTool
from shared.dialects.openai.completions import OpenAICompletion
from shared.dialects.openai.embeddings import OpenAIEmbeddings
from shared.dialects.openai.images import OpenAIImageEdit, OpenAIImages
from shared.dialects.openai.messages import WireFile, WireMessage, WirePart, WireToolCall
from shared.dialects.openai.speech import OpenAISpeech
from shared.dialects.openai.transcription import OpenAITranscription
from shared.dialects.openai.web_search import WireUserLocation, WireWebSearch
from shared.dialects.responses import create, items, stored, tools

# Files and lists, which are not among a form's fields.
IMAGE_FILES = {"image", "mask"}
# A word of Python, which no field can be called; OpenAI alone goes on while such a call runs.
ASYNCHRONOUS = {"async"}
AUDIO_FILES_AND_LISTS = {"file", "timestamp_granularities", "languages", "keywords"}


def fields_of(*types: Any) -> set[str]:
    """The names in TypedDicts, those that they inherit included."""
    return {name for each in types for name in each.__required_keys__ | each.__optional_keys__}


@pytest.mark.parametrize(
    ("wire", "known", "elsewhere"),
    [
        (
            OpenAIChat,
            fields_of(
                chat_create_params.CompletionCreateParamsNonStreaming,
                chat_create_params.CompletionCreateParamsStreaming,
            ),
            set(),
        ),
        (
            WireMessage,
            fields_of(
                ChatCompletionAssistantMessageParam,
                ChatCompletionDeveloperMessageParam,
                ChatCompletionFunctionMessageParam,
                ChatCompletionSystemMessageParam,
                ChatCompletionToolMessageParam,
                ChatCompletionUserMessageParam,
            ),
            set(),
        ),
        (
            WirePart,
            fields_of(
                ChatCompletionContentPartImageParam,
                ChatCompletionContentPartInputAudioParam,
                ChatCompletionContentPartRefusalParam,
                ChatCompletionContentPartTextParam,
                chat_completion_content_part_param.File,
            ),
            set(),
        ),
        (WireFile, fields_of(chat_completion_content_part_param.FileFile), set()),
        (WireToolCall, fields_of(ChatCompletionMessageFunctionToolCallParam), set()),
        (WireTool, fields_of(ChatCompletionFunctionToolParam), set()),
        (WireFunction, fields_of(chat_create_params.Function), set()),
        (WireStreamOptions, fields_of(ChatCompletionStreamOptionsParam), set()),
        (WirePromptCacheOptions, fields_of(chat_create_params.PromptCacheOptions), set()),
        (WireWebSearch, fields_of(chat_create_params.WebSearchOptions), set()),
        (WireUserLocation, fields_of(chat_create_params.WebSearchOptionsUserLocation), set()),
        (
            OpenAICompletion,
            fields_of(
                completion_create_params.CompletionCreateParamsNonStreaming,
                completion_create_params.CompletionCreateParamsStreaming,
            ),
            set(),
        ),
        (OpenAIEmbeddings, fields_of(embedding_create_params.EmbeddingCreateParams), set()),
        (
            OpenAIImages,
            fields_of(
                image_generate_params.ImageGenerateParamsNonStreaming,
                image_generate_params.ImageGenerateParamsStreaming,
            ),
            set(),
        ),
        (
            OpenAIImageEdit,
            fields_of(image_edit_params.ImageEditParamsNonStreaming, image_edit_params.ImageEditParamsStreaming),
            IMAGE_FILES,
        ),
        (
            OpenAITranscription,
            fields_of(
                transcription_create_params.TranscriptionCreateParamsNonStreaming,
                transcription_create_params.TranscriptionCreateParamsStreaming,
            ),
            AUDIO_FILES_AND_LISTS,
        ),
        (OpenAISpeech, fields_of(speech_create_params.SpeechCreateParams), set()),
        (
            MessageFields,
            fields_of(
                anthropic_create_params.MessageCreateParamsNonStreaming,
                anthropic_create_params.MessageCreateParamsStreaming,
                beta_create_params.MessageCreateParamsNonStreaming,
                beta_create_params.MessageCreateParamsStreaming,
            ),
            set(),
        ),
        (
            CountedFields,
            fields_of(message_count_tokens_params.MessageCountTokensParams, beta_count_params.MessageCountTokensParams),
            set(),
        ),
        (blocks.WireMessage, fields_of(BetaAssistantMessageParam, BetaSystemMessageParam, BetaUserMessageParam), set()),
        (blocks.WireText, fields_of(TextBlockParam), set()),
        (blocks.WireImage, fields_of(ImageBlockParam), set()),
        (
            blocks.WireDocumentSource,
            fields_of(
                Base64ImageSourceParam,
                Base64PDFSourceParam,
                ContentBlockSourceParam,
                FileImageSourceParam,
                PlainTextSourceParam,
                URLImageSourceParam,
            ),
            set(),
        ),
        (blocks.WireDocument, fields_of(DocumentBlockParam), set()),
        (blocks.WireSearchResult, fields_of(SearchResultBlockParam), set()),
        (blocks.WireThinking, fields_of(ThinkingBlockParam), set()),
        (blocks.WireRedactedThinking, fields_of(RedactedThinkingBlockParam), set()),
        (blocks.WireToolUse, fields_of(ToolUseBlockParam), set()),
        (blocks.WireToolResult, fields_of(ToolResultBlockParam), set()),
        (WireAnthropicFunction, fields_of(ToolParam), set()),
        (WireToolChoice, fields_of(ToolChoiceAnyParam, ToolChoiceToolParam), set()),
        (WireThinkingConfig, fields_of(ThinkingConfigEnabledParam), set()),
        (WireOutputConfig, fields_of(OutputConfigParam), set()),
        (
            create.CreateBody,
            fields_of(
                response_create_params.ResponseCreateParamsNonStreaming,
                response_create_params.ResponseCreateParamsStreaming,
            ),
            set(),
        ),
        (create.WireReasoning, fields_of(Reasoning), set()),
        (create.WireStreamOptions, fields_of(response_create_params.StreamOptions), set()),
        (create.WireCacheOptions, fields_of(response_create_params.PromptCacheOptions), set()),
        (items.WireMessageItem, fields_of(EasyInputMessageParam, ResponseOutputMessageParam), set()),
        (
            items.WirePart,
            fields_of(
                ResponseInputTextParam,
                ResponseInputImageParam,
                ResponseInputFileParam,
                ResponseOutputTextParam,
                ResponseOutputRefusalParam,
            ),
            set(),
        ),
        (items.WireFunctionCall, fields_of(ResponseFunctionToolCallParam), ASYNCHRONOUS),
        (items.WireCustomCall, fields_of(ResponseCustomToolCallParam), ASYNCHRONOUS),
        (
            items.WireCallOutput,
            fields_of(response_input_item_param.FunctionCallOutput, ResponseCustomToolCallOutputParam),
            set(),
        ),
        (items.WireReasoningItem, fields_of(ResponseReasoningItemParam), set()),
        (items.WireAdditionalTools, fields_of(response_input_item_param.AdditionalTools), set()),
        (tools.WireFunctionTool, fields_of(FunctionToolParam), ASYNCHRONOUS),
        (tools.WireCustomTool, fields_of(CustomToolParam), ASYNCHRONOUS),
        (tools.WireNamespace, fields_of(NamespaceToolParam), set()),
        (tools.WireWebSearchTool, fields_of(WebSearchToolParam, WebSearchPreviewToolParam), set()),
        (
            stored.RetrieveQuery,
            fields_of(
                response_retrieve_params.ResponseRetrieveParamsNonStreaming,
                response_retrieve_params.ResponseRetrieveParamsStreaming,
            ),
            set(),
        ),
        (stored.ItemsQuery, fields_of(input_item_list_params.InputItemListParams), set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_field_of_the_sdk_is_decided_on(wire: Any, known: set[str], elsewhere: set[str]) -> None:
    assert known, "the SDK's type has moved"
    assert known - set(wire.model_fields) - elsewhere == set()
    assert elsewhere <= known
