"""The chat engine: one canonical request in, one canonical response out, the same for the same request."""

import json
from typing import assert_never

from shared.providers.sandbox import conversation, tokens
from shared.providers.sandbox.json_schema import Hints, make
from shared.providers.sandbox.limits import Produced, limited
from shared.providers.sandbox.logprobs import logprobs
from shared.providers.sandbox.reasoning import think
from shared.providers.sandbox.reflection import reflect, variant
from shared.providers.sandbox.tool_calls import call_tools
from shared.providers.sandbox.usage import input_usage, output_usage
from shared.schemas.chat import Candidate, ChatRequest, ChatResponse, JsonObjectFormat, JsonSchemaFormat
from shared.schemas.content import Refusal, Text
from shared.schemas.usage import FinishReason

# What a prompt may hold to get an answer that cannot be asked for otherwise.
REFUSE = "[sandbox:refuse]"
FILTER = "[sandbox:filter]"

_TOKENS_BEFORE_FILTER = 8


def respond(request: ChatRequest) -> ChatResponse:
    """The answer to a request. Raises ValueError, with a message for the caller, for one that cannot be answered."""
    candidates = tuple(_candidate(request, index) for index in range(request.n))
    usage = input_usage(request) + output_usage(part for candidate in candidates for part in candidate.parts)
    return ChatResponse(candidates=candidates, usage=usage)


def _candidate(request: ChatRequest, index: int) -> Candidate:
    thinking = think(request)
    answer, natural = _answer(request, index)
    parts, reason = limited([thinking, *answer] if thinking else answer, natural, request.max_tokens, request.stop)
    chances = logprobs(parts, request.top_logprobs or 0) if request.logprobs else None
    return Candidate(index=index, parts=parts, finish_reason=reason, logprobs=chances)


def _answer(request: ChatRequest, index: int) -> tuple[list[Produced], FinishReason]:
    """What a candidate says after its thinking, and how it ends unless a limit ends it earlier."""
    prompt = conversation.prompt(request)
    if REFUSE in prompt:
        return [Refusal(text="I am sorry, but I cannot help with that.")], FinishReason.STOP
    if FILTER in prompt:
        start = tokens.first(reflect(request, index), _TOKENS_BEFORE_FILTER)
        return [Text(text=start)], FinishReason.CONTENT_FILTER
    if request.tools and request.tool_choice != "none" and conversation.user_spoke_last(request):
        return [*call_tools(request, index)], FinishReason.TOOL_CALLS
    return [Text(text=_text(request, index))], FinishReason.STOP


def _text(request: ChatRequest, index: int) -> str:
    prompt = conversation.prompt(request)
    match request.response_format:
        case None:
            return reflect(request, index)
        case JsonObjectFormat():
            return _json({"answer": reflect(request, index), "prompt": prompt, "turns": conversation.turns(request)})
        case JsonSchemaFormat(json_schema=schema):
            return _json(make(schema, Hints.of(prompt, variant(request, index))))
        case _:
            assert_never(request.response_format)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
