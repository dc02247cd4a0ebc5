"""Answers of the Responses API: the events of a stream, and the whole response that they add up to.

https://developers.openai.com/api/reference/resources/responses/streaming-events
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from shared.dialects.base import JsonObject, Seal
from shared.dialects.openai.errors import OpenAIDialect
from shared.dialects.responses.carrier import CallSignature, Carried, sealed
from shared.dialects.responses.create import CreateOperation
from shared.dialects.responses.output_items import (
    CallItem,
    MessageItem,
    Numbering,
    OpenItem,
    ReasoningItem,
    logprob_body,
)
from shared.errors import GatewayError
from shared.framing import sse_frame
from shared.schemas.chat import Citation
from shared.schemas.content import Reasoning
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
from shared.schemas.stored_response import output_id
from shared.schemas.usage import FinishReason, Usage

ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""The statuses of responses that will not change any more."""
_OPENINGS = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}
_PREFIX = re.compile(r"[a-z]{2,12}")
# Codes of errors that clients of this API know in a failed response.
_ERROR_CODES = frozenset({"rate_limit_exceeded", "context_length_exceeded", "insufficient_quota"})


class ResponseWriter:
    """Makes one response from a call's events.

    A vendor's own events of the same wire format are passed on, with the response's id and model and items' ids of the
    gateway's own.
    """

    def __init__(
        self,
        operation: CreateOperation,
        context: RequestContext,
        seal: Seal,
        *,
        response_id: str,
        created_at: int,
    ) -> None:
        self._context = context
        self._settings = operation.settings
        self._names = operation.names
        self._seal = seal
        self._id = response_id
        self._created_at = created_at
        self._numbering = Numbering()
        self._begun = False
        self._closed: dict[int, JsonObject] = {}
        self._next_index = 0
        self._message: MessageItem | None = None
        self._last_message: MessageItem | None = None
        self._reasoning: ReasoningItem | None = None
        self._carried: tuple[list[Reasoning], list[CallSignature]] = ([], [])
        self._calls: dict[int, CallItem] = {}
        self._characters = self._part_start = 0
        self._service_tier: str | None = None
        self._passed: _PassedOn | None = None
        self.body: JsonObject | None = None
        """The whole response, once it has ended."""

    # ---- A call's events -----------------------------------------------------------------------------------------

    def feed(self, event: ChatEvent) -> list[JsonObject]:
        """The stream's events for an event of the call."""
        if isinstance(event, OriginalEvent) and event.original.wire == "responses":
            return self._pass_on(event.original.body)
        if self._passed is not None:
            return []
        match event:
            case Started():
                self._service_tier = self._service_tier or event.service_tier
                return self._begin()
            case TextDelta():
                return [*self._open_message(), *self._text(event.text)] if event.text else []
            case RefusalDelta():
                return [*self._open_message(), *self._in_message().add_refusal(event.text)]
            case LogprobsDelta():
                return [*self._open_message(), *self._in_message().add_logprobs(list(map(logprob_body, event.tokens)))]
            case CitationDelta():
                message = self._message or self._last_message
                return [] if message is None else message.annotate(self._annotation(event.citation))
            case ReasoningDelta():
                return self._think(event)
            case ToolCallStarted():
                return self._open_call(event)
            case ToolCallDelta():
                return self._calls[event.position].add(event.arguments)
            case Finished():
                return self._finish(event)
            case OriginalEvent() | ImageDelta():
                return []

    def fail(self, error: GatewayError) -> list[JsonObject]:
        """The events that end a stream with an error."""
        if self.body is not None:
            return []
        told = OpenAIDialect().error(error, self._context.request.id)["error"]
        events = self._begin()
        fields = {"code": told["code"], "message": told["message"], "param": told["param"]}
        events.append(self._numbering.event("error", **fields))
        body = {**self._snapshot("failed"), "error": failure_body(error)}
        return [*events, self._end(body)]

    # ---- Parts of a response -----------------------------------------------------------------------------------------

    def _begin(self) -> list[JsonObject]:
        if self._begun:
            return []
        self._begun = True
        return [
            self._numbering.event(f"response.{kind}", response=self._snapshot("in_progress"))
            for kind in ("created", "in_progress")
        ]

    def _new(self, kind: str) -> tuple[Numbering, int, str]:
        index = self._next_index
        self._next_index += 1
        return self._numbering, index, output_id(kind, self._id, index)

    def _open_message(self) -> list[JsonObject]:
        events = self._close_reasoning()
        if self._message is None:
            self._message = self._last_message = MessageItem(*self._new("msg"))
            self._part_start = self._characters
            events += self._message.open()
        return events

    def _in_message(self) -> MessageItem:
        assert self._message is not None
        return self._message

    def _text(self, text: str) -> list[JsonObject]:
        self._characters += len(text)
        return self._in_message().add_text(text)

    def _annotation(self, citation: Citation) -> JsonObject:
        """A source. Vendors count the characters of all text, items those of their own."""
        return {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title,
            "start_index": max(0, citation.start - self._part_start),
            "end_index": max(0, citation.end - self._part_start),
        }

    def _think(self, event: ReasoningDelta) -> list[JsonObject]:
        events = self._close_message()
        if self._reasoning is not None and event.redacted:
            events += self._close_reasoning()
        if self._reasoning is None:
            events += self._open_reasoning()
        assert self._reasoning is not None
        if event.text:
            events += self._reasoning.add_text(event.text)
        thoughts = self._carried[0]
        if not thoughts:
            thoughts.append(Reasoning())
        thoughts[0] = Reasoning(
            text=self._reasoning.text,
            signature=event.signature or thoughts[0].signature,
            redacted=event.redacted or thoughts[0].redacted,
            issuer=event.issuer or thoughts[0].issuer,
        )
        if event.signature is not None:
            events += self._close_reasoning()
        return events

    def _open_reasoning(self) -> list[JsonObject]:
        self._reasoning = ReasoningItem(*self._new("rs"))
        return self._reasoning.open()

    def _open_call(self, event: ToolCallStarted) -> list[JsonObject]:
        events = self._close_message()
        if event.signature is not None:
            if self._reasoning is None:
                events += self._open_reasoning()
            self._carried[1].append(CallSignature(event.id, event.signature, event.issuer))
        events += self._close_reasoning()
        namespace, name = self._names.get(event.name, (None, event.name))
        call = CallItem(
            *self._new("ctc" if event.custom else "fc"),
            call_id=event.id,
            name=name,
            namespace=namespace,
            custom=event.custom,
        )
        self._calls[event.position] = call
        return [*events, *call.open()]

    def _close_message(self) -> list[JsonObject]:
        message, self._message = self._message, None
        return [] if message is None else self._close(message)

    def _close_reasoning(self) -> list[JsonObject]:
        reasoning, self._reasoning = self._reasoning, None
        if reasoning is None:
            return []
        thoughts, calls = self._carried
        reasoning.encrypted_content = sealed(Carried(tuple(thoughts), tuple(calls)), self._seal)
        self._carried = ([], [])
        return self._close(reasoning)

    def _close(self, item: OpenItem, *, is_complete: bool = True) -> list[JsonObject]:
        events = item.close(is_complete=is_complete)
        self._closed[item.index] = events[-1]["item"]
        return events

    def _finish(self, event: Finished) -> list[JsonObject]:
        reason = _INCOMPLETE.get(event.reason)
        self._service_tier = event.service_tier or self._service_tier
        events = self._begin()
        events += self._close_reasoning()
        still_open: list[OpenItem] = [*self._calls.values(), *([self._message] if self._message else [])]
        still_open.sort(key=lambda item: item.index)
        for item in still_open:
            events += self._close(item, is_complete=reason is None or item is not still_open[-1])
        self._calls, self._message = {}, None
        body = {
            **self._snapshot("completed" if reason is None else "incomplete"),
            "completed_at": int(time.time()) if reason is None else None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "usage": usage_body(event.usage),
        }
        return [*events, self._end(body)]

    def _end(self, body: JsonObject) -> JsonObject:
        self.body = body
        return self._numbering.event(f"response.{body['status']}", response=body)

    def _snapshot(self, status: str) -> JsonObject:
        """The response as it stands."""
        still_open: list[OpenItem | None] = [self._message, self._reasoning, *self._calls.values()]
        output = dict(self._closed)
        for item in still_open:
            if item is not None:
                output[item.index] = item.item("incomplete" if status == "failed" else "in_progress")
        body = waiting_body(self._settings, self._id, self._created_at, self._context.meter.answered_as, status)
        body["output"] = [output[index] for index in sorted(output)]
        if self._service_tier is not None:
            body["service_tier"] = self._service_tier
        return body

    # ---- The same wire format ----------------------------------------------------------------------------------------

    def _pass_on(self, original: Mapping[str, Any]) -> list[JsonObject]:
        if self._passed is None:
            own = {name: self._settings[name] for name in ("store", "background", "previous_response_id", "metadata")}
            own |= {"id": self._id, "created_at": self._created_at, "model": self._context.meter.answered_as}
            self._passed = _PassedOn(self._id, own)
        if original.get("object") == "response":  # a whole answer
            body = self._passed.response(original)
            self.body = body
            return list(replayed(body, self._numbering))
        if self._begun and original.get("type") in _OPENINGS:
            return []
        event = self._numbering.renumbered(self._passed.event(original))
        if event["type"] in _ENDINGS:
            self.body = event["response"]
        return [event]


class _PassedOn:
    """Rewrites a vendor's events: the response's `own` fields, and ids of items that lead to the stored response."""

    def __init__(self, response_id: str, own: JsonObject) -> None:
        self._response_id = response_id
        self._own = own
        self._ids: dict[str, str] = {}

    def event(self, event: Mapping[str, Any]) -> JsonObject:
        rewritten = dict(event)
        if isinstance(response := event.get("response"), dict):
            rewritten["response"] = self.response(response)
        if isinstance(item := event.get("item"), dict):
            rewritten["item"] = self._item(item)
        if isinstance(item_id := event.get("item_id"), str):
            rewritten["item_id"] = self._id(item_id)
        return rewritten

    def response(self, response: Mapping[str, Any]) -> JsonObject:
        return {**response, **self._own, "output": [self._item(item) for item in response.get("output") or ()]}

    def _item(self, item: JsonObject) -> JsonObject:
        return {**item, "id": self._id(item["id"])} if isinstance(item.get("id"), str) else item

    def _id(self, vendors: str) -> str:
        if vendors not in self._ids:
            prefix = vendors.partition("_")[0]
            kind = prefix if _PREFIX.fullmatch(prefix) else "item"
            self._ids[vendors] = output_id(kind, self._response_id, len(self._ids))
        return self._ids[vendors]


def waiting_body(settings: JsonObject, response_id: str, created_at: int, model: str, status: str) -> JsonObject:
    """A response that has not ended, without output."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "completed_at": None,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "usage": None,
        **settings,
    }


def failed_body(waiting: JsonObject, error: GatewayError) -> JsonObject:
    """A response that has failed before anything of it was made."""
    return {**waiting, "status": "failed", "error": failure_body(error)}


def failure_body(error: GatewayError) -> JsonObject:
    """The error of a failed response. Its codes are fewer than those of HTTP answers."""
    code = OpenAIDialect().error(error, "")["error"]["code"]
    if code not in _ERROR_CODES:
        code = (
            "rate_limit_exceeded"
            if error.status == 429
            else "invalid_prompt"
            if error.status == 400
            else "server_error"
        )
    return {"code": code, "message": error.message}


def usage_body(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def replayed(body: JsonObject, numbering: Numbering | None = None) -> Iterator[JsonObject]:
    """The events of a response that has ended, as if it were made now, each part in one delta."""
    numbering = numbering or Numbering()
    begun = {**body, "status": "in_progress", "output": [], "completed_at": None, "error": None, "usage": None}
    begun["incomplete_details"] = None
    if body.get("background"):
        queued = {**begun, "status": "queued"}
        yield numbering.event("response.created", response=queued)
        yield numbering.event("response.queued", response=queued)
    else:
        yield numbering.event("response.created", response=begun)
    yield numbering.event("response.in_progress", response=begun)
    for index, item in enumerate(body["output"]):
        yield from _replayed_item(item, index, numbering)
    if body["status"] in ("completed", "incomplete", "failed"):
        yield numbering.event(f"response.{body['status']}", response=body)


def _replayed_item(item: JsonObject, index: int, numbering: Numbering) -> Iterator[JsonObject]:
    """An item's events. Items of tools that a vendor has run are told whole."""
    item_id: str = item.get("id", "")
    within = {"item_id": item_id, "output_index": index}
    match item:
        case {"type": "message", "content": list(parts)}:
            yield numbering.event(
                "response.output_item.added",
                output_index=index,
                item={**item, "status": "in_progress", "content": []},
            )
            for at, part in enumerate(parts):
                yield from _replayed_part(part, {**within, "content_index": at}, numbering)
        case {"type": "reasoning"}:
            opening = {name: value for name, value in item.items() if name not in ("content", "encrypted_content")}
            yield numbering.event("response.output_item.added", output_index=index, item={**opening, "summary": []})
            for at, part in enumerate(item.get("summary") or ()):
                place = {**within, "summary_index": at}
                empty = {**part, "text": ""}
                yield numbering.event("response.reasoning_summary_part.added", **place, part=empty)
                yield numbering.event("response.reasoning_summary_text.delta", **place, delta=part["text"])
                yield numbering.event("response.reasoning_summary_text.done", **place, text=part["text"])
                yield numbering.event("response.reasoning_summary_part.done", **place, part=part)
            for at, part in enumerate(item.get("content") or ()):
                yield from _replayed_part(part, {**within, "content_index": at}, numbering)
        case {"type": "function_call" | "custom_tool_call" as kind}:
            field = "arguments" if kind == "function_call" else "input"
            event = "response.function_call_arguments" if kind == "function_call" else "response.custom_tool_call_input"
            name = {"name": item["name"]} if kind == "function_call" else {}
            opening = {**item, field: "", **({"status": "in_progress"} if "status" in item else {})}
            yield numbering.event("response.output_item.added", output_index=index, item=opening)
            if item[field]:
                yield numbering.event(f"{event}.delta", **within, delta=item[field])
            yield numbering.event(f"{event}.done", **within, **name, **{field: item[field]})
        case _:
            yield numbering.event("response.output_item.added", output_index=index, item=item)
    yield numbering.event("response.output_item.done", output_index=index, item=item)


def _replayed_part(part: JsonObject, place: JsonObject, numbering: Numbering) -> Iterator[JsonObject]:
    match part:
        case {"type": "output_text", "text": str(text)}:
            logprobs = part.get("logprobs") or []
            empty = {**part, "text": "", "annotations": [], "logprobs": []}
            yield numbering.event("response.content_part.added", **place, part=empty)
            if text:
                yield numbering.event("response.output_text.delta", **place, delta=text, logprobs=logprobs)
            for at, annotation in enumerate(part.get("annotations") or ()):
                yield numbering.event(
                    "response.output_text.annotation.added", **place, annotation_index=at, annotation=annotation
                )
            yield numbering.event("response.output_text.done", **place, text=text, logprobs=logprobs)
        case {"type": "refusal", "refusal": str(text)}:
            yield numbering.event("response.content_part.added", **place, part={**part, "refusal": ""})
            yield numbering.event("response.refusal.delta", **place, delta=text)
            yield numbering.event("response.refusal.done", **place, refusal=text)
        case {"type": "reasoning_text", "text": str(text)}:
            yield numbering.event("response.content_part.added", **place, part={**part, "text": ""})
            yield numbering.event("response.reasoning_text.delta", **place, delta=text)
            yield numbering.event("response.reasoning_text.done", **place, text=text)
        case _:
            yield numbering.event("response.content_part.added", **place, part=part)
    yield numbering.event("response.content_part.done", **place, part=part)


def is_opening(event: JsonObject) -> bool:
    """Whether an event only says that the response has begun."""
    return event["type"] in _OPENINGS


def is_ending(event: JsonObject) -> bool:
    """Whether an event holds the whole response."""
    return event["type"] in _ENDINGS


def frame(event: JsonObject) -> bytes:
    """An event as a server-sent event."""
    return sse_frame(to_json(event), event["type"])
