"""Batches by the contract's numbers, S25 to S29, and their OpenAI form: what clients send and what they get."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpcore
import httpx
import pytest
from openai.types import Batch as OpenAIBatch
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from shared.fetch import RemoteFetcher
from shared.gateway.services import Services
from shared.routes import ROUTES
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from tests.batches.batch_harness import BatchHarness, jsonl, make_services
from tests.batches.conftest import *  # noqa: F403 - its fixtures
from tests.client import gateway_client
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

BATCH = "/v1/inference/batch"
OPENAI = "/v1/batches"
FIELDS = {
    "id",
    "batch_id",
    "object",
    "status",
    "endpoint_completion_window",
    "created_at",
    "in_progress_at",
    "completed_at",
    "cancelled_at",
    "expires_at",
    "request_counts",
    "output_file_url",
    "error_file_url",
    "metadata",
}
MESSAGES = [{"role": "user", "content": "Hello"}]
BODIES = {
    "/v1/inference/chat": {"model": "sandbox/chat", "messages": MESSAGES},
    "/v1/inference/generate": {"model": "sandbox/chat", "prompt": "Hello"},
    "/v1/inference/embed": {"model": "sandbox/embedding", "input": "Hello"},
    "/v1/inference/images/generate": {"model": "sandbox/image", "prompt": "a cat", "size": "64x64"},
    "/v1/inference/audio/synthesize": {"model": "sandbox/speech", "input": "Hello", "response_format": "wav"},
    "/v1/chat/completions": {"model": "sandbox/chat", "messages": MESSAGES},
    "/v1/chat/completions/stable": {"messages": MESSAGES},
    "/v1/messages": {"model": "sandbox/chat", "messages": MESSAGES, "max_tokens": 100},
    "/v1/completions": {"model": "sandbox/chat", "prompt": "Hello"},
    "/v1/responses": {"model": "sandbox/chat", "input": "Hello"},
    "/v1/embeddings": {"model": "sandbox/embedding", "input": "Hello"},
    "/v1/images/generations": {"model": "sandbox/image", "prompt": "a cat", "size": "64x64"},
    "/v1/audio/speech": {
        "model": "sandbox/speech",
        "input": "Hello",
        "voice": "alloy",
        "response_format": "wav",
    },
}
SPOKEN = {"/v1/inference/audio/synthesize", "/v1/audio/speech"}
REQUESTS = [
    {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": "/v1/inference/chat",
        "body": BODIES["/v1/inference/chat"],
    }
    for number in range(3)
]


def line(url: str, custom_id: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"custom_id": custom_id or url, "method": "POST", "url": url, "body": {**BODIES[url], **fields}}


@dataclass
class Shop:
    """The gateway's front door, and the workers behind it, which work when they are told to."""

    client: httpx.AsyncClient
    harness: BatchHarness
    worker: Services

    async def work(self) -> None:
        await self.harness.work(self.worker)

    async def submit(self, **fields: Any) -> Any:
        """The batch of a submission that is taken on."""
        response = await self.client.post(BATCH, json=fields or {"requests": REQUESTS})
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def batch(self, batch_id: str) -> Any:
        response = await self.client.get(f"{BATCH}/{batch_id}")
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def done(self, **fields: Any) -> Any:
        """The batch of a submission when the workers are through with it."""
        batch = await self.submit(**fields)
        await self.work()
        return await self.batch(batch["id"])


@pytest.fixture
async def shop(keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness) -> AsyncIterator[Shop]:
    settings = {"GATEWAY_SANDBOX": "on"}
    worker = make_services(keys, aws_environment, harness, **settings)
    async with gateway_client(keys, settings, aws=Aws(aws_environment, transport=harness), token=None) as client:
        # A tenant of its own, so that no other test's batches are listed.
        client.headers["authorization"] = f"Bearer {await new_key(keys)}"
        yield Shop(client, harness, worker)
    await worker.aclose()


async def new_key(keys: KeyStore, **changes: Any) -> str:
    import secrets

    from shared.schemas.caller import Key, Permission

    token = f"sk-{secrets.token_hex(8)}"
    key = Key(key_id=token[3:], tenant=token, permissions=frozenset(Permission))
    await keys.put(token, key.model_copy(update=changes))
    return token


async def opened(url: str) -> list[Any]:
    """The lines behind a result's URL, opened as anyone would who has it."""
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(url)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/jsonl"
    return [json.loads(text) for text in response.content.splitlines()]


def unreachable() -> Aws:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    return Aws(environment, transport=httpx.MockTransport(fail))


@pytest.mark.parametrize("path", [BATCH, OPENAI])
async def test_without_aws_every_operation_on_batches_is_a_503_in_its_dialect(keys: KeyStore, path: str) -> None:
    submission = {
        BATCH: {"requests": REQUESTS},
        OPENAI: {"input_file_id": "file-" + "7" * 27, "endpoint": "/v1/embeddings", "completion_window": "24h"},
    }
    async with gateway_client(keys, aws=unreachable()) as client:
        for answer in (
            await client.post(path, json=submission[path]),
            await client.get(path),
            await client.get(f"{path}/batch_{'7' * 27}"),
            await client.post(f"{path}/batch_{'7' * 27}/cancel"),
        ):
            message = assert_error(answer, "unavailable", retry_after=1)
            assert "dynamo" not in message.lower()


# ---- S25 submit


async def test_S25_a_submission_is_answered_with_the_batch(shop: Shop) -> None:
    response = await shop.client.post(BATCH, json={"requests": REQUESTS, "metadata": {"team": "blue", "n": [1]}})
    assert response.status_code == 200
    body = response.json()
    assert body.keys() == {"status", "data", "meta"}
    assert body["status"] == "ok"
    assert body["meta"] == {"request_id": response.headers["x-scaigrid-request-id"]}
    batch = body["data"]
    assert batch.keys() == FIELDS
    assert batch["id"] == batch["batch_id"]
    assert (batch["object"], batch["status"]) == ("batch", "validating")
    assert batch["endpoint_completion_window"] == "24h"
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert batch["metadata"] == {"team": "blue", "n": [1]}
    for name in ("in_progress_at", "completed_at", "cancelled_at", "output_file_url", "error_file_url"):
        assert batch[name] is None
    created, expires = (datetime.strptime(batch[name], "%Y-%m-%dT%H:%M:%SZ") for name in ("created_at", "expires_at"))
    assert (expires - created).total_seconds() == 24 * 3600


@pytest.mark.parametrize("window", ["24h", "4h", "1h"])
async def test_S25_the_window_may_be_a_day_or_less(shop: Shop, window: str) -> None:
    batch = await shop.submit(requests=REQUESTS, endpoint_completion_window=window)
    assert batch["endpoint_completion_window"] == window


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "input_file_url"),
        ({"requests": REQUESTS, "input_file_base64": "e30="}, "requests"),
        ({"requests": []}, "requests"),
        ({"requests": {}}, "requests"),
        ({"input_file_base64": "???"}, "input_file_base64"),
        ({"input_file_base64": ""}, "input_file_base64"),
        ({"input_file_url": "http://example.com/lines"}, "input_file_url"),
        ({"input_file_url": "https://169.254.169.254/latest"}, "input_file_url"),
        ({"input_file_url": "s3://gateway-media/files/other/file-1/batch/x"}, "input_file_url"),
        ({"requests": REQUESTS, "endpoint_completion_window": "2h"}, "endpoint_completion_window"),
        ({"requests": REQUESTS, "metadata": "text"}, "metadata"),
        ({"requests": REQUESTS, "metadata": {"a": "x" * 20_000}}, "metadata"),
    ],
)
async def test_S25_a_wrong_field_is_named(shop: Shop, fields: dict[str, Any], field: str) -> None:
    assert_error(await shop.client.post(BATCH, json=fields), "validation", field=field)
    assert not shop.harness.queue


async def test_S25_lines_may_come_in_base64_of_either_alphabet(shop: Shop) -> None:
    content = jsonl([line("/v1/inference/chat", "ÿ>?" * 3), line("/v1/embeddings")])
    for encoded in (base64.b64encode(content), base64.urlsafe_b64encode(content).rstrip(b"=")):
        batch = await shop.done(input_file_base64=encoded.decode())
        assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}


async def test_S25_base64_of_more_than_10_MB_is_413_and_names_the_ways_around(shop: Shop) -> None:
    for size in (10 * 2**20 + 1, 30 * 2**20):
        encoded = base64.b64encode(b"x" * size).decode()
        message = assert_error(await shop.client.post(BATCH, json={"input_file_base64": encoded}), "too_large")
        assert "input_file_url" in message
        assert "/v1/files" in message


async def test_S25_lines_may_lie_behind_an_https_url(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    content = jsonl([line("/v1/inference/chat")])
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content)

    class Tls(httpcore.AsyncMockStream):
        async def start_tls(self, *arguments: Any, **options: Any) -> "Tls":
            return self

    class Network(httpcore.AsyncMockBackend):
        async def connect_tcp(self, *arguments: Any, **options: Any) -> Tls:
            return Tls([answer])

    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    fetcher = RemoteFetcher(network=Network([]), resolve=resolve)
    settings = {"GATEWAY_SANDBOX": "on"}
    worker = make_services(keys, aws_environment, harness, **settings)
    async with gateway_client(keys, settings, aws=Aws(aws_environment, transport=harness), fetcher=fetcher) as client:
        batch = await Shop(client, harness, worker).done(input_file_url="https://files.test/lines.jsonl?signature=x")
    assert batch["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    await worker.aclose()


async def test_S25_lines_may_lie_in_a_file_of_the_callers(shop: Shop) -> None:
    upload = {"file": ("lines.jsonl", jsonl([line("/v1/inference/chat")])), "purpose": (None, "batch")}
    file_id = (await shop.client.post("/v1/files", files=upload)).json()["id"]
    tenant = shop.client.headers["authorization"].removeprefix("Bearer ")
    key = (await shop.worker.files.find(tenant, file_id)).key
    batch = await shop.done(input_file_url=f"s3://{shop.worker.objects.bucket}/{key}")
    assert batch["request_counts"]["completed"] == 1


async def test_S25_every_url_is_answered_as_its_route_answers(shop: Shop) -> None:
    assert set(BODIES) == {route.path for route in ROUTES if route.batchable}
    """All in one batch."""
    batch = await shop.done(requests=[line(url) for url in BODIES])
    assert batch["request_counts"] == {"total": len(BODIES), "completed": len(BODIES), "failed": 0}
    for result in await opened(batch["output_file_url"]):
        url, body = result["custom_id"], result["response"]["body"]
        if url in SPOKEN:
            assert body["content_type"] == "audio/wav"
            async with httpx.AsyncClient(trust_env=False) as client:
                audio = await client.get(body["url"])
            assert audio.headers["content-type"] == "audio/wav"
            assert audio.content.startswith(b"RIFF")
            assert (await shop.client.get(f"/v1/files/{body['file_id']}/content")).content == audio.content
            continue
        direct = (await shop.client.post(url, json=BODIES[url])).json()
        assert body.keys() == direct.keys()
        if url.startswith("/v1/inference/"):
            assert (body["status"], body["meta"]) == ("ok", {"request_id": result["response"]["request_id"]})
            body = body["data"]
        match url.rpartition("/")[2]:
            case "chat" | "completions" if "messages" in BODIES[url]:
                assert "Hello" in (ChatCompletion.model_validate(body).choices[0].message.content or "")
            case "responses":
                assert "Hello" in Response.model_validate(body).output_text
                assert (await shop.client.get(f"/v1/responses/{body['id']}")).json() == body
            case "embed" | "embeddings":
                assert CreateEmbeddingResponse.model_validate(body).data[0].embedding
            case "generate" | "generations" if "size" in BODIES[url]:
                assert (ImagesResponse.model_validate(body).data or [])[0].url


async def test_S25_bad_lines_are_reported_with_their_numbers_and_the_others_answered(shop: Shop) -> None:
    requests = [
        line("/v1/inference/chat", "good"),
        "no object",
        {**line("/v1/inference/chat", "get"), "method": "GET"},
        {**line("/v1/inference/chat", "elsewhere"), "url": "/v1/models"},
        {**line("/v1/inference/chat", "no body"), "body": None},
        line("/v1/inference/chat", "good"),
        line("/v1/inference/chat", "invalid", temperature=9),
        line("/v1/inference/chat", "unknown", model="no-such-model"),
    ]
    batch = await shop.done(requests=requests)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 8, "completed": 1, "failed": 7}
    errors = await opened(batch["error_file_url"])
    told = {result["error"]["line"]: result for result in errors}
    assert {number: result["error"]["code"] for number, result in told.items()} == {
        2: "invalid_json_line",
        3: "invalid_method",
        4: "invalid_url",
        5: "invalid_body",
        6: "duplicate_custom_id",
        7: "VALIDATION_ERROR",
        8: "MODEL_NOT_FOUND",
    }
    for number in range(2, 7):
        assert f"line {number}" in told[number]["error"]["message"]
        assert told[number]["response"] is None
    assert told[7]["response"]["status_code"] == 422
    assert told[8]["response"]["status_code"] == 404


async def test_S25_an_input_that_cannot_be_read_fails_the_batch_with_the_reason(shop: Shop) -> None:
    batch = await shop.done(input_file_base64=base64.b64encode(b"%PDF-1.7 no lines").decode())
    assert batch["status"] == "failed"
    (error,) = batch["errors"]
    assert (error["code"], error["line"]) == ("invalid_json_line", 1)
    assert error["message"]


@pytest.mark.parametrize("lacking", ["batch:use", "models:use"])
async def test_S25_a_key_needs_the_permissions_for_batches_and_models(shop: Shop, keys: KeyStore, lacking: str) -> None:
    from shared.schemas.caller import Permission

    token = await new_key(keys, permissions=frozenset(Permission) - {Permission(lacking)})
    headers = {"authorization": f"Bearer {token}"}
    routes = [route for route in ROUTES if route.function == "batches"]
    assert routes
    for route in routes:
        path = route.path.format(batch_id="batch_x")
        response = await shop.client.request(route.method, path, headers=headers)
        assert lacking in assert_error(response, "permission")
        assert_error(await shop.client.request(route.method, path, headers={"authorization": ""}), "token_missing")


# ---- S26 list


async def test_S26_batches_are_listed_newest_first_page_by_page_while_new_ones_arrive(shop: Shop) -> None:
    ids = []
    for _ in range(5):
        ids.append((await shop.submit())["id"])
        shop.harness.now += 1
    response = await shop.client.get(BATCH, params={"limit": 2})
    page = response.json()
    assert page.keys() == {"status", "data", "pagination", "meta"}
    assert page["data"].keys() == {"items"}
    assert page["meta"]["request_id"] == response.headers["x-request-id"]
    seen = [item["id"] for item in page["data"]["items"]]
    while page["pagination"]["has_more"]:
        await shop.submit()
        cursor = page["pagination"]["next_cursor"]
        page = (await shop.client.get(BATCH, params={"limit": 2, "cursor": cursor})).json()
        seen += [item["id"] for item in page["data"]["items"]]
    assert seen == ids[::-1]
    assert page["pagination"] == {"has_more": False, "next_cursor": None}


async def test_S26_a_listed_batch_is_the_batch(shop: Shop) -> None:
    batch = await shop.done()
    (listed,) = (await shop.client.get(BATCH)).json()["data"]["items"]
    assert {**listed, "output_file_url": ""} == {**batch, "output_file_url": ""}
    assert len(await opened(listed["output_file_url"])) == 3


async def test_S26_a_page_has_20_batches_unless_the_caller_says_otherwise(shop: Shop) -> None:
    for _ in range(21):
        await shop.submit()
    page = (await shop.client.get(BATCH)).json()
    assert (len(page["data"]["items"]), page["pagination"]["has_more"]) == (20, True)
    page = (await shop.client.get(BATCH, params={"limit": 100})).json()
    assert (len(page["data"]["items"]), page["pagination"]["has_more"]) == (21, False)


async def test_S26_batches_are_filtered_by_status(shop: Shop) -> None:
    done = await shop.done()
    waiting = await shop.submit()
    for status, ids in (("completed", [done["id"]]), ("validating", [waiting["id"]]), ("cancelled", [])):
        page = (await shop.client.get(BATCH, params={"status": status})).json()
        assert [item["id"] for item in page["data"]["items"]] == ids


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "batch_" + "g" * 27}, "cursor"),
        ({"status": "asleep"}, "status"),
    ],
)
async def test_S26_a_wrong_query_is_422(shop: Shop, query: dict[str, Any], field: str) -> None:
    assert_error(await shop.client.get(BATCH, params=query), "validation", field=field)


async def test_S26_nobody_sees_anothers_batches(shop: Shop, keys: KeyStore) -> None:
    batch = await shop.submit()
    headers = {"authorization": f"Bearer {await new_key(keys)}"}
    assert (await shop.client.get(BATCH, headers=headers)).json()["data"]["items"] == []
    for method, path in (("GET", ""), ("POST", "/cancel")):
        for route in (BATCH, OPENAI):
            response = await shop.client.request(method, f"{route}/{batch['id']}{path}", headers=headers)
            assert response.status_code == 404
    assert (await shop.batch(batch["id"]))["status"] == "validating"


# ---- S27 look


async def test_S27_a_batch_goes_through_its_statuses_and_counts_its_lines(shop: Shop) -> None:
    batch = await shop.submit()
    seen = []
    while shop.harness.queue:
        await shop.harness.step(shop.worker)
        now = await shop.batch(batch["id"])
        seen.append((now["status"], now["request_counts"]["completed"]))
    assert seen[:4] == [("in_progress", 0), ("in_progress", 2), ("in_progress", 3), ("completed", 3)]
    assert now["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert now["created_at"] <= now["in_progress_at"] <= now["completed_at"]


async def test_S27_the_result_urls_open_files_of_one_line_for_each_request(shop: Shop) -> None:
    batch = await shop.done(requests=[*REQUESTS, line("/v1/inference/chat", "bad", temperature=9)])
    outputs, errors = await opened(batch["output_file_url"]), await opened(batch["error_file_url"])
    assert {result["custom_id"] for result in outputs} == {request["custom_id"] for request in REQUESTS}
    for result in outputs:
        assert result.keys() == {"id", "custom_id", "response", "error"}
        assert result["id"].startswith("batch_req_")
        assert result["error"] is None
        assert result["response"].keys() == {"status_code", "request_id", "body"}
        assert result["response"]["status_code"] == 200
    (error,) = errors
    assert error.keys() == {"id", "custom_id", "response", "error"}
    assert error["custom_id"] == "bad"
    assert {"code", "message"} <= error["error"].keys()


async def test_S27_a_file_without_lines_has_no_url(shop: Shop) -> None:
    good = await shop.done()
    assert good["error_file_url"] is None
    bad = await shop.done(requests=[line("/v1/inference/chat", temperature=9)])
    assert bad["output_file_url"] is None
    assert bad["error_file_url"]


@pytest.mark.parametrize("batch_id", ["batch_unknown", "batch_" + "0" * 27, "..", "x" * 3000])
async def test_S27_a_batch_that_there_is_not_is_404(shop: Shop, batch_id: str) -> None:
    response = await shop.client.get(f"{BATCH}/{batch_id}" if batch_id != ".." else f"{BATCH}/%2e%2e")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "BATCH_NOT_FOUND"
    assert (await shop.client.get(f"{OPENAI}/{batch_id}".replace("..", "%2e%2e"))).status_code == 404


async def test_S27_a_batch_that_expires_says_so(shop: Shop) -> None:
    batch = await shop.submit(requests=REQUESTS, endpoint_completion_window="1h")
    shop.harness.now += 3660  # the API has a clock of its own
    await shop.work()
    batch = await shop.batch(batch["id"])
    assert (batch["status"], batch["request_counts"]["failed"]) == ("expired", 3)
    assert {result["error"]["code"] for result in await opened(batch["error_file_url"])} == {"expired"}


# ---- S28, S29 cancel


async def test_S28_a_cancelled_batch_begins_no_more_lines(shop: Shop) -> None:
    batch = await shop.submit()
    response = await shop.client.post(f"{BATCH}/{batch['id']}/cancel")
    assert response.status_code == 200
    assert response.json()["data"].keys() == FIELDS
    assert response.json()["data"]["status"] == "cancelling"
    await shop.work()
    batch = await shop.batch(batch["id"])
    assert batch["status"] == "cancelled"
    assert batch["cancelled_at"]
    assert batch["request_counts"] == {"total": 3, "completed": 0, "failed": 3}
    errors = await opened(batch["error_file_url"])
    assert {(result["error"]["code"], result["response"]) for result in errors} == {("cancelled", None)}


async def test_S28_a_batch_that_has_ended_cannot_be_cancelled(shop: Shop) -> None:
    batch = await shop.done()
    response = await shop.client.post(f"{BATCH}/{batch['id']}/cancel")
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "CONFLICT"
    response = await shop.client.post(f"{OPENAI}/{batch['id']}/cancel")
    assert response.status_code == 409
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_S28_a_batch_that_there_is_not_cannot_be_cancelled(shop: Shop) -> None:
    response = await shop.client.post(f"{BATCH}/batch_unknown/cancel")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "BATCH_NOT_FOUND")


async def test_S29_what_was_done_before_the_cancellation_is_kept_and_served(shop: Shop) -> None:
    batch = await shop.submit()
    await shop.harness.step(shop.worker)
    await shop.harness.step(shop.worker)
    await shop.client.post(f"{BATCH}/{batch['id']}/cancel")
    await shop.work()
    batch = await shop.batch(batch["id"])
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert {result["custom_id"] for result in await opened(batch["output_file_url"])} == {"request-0", "request-1"}
    assert [result["custom_id"] for result in await opened(batch["error_file_url"])] == ["request-2"]


# ---- The OpenAI form


async def uploaded(shop: Shop, lines: list[Any], purpose: str = "batch") -> str:
    upload = {"file": ("lines.jsonl", jsonl(lines)), "purpose": (None, purpose)}
    response = await shop.client.post("/v1/files", files=upload)
    assert response.status_code == 200, response.text
    file_id: str = response.json()["id"]
    return file_id


async def test_openai_a_batch_is_openais_object(shop: Shop) -> None:
    file_id = await uploaded(shop, [line("/v1/chat/completions", name) for name in "abc"])
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    response = await shop.client.post(OPENAI, json={**order, "metadata": {"team": "blue"}})
    assert response.status_code == 200, response.text
    batch = OpenAIBatch.model_validate(response.json())
    assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"team": "blue"})
    assert (batch.input_file_id, batch.endpoint, batch.completion_window) == tuple(order.values())
    await shop.work()
    batch = OpenAIBatch.model_validate((await shop.client.get(f"{OPENAI}/{batch.id}")).json())
    assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 3, "completed": 3, "failed": 0}
    content = await shop.client.get(f"/v1/files/{batch.output_file_id}/content")
    assert {json.loads(text)["custom_id"] for text in content.text.splitlines()} == {"a", "b", "c"}
    listed = (await shop.client.get(OPENAI)).json()
    assert [OpenAIBatch.model_validate(row) for row in listed["data"]] == [batch]
    assert (listed["object"], listed["has_more"]) == ("list", False)


async def test_openai_a_line_for_another_endpoint_fails_alone(shop: Shop) -> None:
    file_id = await uploaded(shop, [line("/v1/chat/completions", "a"), line("/v1/embeddings", "b")])
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = (await shop.client.post(OPENAI, json=order)).json()
    await shop.work()
    batch = (await shop.client.get(f"{OPENAI}/{batch['id']}")).json()
    (error,) = (await shop.client.get(f"/v1/files/{batch['error_file_id']}/content")).text.splitlines()
    assert json.loads(error)["error"]["code"] == "mismatched_endpoint"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input_file_id": None}, "input_file_id"),
        ({"input_file_id": "file-unknown"}, "input_file_id"),
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"completion_window": None}, "completion_window"),
        ({"metadata": {"a": 5}}, "metadata.a"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
    ],
)
async def test_openai_a_wrong_field_is_named(shop: Shop, fields: dict[str, Any], field: str) -> None:
    order = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h", **fields}
    assert_error(await shop.client.post(OPENAI, json=order), "validation", field=field)


async def test_openai_a_file_for_another_purpose_is_refused(shop: Shop) -> None:
    file_id = await uploaded(shop, [line("/v1/chat/completions")], "user_data")
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert_error(await shop.client.post(OPENAI, json=order), "validation", field="input_file_id")


async def test_openai_batches_are_paged_by_id(shop: Shop) -> None:
    ids = []
    for _ in range(3):
        ids.append((await shop.submit())["id"])
        shop.harness.now += 1
    page = (await shop.client.get(OPENAI, params={"limit": 2})).json()
    assert [batch["id"] for batch in page["data"]] == ids[:0:-1]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[2], ids[1], True)
    page = (await shop.client.get(OPENAI, params={"after": ids[1]})).json()
    assert [batch["id"] for batch in page["data"]] == ids[:1]
    assert OpenAIBatch.model_validate(page["data"][0])
    for query in ({"limit": 101}, {"after": "nonsense"}):
        (field,) = query
        assert_error(await shop.client.get(OPENAI, params=query), "validation", field=field)


async def test_openai_an_input_that_cannot_be_read_fails_the_batch(shop: Shop) -> None:
    file_id = await uploaded(shop, [b"no json"])
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = (await shop.client.post(OPENAI, json=order)).json()
    await shop.work()
    failed = OpenAIBatch.model_validate((await shop.client.get(f"{OPENAI}/{batch['id']}")).json())
    assert (failed.status, failed.errors is not None and failed.errors.object) == ("failed", "list")
    assert failed.errors is not None
    assert [(error.code, error.line) for error in failed.errors.data or []] == [("invalid_json_line", 1)]
