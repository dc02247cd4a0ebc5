"""Answers as Anthropic gives them: whole messages, and their events.

https://platform.claude.com/docs/en/api/messages/create and …/build-with-claude/streaming. What an Anthropic model has
answered is passed on as it came, but for the model's name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Any

from pydantic_core import from_json, to_json

from shared.dataclass import dataclass
from shared.dialects.base import JsonObject, Seal, data_frame, new_id
from shared.dialects.messages.errors import PING, MessagesDialect
from shared.dialects.messages.thoughts import CallSignature, seal_call, seal_redacted, seal_thought
from shared.errors import GatewayError
from shared.schemas.chat import Candidate, ChatResponse, Citation
from shared.schemas.content import Part, Reasoning, Refusal, Text, ToolCall
from shared.schemas.context import RequestContext
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    ImageDelta,
    LogprobsDelta,
    OriginalEvent,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.usage import FinishReason, Usage

_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}


# ---- Whole answers ---------------------------------------------------------------------------------------------------


def message_body(
    response: ChatResponse, context: RequestContext, seal: Seal | None, *, shows_thinking: bool
) -> JsonObject:
    """A whole answer."""
    model = context.meter.answered_as
    if response.original is not None:
        return {**response.original.body, "model": model}
    (candidate,) = response.candidates or (Candidate(parts=(), finish_reason=FinishReason.STOP),)
    refusal = "".join(part.text for part in candidate.parts if isinstance(part, Refusal))
    return {
        **_head(new_id("msg_"), model),
        "content": list(_content(candidate, seal, shows_thinking=shows_thinking)),
        **_ending(candidate.finish_reason, candidate.stop_sequence, refusal),
        "usage": _usage(response.usage, response.service_tier),
    }


def _head(message_id: str, model: str) -> JsonObject:
    return {"id": message_id, "type": "message", "role": "assistant", "model": model}


def _content(candidate: Candidate, seal: Seal | None, *, shows_thinking: bool) -> Iterator[JsonObject]:
    parts = candidate.parts
    if _ends_with_a_bare_signature(parts):
        parts = parts[:-1]
    for at, part in enumerate(parts):
        match part:
            case Text() if part.text:
                citations = candidate.citations if at == len(parts) - 1 else ()
                block: JsonObject = {"type": "text", "text": part.text}
                yield {**block, "citations": [_citation(source) for source in citations]} if citations else block
            case Refusal() if part.text:
                yield {"type": "text", "text": part.text}
            case Reasoning(redacted=True):
                yield {"type": "redacted_thinking", "data": seal_redacted(part, seal)}
            case Reasoning():
                signature = seal_thought(part, seal, is_shown=shows_thinking)
                yield {"type": "thinking", "thinking": part.text if shows_thinking else "", "signature": signature}
            case ToolCall():
                if part.signature is not None:
                    signed = CallSignature(part.id, part.signature, part.issuer)
                    yield {"type": "redacted_thinking", "data": seal_call(signed, seal)}
                yield {"type": "tool_use", "id": part.id, "name": part.name, "input": _input(part.arguments)}


def _ends_with_a_bare_signature(parts: Sequence[Part]) -> bool:
    """Whether the last part only signs the text before it. Agents take the last block for the answer."""
    match parts:
        case [*_, Text(), Reasoning(text="", redacted=False)]:
            return True
    return False


def _input(arguments: str) -> Any:
    """The arguments of a call, as far as they are JSON: those of an answer that was cut off are not complete."""
    try:
        value = from_json(arguments or "{}", allow_partial=True)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _citation(citation: Citation) -> JsonObject:
    """A source; what it says, and the index by which Anthropic's models find it again, is known to them only."""
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": "",
        "encrypted_index": "",
    }


def _ending(reason: FinishReason, stop_sequence: str | None, refusal: str) -> JsonObject:
    stop_reason = _STOP_REASONS[reason]
    if refusal and reason is FinishReason.STOP:
        stop_reason = "refusal"
    elif stop_sequence is not None and reason is FinishReason.STOP:
        stop_reason = "stop_sequence"
    details = {"type": "refusal", "category": None, "explanation": refusal or None}
    return {
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence if stop_reason == "stop_sequence" else None,
        "stop_details": details if stop_reason == "refusal" else None,
    }


def _usage(usage: Usage, service_tier: str | None) -> JsonObject:
    return {**_counts(usage), "service_tier": "priority" if service_tier == "priority" else "standard"}


def _counts(usage: Usage) -> JsonObject:
    """The vendor does not include cached tokens in input_tokens."""
    searches = {"web_search_requests": usage.searches, "web_fetch_requests": 0}
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_read_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_read_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": searches if usage.searches else None,
    }


# ---- Streams ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Thought:
    """An open block of thinking."""

    issuer: str | None
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    """A tool call. Calls wait for those before them, since blocks follow each other."""

    started: ToolCallStarted
    arguments: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        try:
            from_json("".join(self.arguments))
        except ValueError:
            return False
        return True


class MessageEncoder:
    """Events as Anthropic's. Blocks have increasing indices and do not overlap."""

    def __init__(self, context: RequestContext, seal: Seal | None, *, shows_thinking: bool) -> None:
        self._context = context
        self._seal = seal
        self._shows_thinking = shows_thinking
        self._is_original = False
        self._is_started = False
        self._index = -1
        self._open: str | _Thought | _Call | None = None  # a text block by its kind
        self._text_head = b""
        self._bare_signature: ReasoningDelta | None = None
        self._calls: list[_Call] = []
        self._begun_calls = 0
        self._refusal: list[str] = []

    def event(self, event: ChatEvent) -> bytes:
        if isinstance(event, OriginalEvent):
            self._is_original = True
            return self._original(event)
        if self._is_original:
            return b""
        if isinstance(event, TextDelta) and self._open == "text" and self._bare_signature is None:
            return b"%b%b}}\n\n" % (self._text_head, to_json(event.text))
        match event:
            case Started():
                return self._start(event)
            case TextDelta():
                return self._text("text", event.text)
            case RefusalDelta():
                self._refusal.append(event.text)
                return self._text("refusal", event.text)
            case ReasoningDelta():
                return self._reasoning(event)
            case ToolCallStarted():
                return self._call(event)
            case ToolCallDelta():
                return self._arguments(event)
            case CitationDelta():
                if self._open != "text":
                    return b""
                return self._delta({"type": "citations_delta", "citation": _citation(event.citation)})
            case Finished():
                return self._finish(event)
            case ImageDelta() | LogprobsDelta():
                return b""

    def _original(self, event: OriginalEvent) -> bytes:
        body = event.original.body
        if body.get("type") == "message_start":
            body = {**body, "message": {**body["message"], "model": self._context.meter.answered_as}}
        return data_frame(body, str(body.get("type", "")))

    def _start(self, event: Started) -> bytes:
        if self._is_started:
            return b""
        self._is_started = True
        usage = _usage(event.usage, event.service_tier)
        message = {
            **_head(new_id("msg_"), self._context.meter.answered_as),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": usage,
        }
        return data_frame({"type": "message_start", "message": message}, "message_start")

    # ---- Blocks ------------------------------------------------------------------------------------------------------

    def _begin(self, block: JsonObject, opened: "str | _Thought | _Call | None") -> bytes:
        """Begins a block after the open one, if there is one."""
        ended = self._end()
        self._index += 1
        self._open = opened
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return ended + data_frame(start, "content_block_start") + (PING if self._index == 0 else b"")

    def _end(self) -> bytes:
        """Ends the open block, with the signature that stands behind a text."""
        last = b""
        if isinstance(self._open, _Thought):
            last = self._signature(self._open, None)
        stopped = last + self._stop() if self._open is not None else b""
        if (bare := self._bare_signature) is not None:
            self._bare_signature = None
            stopped += self._thinking(bare)
        return stopped

    def _stop(self) -> bytes:
        self._open = None
        return data_frame({"type": "content_block_stop", "index": self._index}, "content_block_stop")

    def _delta(self, delta: JsonObject) -> bytes:
        return data_frame({"type": "content_block_delta", "index": self._index, "delta": delta}, "content_block_delta")

    def _text(self, kind: str, text: str) -> bytes:
        if self._open == kind and self._bare_signature is None:
            begun = b""
        elif not text:
            return b""
        else:
            begun = self._begin({"type": "text", "text": ""}, kind)
            head = b'{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":' % self._index
            self._text_head = b"event: content_block_delta\ndata: " + head
        return b"%b%b%b}}\n\n" % (begun, self._text_head, to_json(text))

    # ---- Thoughts ----------------------------------------------------------------------------------------------------

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if event.redacted:
            thought = Reasoning(signature=event.signature, redacted=True, issuer=event.issuer)
            block = {"type": "redacted_thinking", "data": seal_redacted(thought, self._seal)}
            return self._begin(block, "redacted") + self._stop()
        if not event.text and event.signature is None:
            return b""
        if not event.text and self._open == "text" and self._bare_signature is None:
            self._bare_signature = event
            return b""
        return self._thinking(event)

    def _thinking(self, event: ReasoningDelta) -> bytes:
        begun = b""
        if not isinstance(thought := self._open, _Thought):
            thought = _Thought(event.issuer)
            begun = self._begin({"type": "thinking", "thinking": "", "signature": ""}, thought)
        thought.texts.append(event.text)
        if event.text and self._shows_thinking:
            begun += self._delta({"type": "thinking_delta", "thinking": event.text})
        if event.signature is not None:
            begun += self._signature(thought, event.signature) + self._stop()
        return begun

    def _signature(self, thought: _Thought, signature: str | None) -> bytes:
        whole = Reasoning(text="".join(thought.texts), signature=signature, issuer=thought.issuer)
        token = seal_thought(whole, self._seal, is_shown=self._shows_thinking)
        return self._delta({"type": "signature_delta", "signature": token})

    # ---- Tool calls --------------------------------------------------------------------------------------------------

    def _call(self, event: ToolCallStarted) -> bytes:
        self._calls.append(_Call(event))
        return self._next_calls()

    def _next_calls(self, *, is_end: bool = False) -> bytes:
        """Begins the calls that wait, until one of them is not complete."""
        begun = b""
        while self._begun_calls < len(self._calls) and (is_end or not self._is_in_a_call()):
            call = self._calls[self._begun_calls]
            self._begun_calls += 1
            begun += self._begin_call(call.started, call)
            if call.arguments:
                begun += self._input_delta("".join(call.arguments))
        return begun

    def _is_in_a_call(self) -> bool:
        return isinstance(self._open, _Call) and not self._open.is_complete

    def _begin_call(self, event: ToolCallStarted, call: _Call) -> bytes:
        signed = b""
        if event.signature is not None:
            data = seal_call(CallSignature(event.id, event.signature, event.issuer), self._seal)
            signed = self._begin({"type": "redacted_thinking", "data": data}, "redacted") + self._stop()
        return signed + self._begin({"type": "tool_use", "id": event.id, "name": event.name, "input": {}}, call)

    def _arguments(self, event: ToolCallDelta) -> bytes:
        call = next(call for call in self._calls if call.started.position == event.position)
        call.arguments.append(event.arguments)
        return self._input_delta(event.arguments) if call is self._open else b""

    def _input_delta(self, arguments: str) -> bytes:
        return self._delta({"type": "input_json_delta", "partial_json": arguments})

    # ---- The end -----------------------------------------------------------------------------------------------------

    def _finish(self, event: Finished) -> bytes:
        self._bare_signature = None
        ended = self._next_calls(is_end=True) + self._end()
        delta = _ending(event.reason, event.stop_sequence, "".join(self._refusal))
        body = {"type": "message_delta", "delta": delta, "usage": _counts(event.usage)}
        return ended + data_frame(body, "message_delta")

    def error(self, error: GatewayError) -> bytes:
        return data_frame(MessagesDialect().error(error, self._context.request.id), "error")

    def end(self) -> bytes:
        return b"" if self._is_original else data_frame({"type": "message_stop"}, "message_stop")
