"""Chat by generateContent: https://ai.google.dev/api/generate-content."""

from collections.abc import Mapping
from typing import assert_never

from shared.errors import UnsupportedFeature
from shared.providers.base import Call, ChatAdapter, FrameDecoder, Reader
from shared.providers.gemini.chat_messages import contents
from shared.providers.gemini.chat_reader import ChatReader
from shared.providers.gemini.chat_schema import supported_schema
from shared.providers.gemini.requests import generate_content, int32, is_gemini_3, without_none
from shared.providers.gemini.thinking import thinking_config
from shared.providers.gemini.vendor import vendor as gemini
from shared.providers.json_schema import Budget
from shared.schemas.chat import (
    ChatRequest,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    ServiceTier,
    Tool,
)
from shared.schemas.events import ChatEvent
from shared.schemas.model import Capability, Model

# https://ai.google.dev/gemini-api/docs/flex-inference and …/priority-inference. None is the vendor's choice.
_TIERS: Mapping[ServiceTier | None, str] = {"default": "standard", "flex": "flex", "priority": "priority"}


class GeminiChat:
    """Chat. Ignores `logit_bias`, `verbosity`, `user`, `metadata`, cache points and `parallel_tool_calls`, which the
    API lacks, and penalties, which every model rejects ("Penalty is not enabled for this model",
    https://github.com/google-gemini/cookbook/issues/1290).
    """

    vendor = gemini

    def call(self, request: ChatRequest, model: Model) -> Call:
        """See https://ai.google.dev/api/generate-content#method:-models.generatecontent.

        Raises UnsupportedFeature for images by URL and, before Gemini 3, for JSON output together with tools and for
        images in tool results; InvalidRequest for tool call arguments that are not a JSON object and for JSON schemas
        that cannot be used.
        """
        if request.response_format and request.tools and not is_gemini_3(model):
            raise UnsupportedFeature(f"The model '{model.id}' does not support JSON output together with tools.")
        budget = Budget()
        image_output = _has_image_output(request, model)
        body: JsonObject = {"contents": contents(request.messages, model, image_output=image_output)}
        if request.system:
            body["systemInstruction"] = {"parts": [{"text": request.system}]}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_function(tool, budget) for tool in request.tools]}]
            if config := _calling_config(request):
                body["toolConfig"] = {"functionCallingConfig": config}
        if request.web_search is not None and not (request.web_search.optional and request.tools):
            if request.tools:
                raise UnsupportedFeature(f"The model '{model.id}' does not support tools together with web search.")
            body["tools"] = [{"googleSearch": {}}]  # it has no settings of ours
        if tier := _TIERS.get(request.service_tier):
            body["serviceTier"] = tier
        if config := _generation_config(request, model, budget, image_output=image_output):
            body["generationConfig"] = config
        return generate_content(body, model, stream=request.stream)

    def wire(self, model: Model) -> None:
        return None

    def frames(self) -> FrameDecoder:
        """Each frame is a GenerateContentResponse with the next parts."""
        return gemini.frames()

    def reader(self, request: ChatRequest) -> Reader[ChatEvent]:
        """A reader of one GenerateContentResponse, or of the frames of a stream."""
        return ChatReader()


def _has_image_output(request: ChatRequest, model: Model) -> bool:
    """Whether the response may hold images: the caller asked for them, or the model is an image model.

    Image models do not support tools; a catalog row that stands for many models claims both capabilities.
    """
    return request.image_output or (
        Capability.IMAGE_OUTPUT in model.capabilities and Capability.FUNCTION_CALLING not in model.capabilities
    )


def _generation_config(request: ChatRequest, model: Model, budget: Budget, *, image_output: bool) -> JsonObject:
    """See https://ai.google.dev/api/generate-content#v1beta.GenerationConfig."""
    config: JsonObject = {
        # An image takes 1,120 tokens or more; a limit meant for text would cut it off.
        "maxOutputTokens": None if image_output else request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k or None,
        "candidateCount": request.n if request.n > 1 else None,
        "stopSequences": list(request.stop) or None,
        "seed": int32(request.seed),
        "responseLogprobs": True if request.logprobs else None,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "responseModalities": ["TEXT", "IMAGE"] if image_output else None,
        "thinkingConfig": thinking_config(request.reasoning_effort, model, image_output=image_output),
        **_output_format(request.response_format, budget),
    }
    return without_none(config)


def _output_format(response_format: JsonObjectFormat | JsonSchemaFormat | None, budget: Budget) -> JsonObject:
    match response_format:
        case None:
            return {}
        case JsonObjectFormat():
            return {"responseMimeType": "application/json"}
        case JsonSchemaFormat():
            schema = supported_schema(response_format.json_schema, budget)
            return {"responseMimeType": "application/json", "responseJsonSchema": schema}
        case _:
            assert_never(response_format)


def _function(tool: Tool, budget: Budget) -> JsonObject:
    """See https://ai.google.dev/api/caching#FunctionDeclaration. Its `parameters` accept an OpenAPI subset only."""
    declaration: JsonObject = {"name": tool.name, "description": tool.description or ""}
    if tool.parameters:
        declaration["parametersJsonSchema"] = supported_schema(tool.parameters, budget)
    return declaration


def _calling_config(request: ChatRequest) -> JsonObject | None:
    """See https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes."""
    strict = any(tool.strict for tool in request.tools)
    match request.tool_choice:
        case None:
            return {"mode": "VALIDATED"} if strict else None
        case "auto":
            # VALIDATED is AUTO with arguments that must satisfy their schema, as they must in ANY.
            return {"mode": "VALIDATED" if strict else "AUTO"}
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case NamedTool(name=name):
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case _:
            assert_never(request.tool_choice)


adapter: ChatAdapter = GeminiChat()
