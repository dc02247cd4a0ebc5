"""What uses no model has limits too: the requests a minute of its key, and the bytes that its tenant may store."""

import asyncio
from typing import Any

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from tests.contract.accounts import Account, account
from tests.contract.wire import assert_error
from tests.quick_aws import QuickAws

pytestmark = pytest.mark.anyio
FILES, BATCHES, ENVELOPE_BATCHES = "/v1/files", "/v1/batches", "/v1/inference/batch"
UNKNOWN = "file-" + "7" * 27
LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/inference/chat",
    "body": {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]},
}


async def upload(caller: Account, size: int = 1) -> httpx.Response:
    return await caller.client.post(FILES, data={"purpose": "batch"}, files={"file": ("a", b"x" * size)})


async def announce(caller: Account, size: int = 1) -> httpx.Response:
    return await caller.client.post(FILES, json={"filename": "a", "purpose": "batch", "bytes": size})


async def submit(caller: Account) -> httpx.Response:
    return await caller.client.post(ENVELOPE_BATCHES, json={"requests": [LINE]})


async def submit_file(caller: Account) -> httpx.Response:
    order = {"input_file_id": UNKNOWN, "endpoint": "/v1/embeddings", "completion_window": "24h"}
    return await caller.client.post(BATCHES, json=order)


async def delete(caller: Account) -> httpx.Response:
    return await caller.client.delete(f"{FILES}/{UNKNOWN}")


async def cancel(caller: Account) -> httpx.Response:
    return await caller.client.post(f"{BATCHES}/batch_{'7' * 27}/cancel")


WRITES = [upload, announce, submit, submit_file, delete, cancel]


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_is_one_of_the_requests_a_minute_of_its_key(keys: KeyStore, write: Any) -> None:
    async with account(keys, Limits(requests_per_minute=2)) as caller:
        for left in (1, 0):
            answer = await write(caller)
            assert answer.status_code != 429, answer.text
            assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
        refused = await write(caller)
        assert refused.status_code == 429, refused.text
        assert 0 < int(refused.headers["retry-after"]) <= 30
        assert "The key's limit of requests" in refused.json()["error"]["message"]
        assert (await caller.client.get(FILES)).status_code == 200
        standing = await caller.standing()
        assert (standing.in_flight, standing.reserved) == (0, 0)
        assert await caller.rows() == []


async def test_writes_count_for_the_tenant_and_a_key_without_limits_has_none(keys: KeyStore) -> None:
    async with account(keys, above=Limits(requests_per_minute=1)) as caller:
        assert (await upload(caller)).status_code == 200
        assert (await upload(caller)).status_code == 429
    async with account(keys) as caller:
        for _ in range(3):
            assert (await upload(caller)).status_code == 200


STORED = {"GATEWAY_MAX_STORED_BYTES": "1000"}


async def test_stored_bytes_are_bounded_and_what_is_deleted_makes_room(keys: KeyStore) -> None:
    async with account(keys, environment=STORED) as caller:
        file = (await upload(caller, 600)).json()
        assert (await announce(caller, 300)).status_code == 200
        for write in (upload, announce):
            message = assert_error(await write(caller, 101), "too_large")
            assert "1,000" in message
            assert "Delete" in message
        assert (await upload(caller, 100)).status_code == 200
        assert_error(await submit(caller), "too_large")
        assert (await caller.client.delete(f"{FILES}/{file['id']}")).status_code == 200
        assert (await submit(caller)).status_code == 200
        assert_error(await upload(caller, 600), "too_large")
    async with account(keys, environment=STORED) as another:
        assert (await upload(another, 1000)).status_code == 200


class Bucket(httpx.AsyncBaseTransport):
    """AWS, in which `together` deletions of objects wait for each other, and the answers to the next `lost` uploads are
    lost."""

    def __init__(self, aws: httpx.AsyncBaseTransport) -> None:
        self._inner = aws
        self.together = asyncio.Barrier(1)
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            await self.together.wait()
        response = await self._inner.handle_async_request(request)
        if request.method == "PUT" and self.lost:
            self.lost -= 1
            raise httpx.ReadTimeout("lost")
        return response


async def test_a_file_that_is_deleted_twice_at_once_makes_room_once(
    keys: KeyStore, aws_environment: dict[str, str], quick_aws: QuickAws
) -> None:
    bucket = Bucket(quick_aws)
    async with account(keys, environment=STORED, aws=Aws(aws_environment, transport=bucket)) as caller:
        file = (await upload(caller, 300)).json()
        assert (await upload(caller, 600)).status_code == 200
        bucket.together = asyncio.Barrier(2)
        answers = await asyncio.gather(*(caller.client.delete(f"{FILES}/{file['id']}") for _ in range(2)))
        assert [answer.status_code for answer in answers] == [200, 200]
        assert_error(await upload(caller, 401), "too_large")
        assert (await upload(caller, 400)).status_code == 200


async def test_an_upload_that_may_be_stored_takes_room_until_it_is_deleted(
    keys: KeyStore, aws_environment: dict[str, str], quick_aws: QuickAws
) -> None:
    bucket = Bucket(quick_aws)
    async with account(keys, environment=STORED, aws=Aws(aws_environment, transport=bucket)) as caller:
        assert (await upload(caller, 300)).status_code == 200
        bucket.lost = 3
        assert_error(await upload(caller, 300), "unavailable", retry_after=1)
        assert_error(await upload(caller, 401), "too_large")
        newest, _ = (await caller.client.get(FILES)).json()["data"]
        assert (await caller.client.delete(f"{FILES}/{newest['id']}")).status_code == 200
        assert_error(await upload(caller, 701), "too_large")
        assert (await upload(caller, 700)).status_code == 200


async def test_uploads_at_once_do_not_exceed_the_bound_together(keys: KeyStore) -> None:
    async with account(keys, environment=STORED) as caller:
        answers = await asyncio.gather(*(upload(caller, 300) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 413, 413, 413]


async def test_an_upload_that_fails_takes_no_room(keys: KeyStore) -> None:
    async with account(keys, environment={**STORED, "GATEWAY_MEDIA_BUCKET": "no-such-bucket"}) as caller:
        for _ in range(3):
            assert_error(await upload(caller, 600), "unavailable", retry_after=1)
