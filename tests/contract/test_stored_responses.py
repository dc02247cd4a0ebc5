"""Stored responses and those in the background: what CONTRACT.md says of /v1/responses/{id} and what leads to it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openai.types.responses.response_item_list import ResponseItemList

from shared.batches.delivery import deliver
from shared.gateway.services import Services
from shared.responses.background import BackgroundAnswers
from shared.schemas.stored_response import StoredResponse
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue
from shared.stores.responses import ResponseStore
from shared.stores.stack_secret import StackSecret
from shared.stores.tenants import TenantFolders
from tests.client import BUCKET, TENANTS, gateway_client, make_services
from tests.contract.accounts import account
from tests.contract.all_vendors import ENVIRONMENT, every_vendor
from tests.contract.response_events import events_of, response_of
from tests.contract.scripted import ANTHROPIC, OPENAI, Call, Saying, Thought, answered
from tests.contract.vendor import Handler, Vendor
from tests.contract.wire import SANDBOX, assert_error

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
UNKNOWN = "resp_" + "0" * 27
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}


async def create(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    return response_of(await client.post(RESPONSES, json={"model": SANDBOX, "input": "Hello", **fields}))


def text(body: dict[str, Any]) -> str:
    return "".join(part["text"] for item in body["output"] for part in item.get("content", ()))


# ---- Stored ----------------------------------------------------------------------------------------------------------


async def test_P16_a_response_is_kept_and_retrieved_as_it_was_answered(client: httpx.AsyncClient) -> None:
    body = await create(client)
    assert body["store"] is True
    assert response_of(await client.get(f"{RESPONSES}/{body['id']}")) == body


async def test_P16_a_streamed_response_is_kept_before_its_last_event(client: httpx.AsyncClient) -> None:
    answer = await client.post(RESPONSES, json={"model": SANDBOX, "input": "Hello", "stream": True})
    body = events_of(answer)[-1]["response"]
    assert response_of(await client.get(f"{RESPONSES}/{body['id']}")) == body


async def test_P16_a_stored_response_is_streamed_again(client: httpx.AsyncClient) -> None:
    tool_call = await create(client, input="What is in Rome and Oslo?", tools=[TOOL], tool_choice="required")
    for body in (await create(client), tool_call):
        events = events_of(await client.get(f"{RESPONSES}/{body['id']}?stream=true"))
        assert events[-1]["response"] == body
        rest = await client.get(f"{RESPONSES}/{body['id']}?stream=true&starting_after=3")
        assert f'"sequence_number":{events[4]["sequence_number"]}' in rest.text.split("\n\n")[0]


async def test_P16_nothing_is_kept_where_the_request_says_so(client: httpx.AsyncClient) -> None:
    body = await create(client, store=False)
    assert body["store"] is False
    assert_error(await client.get(f"{RESPONSES}/{body['id']}"), "not_found")


async def test_P16_the_input_items_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Nothing", "id": "fco_mine"},
        {"role": "user", "content": [{"type": "input_text", "text": "Go on"}], "id": "msg_mine"},
    ]
    body = await create(client, input=items)
    path = f"{RESPONSES}/{body['id']}/input_items"
    whole = (await client.get(path, params={"order": "asc"})).json()
    ResponseItemList.model_validate(whole)
    assert [item["type"] for item in whole["data"]] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    ids = [item["id"] for item in whole["data"]]
    assert ids[3:] == ["fco_mine", "msg_mine"]
    first = (await client.get(path, params={"limit": 2})).json()
    assert [item["id"] for item in first["data"]] == ids[:2:-1]
    assert first["has_more"] is True
    rest = (await client.get(path, params={"limit": 3, "after": first["last_id"]})).json()
    assert [item["id"] for item in rest["data"]] == ids[2::-1]
    assert rest["has_more"] is False
    assert_error(await client.get(path, params={"limit": 101}), "validation", field="limit")
    assert_error(await client.get(path, params={"after": "msg_unknown"}), "validation", field="after")


async def test_P16_a_deleted_response_is_gone(client: httpx.AsyncClient) -> None:
    body = await create(client)
    path = f"{RESPONSES}/{body['id']}"
    assert (await client.delete(path)).json() == {"id": body["id"], "object": "response", "deleted": True}
    for answer in (await client.get(path), await client.get(f"{path}/input_items"), await client.delete(path)):
        assert_error(answer, "not_found")


@pytest.mark.parametrize("unknown", [UNKNOWN, "resp_1", "..", "resp_" + "0" * 26 + "é"])
async def test_P16_an_unknown_response_is_not_found(client: httpx.AsyncClient, unknown: str) -> None:
    answer = await client.get(f"{RESPONSES}/{httpx.URL(unknown).path or unknown}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_P16_another_tenants_response_is_not_found(keys: KeyStore) -> None:
    async with account(keys) as owner:
        body = await create(owner.client)
    path = f"{RESPONSES}/{body['id']}"
    async with account(keys) as other:
        for answer in (
            await other.client.get(path),
            await other.client.get(f"{path}/input_items"),
            await other.client.delete(path),
            await other.client.post(f"{path}/cancel"),
        ):
            assert_error(answer, "not_found")
        continued = await other.client.post(
            RESPONSES, json={"model": SANDBOX, "input": "Hi", "previous_response_id": body["id"]}
        )
        assert continued.status_code == 400
        referred = [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": body["output"][0]["id"]}]
        answer = await other.client.post(RESPONSES, json={"model": SANDBOX, "input": referred})
        assert_error(answer, "validation", field="input[1].id")


# ---- Continued -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    async with every_vendor(keys) as vendor:
        yield vendor


async def test_P17_a_response_is_continued_with_its_thoughts_and_without_its_instructions(vendor: Vendor) -> None:
    sayings = [Saying((Thought("Hm.", "sig-1"), Call("c1", "look", {})), "tools"), Saying()]
    vendor.answer = lambda request: answered(request, sayings.pop(0) if len(sayings) > 1 else sayings[0])
    asked = {"model": ANTHROPIC, "tools": [TOOL], "reasoning": {"effort": "high"}}
    first = await create(vendor.client, **asked, instructions="Be brief.")
    result = {"type": "function_call_output", "call_id": "c1", "output": "Nothing"}
    second = await create(vendor.client, **asked, input=[result], previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    request = json.loads(vendor.requests[-1].content)
    assert "Be brief." not in json.dumps(request)
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "user"]
    assert request["messages"][1]["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "sig-1"}
    await create(vendor.client, model=OPENAI, input="And now?", previous_response_id=second["id"])
    request = json.loads(vendor.requests[-1].content)
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


async def test_P17_a_response_that_was_continued_may_be_deleted(client: httpx.AsyncClient) -> None:
    first = await create(client)
    second = await create(client, previous_response_id=first["id"])
    await client.delete(f"{RESPONSES}/{first['id']}")
    assert "turn 3" in text(await create(client, previous_response_id=second["id"]))


async def test_P17_an_unknown_or_deleted_previous_response_is_refused(client: httpx.AsyncClient) -> None:
    deleted = (await create(client))["id"]
    await client.delete(f"{RESPONSES}/{deleted}")
    for previous in (UNKNOWN, deleted, "nonsense"):
        body = {"model": SANDBOX, "input": "Hi", "previous_response_id": previous}
        answer = await client.post(RESPONSES, json=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")


async def test_P17_items_are_referred_to_by_id(client: httpx.AsyncClient) -> None:
    first = await create(client)
    items = [
        {"role": "user", "content": "Hello"},
        {"type": "item_reference", "id": first["output"][0]["id"]},
        {"role": "user", "content": "And now?"},
    ]
    assert "turn 2" in text(await create(client, input=items, store=False))
    answer = await client.post(RESPONSES, json={"model": SANDBOX, "input": [{"id": "msg_unknown"}]})
    assert_error(answer, "validation", field="input[0].id")


async def test_P17_a_conversation_that_is_too_large_is_no_longer_continued(keys: KeyStore) -> None:
    item = {"id": "msg_1", "type": "message", "role": "user", "content": "x" * (33 * 2**20)}
    body = {"id": UNKNOWN[:-1] + "1", "status": "completed", "output": []}
    async with account(keys) as owner:
        store = ResponseStore(ObjectStore(keys.aws, BUCKET), TenantFolders(StackSecret(keys.aws, TENANTS)))
        await store.put(owner.key.tenant, StoredResponse(body, (item,)))
        answer = await owner.client.post(
            RESPONSES, json={"model": SANDBOX, "input": "Hi", "previous_response_id": body["id"]}
        )
    assert_error(answer, "too_large")


class CountingTransport(httpx.AsyncHTTPTransport):
    """Counts the calls of S3 by their method."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/media/" in request.url.path:
            self.calls[request.method] += 1
        return await super().handle_async_request(request)


async def test_P17_continuing_costs_as_many_reads_however_long_the_conversation_is(
    keys: KeyStore, aws_environment: dict[str, str]
) -> None:
    transport = CountingTransport()
    aws = Aws(aws_environment, transport=transport)
    async with gateway_client(keys, aws=aws) as client:
        previous, costs = (await create(client))["id"], []
        for _ in range(4):
            transport.calls.clear()
            previous = (await create(client, previous_response_id=previous))["id"]
            costs.append(dict(transport.calls))
    assert costs == [{"GET": 1, "PUT": 1}] * 4


async def test_P18_nothing_is_stored_where_the_operator_says_so(keys: KeyStore) -> None:
    async with gateway_client(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_STORE_RESPONSES": "off"}) as client:
        body = await create(client, store=True)
        assert body["store"] is False
        assert_error(await client.get(f"{RESPONSES}/{body['id']}"), "not_found")
        answer = await client.post(RESPONSES, json={"model": SANDBOX, "input": "Hi", "background": True})
        assert_error(answer, "validation", field="background")


# ---- In the background -----------------------------------------------------------------------------------------------


class Background:
    """A gateway whose batch worker works when it is told to."""

    def __init__(self, client: httpx.AsyncClient, worker: Services) -> None:
        self.client = client
        self.worker = worker

    async def submit(self, **fields: Any) -> dict[str, Any]:
        return await create(self.client, model=OPENAI, background=True, **fields)

    async def retrieve(self, body: dict[str, Any]) -> dict[str, Any]:
        return response_of(await self.client.get(f"{RESPONSES}/{body['id']}"))

    async def work(self) -> None:
        """Delivers the messages that are in the queue."""
        for message in await self.worker.batch_queue.receive(10, wait=0):
            await deliver(message, self.worker, remaining=lambda: 300.0)
            await self.worker.batch_queue.delete(message.receipt)


@pytest.fixture
async def upstream() -> Vendor:
    return Vendor(lambda request: answered(request, Saying()))


@pytest.fixture
async def background(keys: KeyStore, upstream: Vendor) -> AsyncIterator[Background]:
    name = f"queue-{uuid4().hex}"
    await Queue(keys.aws, name).create_queue(hidden_seconds=600)
    environment = {**ENVIRONMENT, "GATEWAY_BATCH_QUEUE": name}
    worker = make_services(keys, environment, upstream)
    async with gateway_client(keys, environment, upstream) as client:
        yield Background(client, worker)
    await worker.aclose()


async def test_P19_a_response_in_the_background_is_answered_at_once_and_polled(
    background: Background, upstream: Vendor
) -> None:
    waiting = await background.submit(instructions="Be brief.")
    assert (waiting["status"], waiting["background"], waiting["output"]) == ("queued", True, [])
    assert upstream.requests == []
    assert await background.retrieve(waiting) == waiting
    await background.work()
    body = await background.retrieve(waiting)
    assert (body["status"], body["id"], body["background"]) == ("completed", waiting["id"], True)
    assert text(body) == "Hello there"
    listed = await background.client.get(f"{RESPONSES}/{body['id']}/input_items")
    assert [item["content"][0]["text"] for item in listed.json()["data"]] == ["Hello"]
    continued = await create(background.client, model=OPENAI, previous_response_id=body["id"])
    assert continued["status"] == "completed"


async def test_P19_a_message_that_comes_twice_has_one_answer(background: Background, upstream: Vendor) -> None:
    await background.submit()
    (message,) = await background.worker.batch_queue.receive(10, wait=0)
    for _ in range(2):
        await deliver(message, background.worker, remaining=lambda: 300.0)
    assert len(upstream.requests) == 1


async def test_P19_the_models_of_a_request_stand_in_for_each_other_in_the_background_too(
    background: Background, upstream: Vendor
) -> None:
    upstream.answer = lambda request: (
        httpx.Response(500) if "anthropic" not in request.url.path else answered(request, Saying())
    )
    waiting = await background.submit(models=["not-a-model", ANTHROPIC])
    await background.work()
    body = await background.retrieve(waiting)
    assert (body["status"], body["model"], text(body)) == ("completed", ANTHROPIC, "Hello there")
    unknown = {"model": "not-a-model", "input": "Hello", "background": True}
    assert_error(await background.client.post(RESPONSES, json=unknown), "model_not_found")
    waiting = response_of(await background.client.post(RESPONSES, json={**unknown, "models": [ANTHROPIC]}))
    await background.work()
    assert (await background.retrieve(waiting))["model"] == ANTHROPIC


async def test_P19_a_queued_response_is_cancelled_for_good(background: Background, upstream: Vendor) -> None:
    waiting = await background.submit()
    path = f"{RESPONSES}/{waiting['id']}/cancel"
    assert response_of(await background.client.post(path))["status"] == "cancelled"
    await background.work()
    assert upstream.requests == []
    assert (await background.retrieve(waiting))["status"] == "cancelled"
    assert response_of(await background.client.post(path))["status"] == "cancelled"
    listed = await background.client.get(f"{RESPONSES}/{waiting['id']}/input_items")
    assert len(listed.json()["data"]) == 1


async def test_P19_a_response_that_is_being_made_is_cancelled(background: Background, upstream: Vendor) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never(request: httpx.Request) -> httpx.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    upstream.answer = never
    waiting = await background.submit()
    (message,) = await background.worker.batch_queue.receive(10, wait=0)
    answers = BackgroundAnswers(background.worker, look_seconds=0.01)
    working = asyncio.create_task(answers.process(message.body, receives=1, remaining=lambda: 300.0))
    await begun.wait()
    assert (await background.retrieve(waiting))["status"] == "in_progress"
    await background.client.post(f"{RESPONSES}/{waiting['id']}/cancel")
    await working
    assert ended.is_set()
    assert (await background.retrieve(waiting))["status"] == "cancelled"


async def test_P19_what_has_ended_is_not_cancelled(background: Background) -> None:
    waiting = await background.submit()
    await background.work()
    answer = await background.client.post(f"{RESPONSES}/{waiting['id']}/cancel")
    assert response_of(answer)["status"] == "completed"
    plain = await create(background.client, model=OPENAI)
    refusal = await background.client.post(f"{RESPONSES}/{plain['id']}/cancel")
    assert refusal.status_code == 400


async def test_P19_a_failure_in_the_background_is_a_failed_response(background: Background, upstream: Vendor) -> None:
    upstream.answer = lambda request: httpx.Response(500)
    waiting = await background.submit()
    await background.work()
    body = await background.retrieve(waiting)
    assert (body["status"], body["error"]["code"]) == ("failed", "server_error")
    events = events_of(await background.client.get(f"{RESPONSES}/{waiting['id']}?stream=true"))
    assert [event["type"] for event in events] == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.failed",
    ]


async def test_P19_a_rate_limit_postpones_an_answer(background: Background, upstream: Vendor) -> None:
    limited: Handler = lambda request: httpx.Response(429, headers={"retry-after": "1"})  # noqa: E731
    upstream.answer = limited
    waiting = await background.submit()
    await background.work()
    assert (await background.retrieve(waiting))["status"] == "queued"
    upstream.answer = lambda request: answered(request, Saying())
    (message,) = await background.worker.batch_queue.receive(10, wait=2)
    await deliver(message, background.worker, remaining=lambda: 300.0)
    assert (await background.retrieve(waiting))["status"] == "completed"


async def test_P19_a_deleted_response_is_never_stored(background: Background, upstream: Vendor) -> None:
    waiting = await background.submit()
    path = f"{RESPONSES}/{waiting['id']}"
    assert (await background.client.delete(path)).status_code == 200
    await background.work()
    assert upstream.requests == []
    assert_error(await background.client.get(path), "not_found")
    assert_error(await background.client.delete(path), "not_found")


async def test_P19_the_worker_gives_up_what_has_killed_workers(background: Background, upstream: Vendor) -> None:
    waiting = await background.submit()
    (message,) = await background.worker.batch_queue.receive(10, wait=0)
    await BackgroundAnswers(background.worker).process(message.body, receives=4, remaining=lambda: 300.0)
    assert upstream.requests == []
    assert (await background.retrieve(waiting))["status"] == "failed"


async def test_P19_a_stream_in_the_background_follows_it_to_its_end(background: Background) -> None:
    body = {"model": OPENAI, "input": "Hello", "background": True, "stream": True}
    following = asyncio.create_task(background.client.post(RESPONSES, json=body))
    while not (messages := await background.worker.batch_queue.receive(10, wait=0)):
        assert not following.done(), following.result().text
    await deliver(messages[0], background.worker, remaining=lambda: 300.0)
    events = events_of(await following)
    assert [event["type"] for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert events[-1]["response"]["status"] == "completed"
    again = events_of(await background.client.get(f"{RESPONSES}/{events[0]['response']['id']}?stream=true"))
    assert again == events


async def test_a_model_that_may_not_be_used_is_refused_before_anything_is_left_to_the_worker(
    background: Background,
) -> None:
    answer = await background.client.post(RESPONSES, json={"model": "nothing", "input": "Hi", "background": True})
    assert_error(answer, "model_not_found")
    assert await background.worker.batch_queue.receive(10, wait=0) == []
