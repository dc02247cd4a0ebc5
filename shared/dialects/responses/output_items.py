"""The items of an answer while they are made: each tells its events and, at last, the whole item.

https://developers.openai.com/api/reference/resources/responses/streaming-events
"""

from collections.abc import Sequence
from typing import Any, Protocol

from shared.dialects.base import JsonObject
from shared.schemas.chat import TokenLogprob


class Numbering:
    """Makes a stream's events, numbered from 0."""

    def __init__(self) -> None:
        self._next = 0

    def event(self, kind: str, **fields: Any) -> JsonObject:
        numbered = {"type": kind, "sequence_number": self._next, **fields}
        self._next += 1
        return numbered

    def renumbered(self, event: JsonObject) -> JsonObject:
        """Another stream's event with the next number of this one."""
        numbered = {**event, "sequence_number": self._next}
        self._next += 1
        return numbered


class OpenItem(Protocol):
    """An item that is not complete. `index` is its place in the output."""

    index: int

    def close(self, *, is_complete: bool = True) -> list[JsonObject]:
        """The events that end the item."""
        ...

    def item(self, status: str) -> JsonObject:
        """The item as it stands."""
        ...


class _Item:
    """What the items of all kinds have in common."""

    def __init__(self, numbering: Numbering, index: int, item_id: str) -> None:
        self._numbering = numbering
        self._id = item_id
        self.index = index

    def item(self, status: str) -> JsonObject:
        raise NotImplementedError

    def open(self) -> list[JsonObject]:
        """The event with which the item begins."""
        item = self.item("in_progress")
        return [self._numbering.event("response.output_item.added", output_index=self.index, item=item)]

    def _event(self, kind: str, **fields: Any) -> JsonObject:
        return self._numbering.event(f"response.{kind}", item_id=self._id, output_index=self.index, **fields)

    def _closed(self, *, is_complete: bool) -> JsonObject:
        item = self.item("completed" if is_complete else "incomplete")
        return self._numbering.event("response.output_item.done", output_index=self.index, item=item)


class MessageItem(_Item):
    """A message with parts of text and refusals."""

    def __init__(self, numbering: Numbering, index: int, item_id: str) -> None:
        super().__init__(numbering, index, item_id)
        self._parts: list[JsonObject] = []
        self._chunks: list[str] = []
        self._is_part_open = False

    def item(self, status: str) -> JsonObject:
        self._gather()
        parts = [{**part} for part in self._parts]
        return {"id": self._id, "type": "message", "status": status, "role": "assistant", "content": parts}

    def add_text(self, text: str) -> list[JsonObject]:
        events = self._part({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        self._chunks.append(text)
        events.append(self._part_event("output_text.delta", delta=text, logprobs=[]))
        return events

    def add_refusal(self, text: str) -> list[JsonObject]:
        events = self._part({"type": "refusal", "refusal": ""})
        self._chunks.append(text)
        events.append(self._part_event("refusal.delta", delta=text))
        return events

    def add_logprobs(self, logprobs: Sequence[JsonObject]) -> list[JsonObject]:
        """The log probabilities of text that has been added, or is about to be."""
        events = self._part({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        self._parts[-1]["logprobs"] += logprobs
        events.append(self._part_event("output_text.delta", delta="", logprobs=logprobs))
        return events

    def annotate(self, annotation: JsonObject) -> list[JsonObject]:
        """A source of the message's last text."""
        if not self._parts or self._parts[-1]["type"] != "output_text":
            return []
        annotations = self._parts[-1]["annotations"]
        annotations.append(annotation)
        at = len(annotations) - 1
        return [self._part_event("output_text.annotation.added", annotation_index=at, annotation=annotation)]

    def close(self, *, is_complete: bool = True) -> list[JsonObject]:
        return [*self._close_part(), self._closed(is_complete=is_complete)]

    def _part(self, empty: JsonObject) -> list[JsonObject]:
        """The events that begin a part, unless the open one is of the kind."""
        if self._is_part_open and self._parts[-1]["type"] == empty["type"]:
            return []
        events = self._close_part()
        self._parts.append(empty)
        self._is_part_open = True
        return [*events, self._part_event("content_part.added", part={**empty})]

    def _close_part(self) -> list[JsonObject]:
        if not self._is_part_open:
            return []
        self._gather()
        self._is_part_open = False
        part = self._parts[-1]
        if part["type"] == "refusal":
            told = self._part_event("refusal.done", refusal=part["refusal"])
        else:
            told = self._part_event("output_text.done", text=part["text"], logprobs=part["logprobs"])
        return [told, self._part_event("content_part.done", part={**part})]

    def _gather(self) -> None:
        """Joins what has been added to the open part."""
        if self._chunks:
            part = self._parts[-1]
            name = "refusal" if part["type"] == "refusal" else "text"
            part[name] += "".join(self._chunks)
            self._chunks = []

    def _part_event(self, kind: str, **fields: Any) -> JsonObject:
        return self._event(kind, content_index=len(self._parts) - 1, **fields)


class ReasoningItem(_Item):
    """What is told of the model's thoughts, and what carries them sealed."""

    def __init__(self, numbering: Numbering, index: int, item_id: str) -> None:
        super().__init__(numbering, index, item_id)
        self._chunks: list[str] = []
        self.encrypted_content: str | None = None

    @property
    def text(self) -> str:
        return "".join(self._chunks)

    def item(self, status: str) -> JsonObject:
        summary = [{"type": "summary_text", "text": self.text}] if self._chunks else []
        item: JsonObject = {"id": self._id, "type": "reasoning", "status": status, "summary": summary}
        if self.encrypted_content is not None:
            item["encrypted_content"] = self.encrypted_content
        return item

    def add_text(self, text: str) -> list[JsonObject]:
        events = []
        if not self._chunks:
            events.append(self._summary_event("part.added", part={"type": "summary_text", "text": ""}))
        self._chunks.append(text)
        return [*events, self._summary_event("text.delta", delta=text)]

    def close(self, *, is_complete: bool = True) -> list[JsonObject]:
        events = []
        if self._chunks:
            part = {"type": "summary_text", "text": self.text}
            events.append(self._summary_event("text.done", text=self.text))
            events.append(self._summary_event("part.done", part=part))
        return [*events, self._closed(is_complete=is_complete)]

    def _summary_event(self, kind: str, **fields: Any) -> JsonObject:
        return self._event(f"reasoning_summary_{kind}", summary_index=0, **fields)


class CallItem(_Item):
    """A call of a function, or of a custom tool, whose input is free text."""

    def __init__(
        self,
        numbering: Numbering,
        index: int,
        item_id: str,
        *,
        call_id: str,
        name: str,
        namespace: str | None = None,
        custom: bool = False,
    ) -> None:
        super().__init__(numbering, index, item_id)
        self._call_id = call_id
        self._name = name
        self._namespace = namespace
        self._custom = custom
        self._chunks: list[str] = []

    def item(self, status: str) -> JsonObject:
        text = "".join(self._chunks)
        item: JsonObject = {"id": self._id, "call_id": self._call_id, "name": self._name}
        if self._custom:
            item |= {"type": "custom_tool_call", "input": text}
        else:
            item |= {"type": "function_call", "status": status, "arguments": text}
        return item if self._namespace is None else {**item, "namespace": self._namespace}

    def add(self, fragment: str) -> list[JsonObject]:
        """More of the arguments or the input."""
        self._chunks.append(fragment)
        return [self._event(f"{self._kind}.delta", delta=fragment)]

    def close(self, *, is_complete: bool = True) -> list[JsonObject]:
        whole = {"input" if self._custom else "arguments": "".join(self._chunks)}
        name = {} if self._custom else {"name": self._name}
        return [self._event(f"{self._kind}.done", **name, **whole), self._closed(is_complete=is_complete)]

    @property
    def _kind(self) -> str:
        return "custom_tool_call_input" if self._custom else "function_call_arguments"


def logprob_body(token: TokenLogprob) -> JsonObject:
    """A token's log probability; `bytes` are there also where the vendor tells none."""
    return {
        "token": token.token,
        "bytes": list(token.bytes or ()),
        "logprob": token.logprob,
        "top_logprobs": [
            {"token": other.token, "bytes": list(other.bytes or ()), "logprob": other.logprob}
            for other in token.top_logprobs
        ],
    }
