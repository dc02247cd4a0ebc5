"""Requests for stored responses, and lists of their input items.

https://developers.openai.com/api/reference/resources/responses/subresources/input_items
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from shared.dialects.base import FormWire, Ignored, JsonObject, read
from shared.errors import InvalidRequest
from shared.schemas.stored_response import input_id

# The prefixes of the ids of items, by their type.
_KINDS = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}


class RetrieveQuery(FormWire):
    """`starting_after` is the number of the last event that the client has."""

    stream: bool = False
    starting_after: Annotated[int, Field(ge=0)] | None = None
    include: Ignored = None
    include_obfuscation: Ignored = None


class ItemsQuery(FormWire):
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    include: Ignored = None


def retrieve_query(parameters: Mapping[str, str]) -> RetrieveQuery:
    """Raises InvalidRequest."""
    return read(RetrieveQuery, dict(parameters))


def items_query(parameters: Mapping[str, str]) -> ItemsQuery:
    """Raises InvalidRequest."""
    return read(ItemsQuery, dict(parameters))


def kept_items(items: Sequence[JsonObject], response_id: str) -> list[JsonObject]:
    """A response's input items as they are kept: each with its type and an id, if the client gave it none.

    They may be sent to OpenAI later, so that nothing is added that it does not take.
    """
    return [_kept(item, response_id, number) for number, item in enumerate(items)]


def _kept(item: JsonObject, response_id: str, number: int) -> JsonObject:
    kind = item.get("type") or "message"
    kept = {name: value for name, value in item.items() if value is not None} | {"type": kind}
    if kind in _KINDS:
        kept = {"id": input_id(_KINDS[kind], response_id, number), **kept}
    if kind == "message" and isinstance(text := item.get("content"), str):
        is_answer = item.get("role") == "assistant"
        part = {"type": "output_text", "text": text, "annotations": []}
        kept["content"] = [part if is_answer else {"type": "input_text", "text": text}]
    return kept


def items_body(items: Sequence[JsonObject], response_id: str, query: ItemsQuery) -> JsonObject:
    """A page of items. Raises InvalidRequest for an `after` that is none of them."""
    listed = [
        {"id": input_id("item", response_id, number), "status": "completed", **item}
        for number, item in enumerate(items)
    ]
    if query.order == "desc":
        listed.reverse()
    start = 0
    if query.after is not None:
        ids = [item["id"] for item in listed]
        if query.after not in ids:
            raise InvalidRequest.field("after", "is the id of none of the items")
        start = ids.index(query.after) + 1
    page = listed[start : start + query.limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else "",
        "last_id": page[-1]["id"] if page else "",
        "has_more": len(listed) > start + query.limit,
    }


def deleted_body(response_id: str) -> JsonObject:
    return {"id": response_id, "object": "response", "deleted": True}


def tokens_body(count: int) -> JsonObject:
    return {"object": "response.input_tokens", "input_tokens": count}
