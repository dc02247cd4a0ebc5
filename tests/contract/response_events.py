"""What every stream of the Responses API has to be: valid by the SDK's types, in order, adding up to its response."""

import json
from functools import cache
from typing import Any

import httpx
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from shared.framing import SseDecoder

Event = dict[str, Any]
_TEXTS = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.reasoning_text": "text",
    "response.reasoning_summary_text": "text",
}


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(ResponseStreamEvent)


def response_of(answer: httpx.Response) -> Event:
    """A whole answer, which is valid by the SDK's type."""
    assert answer.status_code == 200, answer.text
    body: Event = answer.json()
    Response.model_validate(body)
    return body


def events_of(answer: httpx.Response) -> list[Event]:
    """A stream's events, which are valid, in order, and add up to the response of the last."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, done = SseDecoder().feed(answer.content)
    assert done.data == b"[DONE]"
    events: list[Event] = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [event["type"] for event in events]
    for event in events:
        validated = _adapter().validate_python(event)
        assert validated.type == event["type"]
    assert_ordered(events)
    return events


def assert_ordered(events: list[Event]) -> None:
    """The order of the specification, and that the events add up to the response of the last."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.created"
    openings = ["response.created", "response.in_progress"]
    if kinds[1] == "response.queued":
        openings.insert(1, "response.queued")
    assert kinds[: len(openings)] == openings
    assert kinds[-1] in ("response.completed", "response.incomplete", "response.failed")
    output = folded(events[len(openings) : -1])
    if kinds[-1] != "response.failed":
        assert output == events[-1]["response"]["output"]


def folded(events: list[Event]) -> list[Event]:
    """The items that events between the first and the last add up to."""
    items: dict[int, Event] = {}
    done: dict[int, Event] = {}
    texts: dict[tuple[Any, ...], str] = {}
    open_parts: dict[tuple[int, int], Event] = {}
    for event in events:
        kind = event["type"]
        if kind in ("error", "response.failed"):
            continue
        at = event["output_index"]
        if kind == "response.output_item.added":
            assert at == len(items), "items begin in the order of the output"
            items[at] = event["item"]
            continue
        assert at in items, "an item begins with its own event"
        assert at not in done, "nothing follows an item's end"
        if kind == "response.output_item.done":
            assert not [place for place in open_parts if place[0] == at], "parts end before their item"
            assert event["item"]["id"] == items[at]["id"]
            done[at] = event["item"]
            continue
        assert event["item_id"] == items[at]["id"]
        if kind == "response.content_part.added":
            open_parts[at, event["content_index"]] = event["part"]
        elif kind == "response.content_part.done":
            assert open_parts.pop((at, event["content_index"]))["type"] == event["part"]["type"]
        base, _, verb = kind.rpartition(".")
        place = (base, at, event.get("content_index"), event.get("summary_index"))
        if base in ("response.output_text", "response.refusal", "response.reasoning_text"):
            assert (at, event["content_index"]) in open_parts, "a part begins with its own event"
        if verb == "delta":
            texts[place] = texts.get(place, "") + event["delta"]
        elif verb == "done" and base in _TEXTS:
            assert event[_TEXTS[base]] == texts.get(place, "")
    return [done[at] for at in sorted(done)]


def without_ids(body: Event) -> Event:
    """A response without what differs between two that say the same."""
    kept = {name: value for name, value in body.items() if name not in ("id", "created_at", "completed_at")}
    items = [{**item, "id": item["id"].partition("_")[0], "encrypted_content": None} for item in body["output"]]
    return {**kept, "output": items}
