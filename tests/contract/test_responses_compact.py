"""/v1/responses/compact: OpenAI's own compaction for its models, an error for all others."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.contract.accounts import account
from tests.contract.all_vendors import ENVIRONMENT, every_vendor
from tests.contract.response_events import response_of
from tests.contract.vendor import RESPONSE_USAGE, Vendor, response, response_message
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
COMPACT = f"{RESPONSES}/compact"
MODEL = "gpt-5"
QUESTION = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
SUMMARY = {"id": "cmp_vendor", "type": "compaction", "encrypted_content": "gAAA-vendors"}
COMPACTED = {
    "id": "resp_compacted",
    "object": "response.compaction",
    "created_at": 1,
    "output": [{**QUESTION, "id": "msg_vendor", "status": "completed"}, SUMMARY],
    "usage": {**RESPONSE_USAGE, "input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200},
    "something_new": {"a": 1},
}


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/openai/responses/compact":
        return httpx.Response(200, json=COMPACTED)
    return httpx.Response(200, json=response({**SUMMARY, "id": "cmp_inside"}, response_message("Hello there")))


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    async with every_vendor(keys) as vendor:
        vendor.answer = answer
        yield vendor


def last_sent(vendor: Vendor) -> Any:
    return json.loads(vendor.requests[-1].content)


async def test_a_conversation_is_compacted_by_its_vendor_and_nothing_of_the_answer_is_changed(vendor: Vendor) -> None:
    body = {"model": MODEL, "input": [QUESTION], "instructions": "Be brief.", "prompt_cache_key": "k", "new_field": 1}
    of_an_answer = {"store": True, "stream": True, "include": [], "max_output_tokens": 9, "client_metadata": {"a": "b"}}
    told = await vendor.client.post(COMPACT, json={**body, **of_an_answer})
    assert told.json() == COMPACTED
    assert told.headers["x-gateway-model"] == MODEL
    assert last_sent(vendor) == {**body, "model": last_sent(vendor)["model"]}
    assert last_sent(vendor)["model"] == told.headers["x-gateway-backend"].removeprefix("openai/")


async def test_a_text_is_compacted(vendor: Vendor) -> None:
    told = await vendor.client.post(COMPACT, json={"model": MODEL, "input": "Hello"})
    assert told.json() == COMPACTED
    assert last_sent(vendor)["input"][0]["content"] == QUESTION["content"]


async def test_a_stored_conversation_is_compacted_whole(vendor: Vendor) -> None:
    first = response_of(await vendor.client.post(RESPONSES, json={"model": MODEL, "input": "Hello"}))
    body = {"model": MODEL, "previous_response_id": first["id"]}
    assert (await vendor.client.post(COMPACT, json=body)).json() == COMPACTED
    assert "previous_response_id" not in last_sent(vendor)
    assert [item["type"] for item in last_sent(vendor)["input"]] == ["message", "compaction", "message"]


async def test_the_compacted_conversation_goes_on_as_the_vendor_gave_it(vendor: Vendor) -> None:
    compacted = (await vendor.client.post(COMPACT, json={"model": MODEL, "input": [QUESTION]})).json()["output"]
    response_of(await vendor.client.post(RESPONSES, json={"model": MODEL, "input": [*compacted, QUESTION]}))
    # OpenAI refuses encrypted content under another id than its own.
    assert last_sent(vendor)["input"] == [*compacted, QUESTION]


async def test_a_compaction_inside_an_answer_goes_back_without_the_gateways_id(vendor: Vendor) -> None:
    first = response_of(await vendor.client.post(RESPONSES, json={"model": MODEL, "input": [QUESTION]}))
    following = {"model": MODEL, "input": [QUESTION, *first["output"], QUESTION]}
    response_of(await vendor.client.post(RESPONSES, json=following))
    assert first["output"][0]["id"] != "cmp_inside"
    assert last_sent(vendor)["input"][1] == {name: value for name, value in SUMMARY.items() if name != "id"}


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "gemini-3.8-flash", "deepseek-ai/DeepSeek-V3-0324"])
async def test_compaction_by_a_model_without_it_is_refused(vendor: Vendor, model: str) -> None:
    told = await vendor.client.post(COMPACT, json={"model": model, "input": "Hello"})
    assert_error(told, "unsupported", field="model")
    assert vendor.requests == []


async def test_Auto_compacts_with_a_model_that_can(vendor: Vendor) -> None:
    told = await vendor.client.post(COMPACT, json={"model": "Auto", "input": "Hello"})
    assert told.json() == COMPACTED


async def test_the_vendors_error_keeps_its_meaning(vendor: Vendor) -> None:
    vendor.answer = lambda request: httpx.Response(429, json={"error": {"message": "Slow down."}})
    told = await vendor.client.post(COMPACT, json={"model": MODEL, "input": "Hello"})
    assert told.status_code == 429
    assert "retry-after" in told.headers


async def test_compactions_and_what_they_hold_are_charged_by_their_tokens(keys: KeyStore) -> None:
    limited = {"type": "web_search_preview", "filters": {"allowed_domains": ["a.example"]}}
    offers = {"tools": [{"type": "web_search"}, limited, {"type": "apply_patch"}]}
    limits = Limits(budget_day=20_000_000)
    async with account(keys, limits, environment=ENVIRONMENT, vendor=Vendor(answer)) as spender:
        told = await spender.client.post(COMPACT, json={"model": MODEL, "input": [QUESTION], **offers})
        assert told.status_code == 200, told.text
        row = await spender.row()
        assert (row.usage.input_tokens, row.usage.output_tokens, row.estimated) == (1000, 200, 0)
        assert row.cost > 0
        assert told.headers["x-gateway-cost"]
        following = {"model": MODEL, "input": [*COMPACTED["output"], QUESTION]}
        response_of(await spender.client.post(RESPONSES, json=following))
