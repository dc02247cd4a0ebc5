"""Responses requests to OpenAI's own models: passed on as they came, and answered as OpenAI answers."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.contract.accounts import account
from tests.contract.all_vendors import ENVIRONMENT, every_vendor, hello, streaming
from tests.contract.response_events import events_of, response_of
from tests.contract.vendor import Vendor
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
MODEL = "gpt-5"
THOUGHT = {"id": "rs_vendor", "type": "reasoning", "summary": [], "encrypted_content": "gAAA-vendors"}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
TEXT = {"type": "output_text", "text": "Hello there", "annotations": [], "logprobs": []}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "phase": "final_answer",
    "content": [TEXT],
}
ANSWER: dict[str, Any] = {
    "id": "resp_vendor",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "vendor-model",
    "error": None,
    "incomplete_details": None,
    "parallel_tool_calls": True,
    "temperature": 1,
    "top_p": 1,
    "tool_choice": "auto",
    "tools": [],
    "store": False,
    "something_new": {"a": 1},
    "output": [THOUGHT, SEARCH, MESSAGE],
    "usage": {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 5,
    },
}
ASKED = {
    "model": MODEL,
    "input": "Hello",
    "tools": [{"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}],
    "new_field": {"x": 1},
}


def stream() -> Iterator[dict[str, Any]]:
    begun = {**ANSWER, "status": "in_progress", "output": [], "usage": None}
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
    yield {"type": "response.completed", "response": ANSWER}


def answer(request: httpx.Request) -> httpx.Response:
    assert request.url.path.endswith("/responses")
    if not json.loads(request.content).get("stream"):
        return httpx.Response(200, json=ANSWER)
    frames = [(event["type"], {**event, "sequence_number": at}) for at, event in enumerate(stream())]
    response = streaming(*frames)(request)
    assert isinstance(response, httpx.Response)
    return response


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    async with every_vendor(keys) as vendor:
        vendor.answer = answer
        yield vendor


async def test_P08_vendor_tools_and_unknown_fields_reach_the_vendor_and_its_answer_comes_whole(vendor: Vendor) -> None:
    whole = response_of(await vendor.client.post(RESPONSES, json=ASKED))
    asked = json.loads(vendor.requests[-1].content)
    assert (asked["tools"], asked["new_field"], asked["store"]) == (ASKED["tools"], {"x": 1}, False)
    assert (whole["model"], whole["something_new"], whole["store"]) == (MODEL, {"a": 1}, True)
    assert [{**item, "id": None} for item in whole["output"]] == [{**item, "id": None} for item in ANSWER["output"]]
    events = events_of(await vendor.client.post(RESPONSES, json={**ASKED, "stream": True}))
    assert [event["type"] for event in events] == [event["type"] for event in stream()]
    assert [event["obfuscation"] for event in events if "obfuscation" in event] == ["xx"]
    for body in (whole, events[-1]["response"]):
        assert response_of(await vendor.client.get(f"{RESPONSES}/{body['id']}")) == body


async def test_P05_a_stream_of_the_vendor_may_be_split_at_every_byte(vendor: Vendor) -> None:
    whole = answer(httpx.Request("POST", "https://vendor.test/responses", json={"stream": True})).read()

    async def single_bytes() -> AsyncIterator[bytes]:
        for at in range(len(whole)):
            yield whole[at : at + 1]

    vendor.answer = lambda request: httpx.Response(200, content=single_bytes())
    events = events_of(await vendor.client.post(RESPONSES, json={**ASKED, "stream": True}))
    assert [event["type"] for event in events] == [event["type"] for event in stream()]
    assert [{**item, "id": None} for item in events[-1]["response"]["output"]] == [
        {**item, "id": None} for item in ANSWER["output"]
    ]


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "sent"])
async def test_P09_the_vendors_encrypted_reasoning_goes_back_to_it(vendor: Vendor, stored: bool) -> None:
    first = response_of(await vendor.client.post(RESPONSES, json={**ASKED, "store": stored}))
    question = {"role": "user", "content": "And now?"}
    following: dict[str, Any] = {"input": [question], "previous_response_id": first["id"]}
    if not stored:
        following = {"input": [{"role": "user", "content": "Hello"}, *first["output"], question]}
    response_of(await vendor.client.post(RESPONSES, json={**ASKED, **following}))
    sent = json.loads(vendor.requests[-1].content)
    assert "previous_response_id" not in sent
    assert [item.get("type", "message") for item in sent["input"]] == [
        "message",
        "reasoning",
        "web_search_call",
        "message",
        "message",
    ]
    # OpenAI refuses it under an id that it has not given it.
    assert sent["input"][1] == {name: value for name, value in THOUGHT.items() if name != "id"}


async def test_P20_input_tokens_are_counted_by_the_vendor(vendor: Vendor) -> None:
    first = response_of(await vendor.client.post(RESPONSES, json=ASKED))
    vendor.answer = lambda request: httpx.Response(200, json={"object": "response.input_tokens", "input_tokens": 4711})
    asked = {"model": MODEL, "input": "And now?", "tools": ASKED["tools"], "max_output_tokens": 9}
    answer = await vendor.client.post(f"{RESPONSES}/input_tokens", json={**asked, "previous_response_id": first["id"]})
    assert answer.json() == {"object": "response.input_tokens", "input_tokens": 4711}
    assert vendor.requests[-1].url.path == "/openai/responses/input_tokens"
    sent = json.loads(vendor.requests[-1].content)
    assert sent.keys() == {"input", "model", "tools"}
    assert sent["tools"] == ASKED["tools"]
    assert len(sent["input"]) == 5


FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}
OFFERED = {"type": "web_search", "external_web_access": True}
LIMITED = {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}


@pytest.mark.parametrize(
    ("model", "search"), [(MODEL, OFFERED), (MODEL, LIMITED), ("claude-sonnet-5-5", OFFERED)], ids=str
)
async def test_P08_an_offered_search_is_left_out_for_keys_with_a_budget(
    keys: KeyStore, model: str, search: dict[str, Any]
) -> None:
    vendor = Vendor(lambda request: answer(request) if model == MODEL else hello(request))
    added = {"type": "additional_tools", "role": "developer", "tools": [search]}
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [search, {"type": "function", "name": "look"}]}
    items = [added, {"role": "user", "content": "Hello"}]
    body = {"model": model, "input": items, "tools": [search, FUNCTION], "tool_choice": allowed}
    async with account(keys, Limits(budget_day=20_000_000), environment=ENVIRONMENT, vendor=vendor) as spender:
        told = await spender.client.post(RESPONSES, json=body)
        response_of(told)
        assert told.headers["x-gateway-left-out"] == "web_search"
        sent = vendor.requests[-1].content.decode()
        assert "web_search" not in sent
        assert '"look"' in sent
        assert (await spender.row()).cost > 0
        for refused in ({**body, "tools": [search], "tool_choice": "auto"}, {**body, "tool_choice": search}):
            assert_error(await spender.client.post(RESPONSES, json=refused), "unsupported", field="tools")
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as free:
        told = await free.client.post(RESPONSES, json=body)
        assert "x-gateway-left-out" not in told.headers
        assert "web_search" in vendor.requests[-1].content.decode()
