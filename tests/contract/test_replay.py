"""Idempotency keys and the cache: equal requests get the answer that was given before, byte for byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.schemas.caller import Key
from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.contract.accounts import Account, account, request_to
from tests.contract.failing import SAID_HELLO, Slow, Vendors, cut, environment, good, row, status
from tests.contract.spoken import EVERY_DIALECT, chatting
from tests.contract.wire import DISTINCT, asking, dialect_of

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
KEY = "idempotency-key"
DAY = 24 * 3600


@dataclass
class World:
    """A gateway with a clock, a key of its own, and vendors."""

    keys: KeyStore
    folder: Path
    rows: tuple[str, ...] = ()
    now: float = 1_700_000_000.0

    def __post_init__(self) -> None:
        self.vendors = Vendors()

    @asynccontextmanager
    async def caller(self, *, settings: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Account]:
        async with account(
            self.keys,
            Limits(budget_day=10**9),
            environment=environment(self.folder, *self.rows) | (settings or {}),
            vendor=self.vendors,
            clock=lambda: self.now,
            **options,
        ) as caller:
            yield caller


@pytest.fixture
def world(keys: KeyStore, tmp_path: Path) -> World:
    return World(keys, tmp_path)


async def post(caller: Account, path: str = CHAT, key: str | None = "k", **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", {}) | ({} if key is None else {KEY: key})
    return await caller.client.post(path, json=asking(path, "a", **fields), headers=headers)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", DISTINCT)
async def test_F13_the_same_key_and_body_get_the_stored_answer(world: World, path: str, stream: bool) -> None:
    async with world.caller() as caller:
        first = await post(caller, path, stream=stream)
        again = await post(caller, path, stream=stream)
        row = await caller.row()
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert world.vendors.asked == ["a"]
    assert (row.requests, row.cost) == (1, 13)
    assert "x-gateway-replayed" not in first.headers
    assert again.headers["x-gateway-replayed"] == "true"
    assert again.headers["x-gateway-original-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    for name in ("content-type", "x-gateway-model", "x-gateway-backend"):
        assert again.headers[name] == first.headers[name]
    if not stream:
        assert (first.headers["x-gateway-cost"], again.headers["x-gateway-cost"]) == ("0.000013", "0.000000")
    if dialect_of(path) == "envelope":
        assert again.headers["x-scaigrid-model"] == "a"


async def test_F13_every_kind_of_request_can_be_replayed(world: World) -> None:
    async with world.caller() as caller:
        for path in ("/v1/embeddings", "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/images/edits"):
            request = request_to(path, "a")
            if path == "/v1/audio/speech":
                request["json"]["response_format"] = "mp3"
            first = await caller.client.post(path, headers={KEY: path}, **request)
            again = await caller.client.post(path, headers={KEY: path}, **request)
            assert first.status_code == 200, first.text
            assert again.content == first.content
            assert again.headers["x-gateway-replayed"] == "true"
    assert len(world.vendors.asked) == 4


async def test_F13_an_answer_is_kept_for_a_day(world: World) -> None:
    async with world.caller() as caller:
        await post(caller)
        world.now += DAY - 1
        assert "x-gateway-replayed" in (await post(caller)).headers
        world.now += 2
        assert "x-gateway-replayed" not in (await post(caller)).headers
    assert world.vendors.asked == ["a", "a"]


@pytest.mark.parametrize("path", DISTINCT)
async def test_F14_another_body_is_refused(world: World, path: str) -> None:
    async with world.caller() as caller:
        await post(caller, path)
        other = await post(caller, path, temperature=0.5)
    assert other.status_code == 422
    error = other.json()["error"]
    expected = "VALIDATION_ERROR" if dialect_of(path) == "envelope" else "idempotency_key_reused"
    assert error["code"] == expected
    assert world.vendors.asked == ["a"]


@pytest.mark.parametrize("path", DISTINCT)
async def test_F14_a_request_that_runs_too_long_is_a_conflict(world: World, path: str) -> None:
    slow = Slow()
    world.vendors.script("a", slow)
    async with world.caller() as caller:
        first = asyncio.create_task(post(caller, path))
        await slow.asked.wait()
        conflict = await post(caller, path)
        slow.may_answer.set()
        again = await post(caller, path)
        assert (await first).content == again.content
    assert conflict.status_code == 409
    assert int(conflict.headers["retry-after"]) >= 1
    codes = {"openai": "idempotency_key_in_use", "compact": "conflict", "envelope": "CONFLICT"}
    assert conflict.json()["error"]["code"] == codes[dialect_of(path)]
    assert world.vendors.asked == ["a"]


async def test_F14_a_request_that_runs_is_waited_for(world: World) -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()
    waits = 0

    async def slow(request: httpx.Request) -> httpx.Response:
        is_asked.set()
        await may_answer.wait()
        return good(request)

    first: asyncio.Task[httpx.Response]

    async def pause(seconds: float) -> None:
        nonlocal waits
        waits += 1
        may_answer.set()
        await asyncio.wait([first])

    world.vendors.script("a", slow)
    async with world.caller(pause=pause) as caller:
        first = asyncio.create_task(post(caller))
        await is_asked.wait()
        second = await post(caller)
        assert second.content == (await first).content
    assert second.headers["x-gateway-replayed"] == "true"
    assert waits == 1


async def test_F14_hundreds_of_equal_requests_at_once_make_one_call(world: World) -> None:
    asking: list[asyncio.Task[httpx.Response]] = []

    async def pause(seconds: float) -> None:
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)  # which is the one that the others wait for

    async with world.caller(pause=pause) as caller:
        asking += [asyncio.create_task(post(caller, stream=True)) for _ in range(120)]
        answers = await asyncio.gather(*asking)
        row = await caller.row()
    assert world.vendors.asked == ["a"]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("x-gateway-replayed" in answer.headers for answer in answers) == len(answers) - 1
    assert (row.requests, row.cost) == (1, 13)


async def test_F15_a_run_whose_client_left_is_finished_and_stored(world: World) -> None:
    slow = Slow()
    world.vendors.script("a", slow)
    async with world.caller() as caller:
        first = asyncio.create_task(post(caller))
        await slow.asked.wait()
        first.cancel()
        await asyncio.wait([first])
        slow.may_answer.set()
        answers = [await post(caller)]
        while answers[-1].status_code == 409:
            answers.append(await post(caller))
        row = await caller.row()
    assert answers[-1].headers["x-gateway-replayed"] == "true"
    assert world.vendors.asked == ["a"]
    assert row.requests == 1


async def test_F15_the_claim_of_a_run_that_died_ends(world: World) -> None:
    is_asked = asyncio.Event()

    world.vendors.script("a", lambda request: hang(is_asked), good)
    async with world.caller(settings={"GATEWAY_UPSTREAM_TIMEOUT": "1"}) as caller:
        first = asyncio.create_task(post(caller))
        await is_asked.wait()
        assert (await post(caller)).status_code == 409
        world.now += 62
        assert (await post(caller)).status_code == 200
        first.cancel()
        await asyncio.wait([first])
    assert world.vendors.asked == ["a", "a"]


async def hang(is_asked: asyncio.Event) -> httpx.Response:
    is_asked.set()
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_F16_errors_that_a_retry_may_cure_are_not_stored(world: World, code: int) -> None:
    world.vendors.script("a", status(code), status(code), good)
    async with world.caller() as caller:
        while (await post(caller)).status_code != 200:
            pass
    assert len(world.vendors.asked) == 3


async def test_F16_errors_of_the_request_are_stored(world: World) -> None:
    world.vendors.script("a", status(400))
    async with world.caller() as caller:
        first, again = await post(caller), await post(caller)
    assert first.status_code == again.status_code == 400
    assert first.content == again.content
    assert world.vendors.asked == ["a"]


async def test_F16_a_stream_that_breaks_off_is_not_stored(world: World) -> None:
    world.vendors.script("a", cut(SAID_HELLO), good)
    async with world.caller() as caller:
        broken = await post(caller, stream=True)
        whole = await post(caller, stream=True)
    assert b"[DONE]" not in broken.content
    assert b"[DONE]" in whole.content
    assert world.vendors.asked == ["a", "a"]


async def test_F16_another_tenants_key_is_another_key(keys: KeyStore, world: World) -> None:
    for _ in range(2):
        async with world.caller() as caller:
            assert "x-gateway-replayed" not in (await post(caller)).headers
    assert world.vendors.asked == ["a", "a"]


@pytest.mark.parametrize("key", ["", "k" * 256, "with space", "t\u00e4st".encode()])
async def test_F13_a_wrong_key_is_refused(world: World, key: str | bytes) -> None:
    async with world.caller() as caller:
        headers = {KEY.encode(): key if isinstance(key, bytes) else key.encode()}
        response = await caller.client.post(CHAT, json=asking(CHAT, "a"), headers=headers)
    assert response.status_code == 400
    assert "Idempotency-Key" in response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_F17_the_cache_answers_equal_requests_of_a_tenant(world: World, stream: bool) -> None:
    async def ask(caller: Account, seconds: int = 60, **fields: Any) -> httpx.Response:
        return await post(caller, key=None, headers={"x-gateway-cache": str(seconds)}, stream=stream, **fields)

    async with world.caller() as caller:
        first = await ask(caller)
        world.now += 10
        second = await ask(caller)
        other = await ask(caller, temperature=0.5)
        world.now += 51
        third = await ask(caller)
        unasked = await post(caller, key=None, stream=stream)
    assert [answer.headers["x-gateway-cache"] for answer in (first, second, other, third)] == [
        "miss",
        "hit",
        "miss",
        "miss",
    ]
    assert second.headers["age"] == "10"
    assert second.content == first.content
    assert "x-gateway-cache" not in unasked.headers
    assert len(world.vendors.asked) == 4


async def test_F17_errors_are_not_cached(world: World) -> None:
    world.vendors.script("a", status(400))
    async with world.caller() as caller:
        for _ in range(2):
            assert (await post(caller, key=None, headers={"x-gateway-cache": "60"})).status_code == 400
    assert world.vendors.asked == ["a", "a"]


@pytest.mark.parametrize("seconds", ["86401", "soon", "-1", "1.5"])
async def test_F17_a_wrong_time_is_refused(world: World, seconds: str) -> None:
    async with world.caller() as caller:
        response = await post(caller, key=None, headers={"x-gateway-cache": seconds})
    assert response.status_code == 400
    assert "x-gateway-cache" in response.json()["error"]["message"]


CACHE = "x-gateway-cache"


def caches(*answers: httpx.Response) -> list[str | None]:
    return [answer.headers.get(CACHE) for answer in answers]


@pytest.mark.parametrize("stream", [False, True])
async def test_F17_a_key_may_ask_for_the_cache_by_default(world: World, stream: bool) -> None:
    async with world.caller(cache_seconds=60) as caller:
        first = await post(caller, key=None, stream=stream)
        second = await post(caller, key=None, stream=stream)
        named = await post(caller, stream=stream)
        world.now += 61
        third = await post(caller, key=None, stream=stream)
    assert caches(first, second, named, third) == ["miss", "hit", None, "miss"]
    assert second.content == first.content
    assert world.vendors.asked == ["a"] * 3


@pytest.mark.parametrize(
    "path", [*DISTINCT, "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/audio/transcriptions"]
)
async def test_F17_a_row_may_ask_for_the_cache_by_default(world: World, path: str) -> None:
    world.rows = (row("a", more="aliases = ['other-a']\ncache_seconds = 60"), row("b"))

    async def ask(caller: Account, model: str) -> httpx.Response:
        if path in EVERY_DIALECT:
            return await caller.client.post(path, json=chatting(path, model))
        return await caller.client.post(path, **request_to(path, model))

    async with world.caller() as caller:
        found = [await ask(caller, model) for model in ("a", "a", "other-a", "b")]
    assert [answer.status_code for answer in found] == [200] * 4
    assert caches(*found) == ["miss", "hit", "miss", None]
    assert world.vendors.asked == ["a", "a", "b"]


async def test_F17_the_request_overrides_its_key_and_the_key_the_row(world: World) -> None:
    world.rows = (row("a", more="cache_seconds = 60"),)

    async def ask(caller: Account, asked: str | None = None) -> httpx.Response:
        headers = {} if asked is None else {CACHE: asked}
        return await post(caller, key=None, headers=headers)

    async with world.caller(cache_seconds=10) as caller:
        await ask(caller)
        world.now += 11
        answers = [await ask(caller, "30"), await ask(caller, "0"), await ask(caller)]
    assert caches(*answers) == ["hit", None, "miss"]
    async with world.caller(cache_seconds=0) as caller:
        assert caches(await ask(caller), await ask(caller), await ask(caller, "30")) == [None, None, "miss"]


async def test_F17_what_cannot_be_read_is_refused_as_without_a_default(world: World) -> None:
    world.rows = (row("a", more="cache_seconds = 60"),)
    unknown = json.dumps(asking(CHAT, "no-such")).encode()
    async with world.caller() as caller:
        answers = [
            await caller.client.post(CHAT, content=content, headers={"content-type": "application/json"})
            for content in (b"{", b"[]", b'{"model": 1}', unknown)
        ]
        alone = await caller.client.post(CHAT, json=chatting(CHAT, "a") | {"model": None, "models": ["a"]})
    assert [answer.status_code for answer in answers] == [400, 400, 400, 404]
    assert caches(*answers, alone) == [None] * 4 + ["miss"]


async def test_F17_writes_without_a_model_are_never_answered_from_the_cache(world: World) -> None:
    async with world.caller(cache_seconds=60) as caller:
        upload = {"data": {"purpose": "user_data"}, "files": {"file": ("a.txt", b"text", "text/plain")}}
        first, second = [await caller.client.post("/v1/files", **upload) for _ in range(2)]
    assert first.json()["id"] != second.json()["id"]
    assert caches(first, second) == [None, None]


async def test_F17_a_client_that_leaves_ends_a_request_that_no_default_keeps(world: World) -> None:
    world.rows = (row("a"), row("b", more="cache_seconds = 60"))
    slow = Slow()
    world.vendors.script("a", slow)
    async with world.caller() as caller:
        await leave(caller, slow.asked)
    assert slow.cancelled.is_set()
    assert world.vendors.asked == ["a"]


async def leave(caller: Account, when: asyncio.Event) -> None:
    """Asks as a client that leaves at a moment, and waits until the server is done."""
    messages = [{"type": "http.request", "body": json.dumps(asking(CHAT, "a")).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await when.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("the client has left")

    client: Any = caller.client
    headers = [(name.encode(), value.encode()) for name, value in client.headers.items()]
    scope = {"type": "http", "method": "POST", "path": CHAT, "raw_path": CHAT.encode(), "headers": headers}
    scope |= {"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}
    async with asyncio.timeout(5):
        await client._transport.app({**scope, "asgi": {"version": "3.0"}}, receive, send)


async def test_F17_a_wrong_default_in_a_row_is_an_error_at_start(world: World) -> None:
    world.rows = (row("a", more="cache_seconds = 86401"),)
    with pytest.raises(ValueError, match="model 'a', cache_seconds"):
        async with world.caller():
            raise AssertionError


def test_a_key_without_a_default_is_stored_as_releases_before_can_read_it() -> None:
    key = Key(key_id="k", tenant="t", permissions=frozenset())
    assert "cache_seconds" not in key.model_dump_json()
    assert Key.model_validate_json(key.model_copy(update={"cache_seconds": 60}).model_dump_json()).cache_seconds == 60
