"""What a vendor of the Responses API answers to a Responses request: passed on, with ids of the gateway's own."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.dialects.base import Defaults
from shared.dialects.responses.answer import ResponseWriter
from shared.dialects.responses.create import create
from shared.errors import UpstreamError
from shared.schemas.caller import Caller
from shared.schemas.context import Meter, RequestContext, RequestInfo
from shared.schemas.events import Finished, OriginalEvent, Started, TextDelta
from shared.schemas.original import Original
from shared.schemas.usage import FinishReason
from shared.sealing import BoundSealer, Sealer
from tests.contract.response_events import assert_ordered

SEAL = BoundSealer(Sealer(b"secret"), "tenant")
RESPONSE_ID = "resp_" + "a" * 27
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "vendors-own"}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
TEXT = {"type": "output_text", "text": "Hello there", "annotations": [], "logprobs": []}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
VENDORS = {
    "id": "resp_vendor",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "vendor-model",
    "output": [THOUGHT, SEARCH, MESSAGE],
    "store": False,
    "something_new": {"a": 1},
    "usage": None,
}


def writer(**fields: Any) -> ResponseWriter:
    operation = create({"model": "m", "input": "Hi", **fields}, Defaults(max_tokens=1, thinking_tokens=1, seal=SEAL))
    caller = Caller(key_id="k", tenant="tenant", permissions=frozenset())
    context = RequestContext(RequestInfo("request", 0.0), caller, Meter(answered_as="public-model"))
    return ResponseWriter(operation, context, SEAL, response_id=RESPONSE_ID, created_at=7)


def original(body: dict[str, Any]) -> OriginalEvent:
    return OriginalEvent(Original("responses", body))


def vendors_events() -> Iterator[dict[str, Any]]:
    begun = {**VENDORS, "status": "in_progress", "output": []}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate((THOUGHT, SEARCH)):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.output_item.added", "output_index": 2, "item": {**MESSAGE, "content": []}}
    place = {"output_index": 2, "item_id": "msg_1", "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": {**TEXT, "text": ""}}
    yield {"type": "response.output_text.delta", **place, "delta": "Hello there", "logprobs": [], "obfuscation": "xx"}
    yield {"type": "response.output_text.done", **place, "text": "Hello there", "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": TEXT}
    yield {"type": "response.output_item.done", "output_index": 2, "item": MESSAGE}
    yield {"type": "response.completed", "response": VENDORS}


def with_own_ids(response: dict[str, Any]) -> dict[str, Any]:
    ids = [f"{prefix}_{'a' * 27}{number:03x}" for number, prefix in enumerate(("rs", "ws", "msg"))]
    output = [{**item, "id": own} for item, own in zip(response["output"], ids, strict=True)]
    return {
        **response,
        "id": RESPONSE_ID,
        "created_at": 7,
        "model": "public-model",
        "store": True,
        "background": False,
        "previous_response_id": None,
        "metadata": {},
        "output": output,
    }


def test_a_vendors_events_are_passed_on_in_the_place_of_the_canonical_ones() -> None:
    made = writer()
    events = [told for event in vendors_events() for told in made.feed(original({**event, "sequence_number": 99}))]
    for canonical in (Started(), TextDelta("Hello there"), Finished(FinishReason.STOP)):
        assert made.feed(canonical) == []
    assert made.body == with_own_ids(VENDORS)
    assert_ordered(events)
    assert [event["obfuscation"] for event in events if "obfuscation" in event] == ["xx"]
    assert {event["item_id"] for event in events if "item_id" in event} == {f"msg_{'a' * 27}002"}


def test_a_vendors_opening_is_left_out_where_the_canonical_one_came_first() -> None:
    made = writer()
    events = made.feed(Started())
    for event in vendors_events():
        events += made.feed(original(event))
    assert_ordered(events)


def test_a_vendors_whole_answer_is_streamed_where_a_stream_is_wanted() -> None:
    made = writer(stream=True)
    events = made.feed(original(VENDORS))
    assert made.body == with_own_ids(VENDORS)
    assert_ordered(events)


def test_a_passed_on_stream_that_fails_ends_with_the_failure() -> None:
    made = writer()
    for event in list(vendors_events())[:6]:
        made.feed(original(event))
    error, failed = made.fail(UpstreamError("gone"))[-2:]
    assert error["type"] == "error"
    assert failed["type"] == "response.failed"
    assert failed["response"]["id"] == RESPONSE_ID


def test_originals_of_another_wire_are_not_passed_on() -> None:
    made = writer()
    assert made.feed(OriginalEvent(Original("messages", {"type": "message_start"}))) == []
    made.feed(Started())
    made.feed(TextDelta("Hello"))
    made.feed(Finished(FinishReason.STOP))
    assert made.body is not None
    assert made.body["output"][0]["content"][0]["text"] == "Hello"


def test_the_original_of_a_request_holds_the_whole_conversation_without_the_gateways_own_fields() -> None:
    sealed = {"id": "rs_2", "type": "reasoning", "summary": [], "encrypted_content": SEAL.seal("{}")}
    context = ({"id": "msg_0", "type": "message", "role": "user", "content": "Hi"}, THOUGHT, sealed, MESSAGE)
    body = {
        "model": "m",
        "input": [{"role": "user", "content": "Go on"}],
        "previous_response_id": "resp_1",
        "background": True,
        "store": True,
        "new_field": 1,
        "temperature": None,
    }
    defaults = Defaults(max_tokens=1, thinking_tokens=1, seal=SEAL)
    request = create(body, defaults, context).request
    assert request.original is not None
    assert request.original.wire == "responses"
    assert request.original.body == {
        "model": "m",
        "input": [context[0], THOUGHT, MESSAGE, {"role": "user", "content": "Go on"}],
        "new_field": 1,
    }
    assert body["previous_response_id"] == "resp_1"


@pytest.mark.parametrize("content", [5, ["gw1_"], {"a": 1}], ids=["number", "list", "object"])
def test_an_item_of_another_type_may_have_any_encrypted_content(content: Any) -> None:
    item = {"type": "something_new", "encrypted_content": content}
    body = {"model": "m", "input": [{"role": "user", "content": "Hi"}, item]}
    request = create(body, Defaults(max_tokens=1, thinking_tokens=1, seal=SEAL)).request
    assert request.original is not None
    assert request.original.body["input"][1] == item
