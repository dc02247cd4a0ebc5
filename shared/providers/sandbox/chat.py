"""The chat engine: one canonical request in, one canonical response out, the same for the same request."""

import json
from typing import assert_never

from shared.providers.sandbox import conversation, tokens
from shared.providers.sandbox.behaviour import name_of
from shared.providers.sandbox.json_schema import LONGEST_HINT, Budget, Hints, make
from shared.providers.sandbox.limits import Produced, limited
from shared.providers.sandbox.logprobs import logprobs
from shared.providers.sandbox.reasoning import think
from shared.providers.sandbox.reflection import findings, reflect, variant
from shared.providers.sandbox.tool_calls import ToolCaller
from shared.providers.sandbox.triggers import FILTER, REFUSAL, REFUSE
from shared.providers.sandbox.usage import input_usage, output_usage
from shared.schemas.chat import Candidate, ChatRequest, ChatResponse, JsonObjectFormat, JsonSchemaFormat
from shared.schemas.content import Image, Inline, Refusal, Text
from shared.schemas.usage import FinishReason

_TOKENS_BEFORE_FILTER = 8
_DRAWING_MODEL = "image"
_MOST_PICTURES = 10


def respond(request: ChatRequest) -> ChatResponse:
    """The answer to a request. Raises ValueError, with a message for the caller, for one that cannot be answered."""
    engine = _Engine(request)
    candidates = tuple(engine.candidate(index) for index in range(request.n))
    usage = input_usage(request) + output_usage(part for candidate in candidates for part in candidate.parts)
    return ChatResponse(candidates=candidates, usage=usage)


class _Engine:
    """One request: what all its candidates share, and the budget for all of them together."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._budget = Budget()
        self._prompt = conversation.prompt(request)
        self._refuses = REFUSE in self._prompt
        self._filters = FILTER in self._prompt
        self._thinking = think(request)
        self._findings = findings(request)
        self._draws = name_of(request.model) == _DRAWING_MODEL and not (self._refuses or self._filters)
        if self._draws:
            self._findings.append("I drew a picture of it.")
            if request.n > _MOST_PICTURES:
                raise ValueError(f"The sandbox draws at most {_MOST_PICTURES} pictures for one request.")
        self._hints = Hints.of(self._prompt)
        calls = request.tools and request.tool_choice != "none" and conversation.user_spoke_last(request)
        self._caller = ToolCaller(request, self._prompt, self._budget) if calls else None

    def candidate(self, index: int) -> Candidate:
        self._budget.spend(100)
        request, thinking = self._request, self._thinking
        answer, natural = self._answer(index)
        size = sum(len(part.text) for part in answer if isinstance(part, Text))
        self._budget.spend(size // 8 + len(request.stop) * (1 + size // 1000))
        parts, reason = limited([thinking, *answer] if thinking else answer, natural, request.max_tokens, request.stop)
        if request.logprobs:
            self._budget.spend(size // 4 * (1 + (request.top_logprobs or 0)))
        chances = logprobs(parts, request.top_logprobs or 0) if request.logprobs else None
        pictures = (self._picture(index),) if self._draws else ()  # no limit on text touches them
        return Candidate(index=index, parts=(*parts, *pictures), finish_reason=reason, logprobs=chances)

    def _answer(self, index: int) -> tuple[list[Produced], FinishReason]:
        """What a candidate says after its thinking, and how it ends unless a limit ends it earlier."""
        if self._refuses:
            return [Refusal(text=REFUSAL)], FinishReason.STOP
        if self._filters:
            start = tokens.first(self._reflection(index), _TOKENS_BEFORE_FILTER)
            return [Text(text=start)], FinishReason.CONTENT_FILTER
        if self._caller:
            return [*self._caller.calls(index)], FinishReason.TOOL_CALLS
        return [Text(text=self._text(index))], FinishReason.STOP

    def _picture(self, index: int) -> Image:
        from shared.providers.sandbox import pictures  # most models only talk

        shown = (part.source for part in conversation.media(self._request) if isinstance(part, Image))
        inputs = tuple((source.data if isinstance(source, Inline) else source.url).encode() for source in shown)
        motif = pictures.Motif(self._prompt, self._request.seed, index, inputs)
        return Image(source=pictures.inline(motif, *pictures.DEFAULT_SIZE))

    def _reflection(self, index: int) -> str:
        return reflect(self._request, index, self._findings)

    def _text(self, index: int) -> str:
        match self._request.response_format:
            case None:
                return self._reflection(index)
            case JsonObjectFormat():
                prompt, turns = self._prompt[:LONGEST_HINT], conversation.turns(self._request)
                return _json({"answer": self._reflection(index), "prompt": prompt, "turns": turns})
            case JsonSchemaFormat(json_schema=schema):
                return _json(make(schema, self._hints.varied(variant(self._request, index)), self._budget))
            case _:
                assert_never(self._request.response_format)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
