"""Circuits: a provider's model that fails often is skipped, probed by one request, and known to other processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.gateway.circuits import OPEN_SECONDS
from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.failing import Answer, Slow, Vendors, environment, garbage, good, row, status
from tests.contract.wire import asking, assert_error

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
FAILURES = 5


@dataclass
class World:
    """A clock, vendors, and a catalog of its own, so that no other test shares its circuits."""

    folder: Path
    now: float = 1_700_000_000.0

    def __post_init__(self) -> None:
        self.vendors = Vendors()
        name = uuid4().hex
        self.a, self.b = f"a-{name}", f"b-{name}"
        self.rows = (row(self.a, more=f'fallbacks = ["{self.b}"]'), row(self.b))

    @asynccontextmanager
    async def process(self, keys: KeyStore) -> AsyncIterator[httpx.AsyncClient]:
        settings = environment(self.folder, *self.rows) | {"GATEWAY_CIRCUIT_FAILURES": str(FAILURES)}
        async with gateway_client(keys, settings, self.vendors, clock=lambda: self.now) as client:
            yield client

    async def ask(self, client: httpx.AsyncClient, model: str | None = None, **fields: Any) -> httpx.Response:
        return await client.post(CHAT, json=asking(CHAT, model or self.a, **fields))

    async def fail(self, client: httpx.AsyncClient, answer: Answer | None = None) -> None:
        self.vendors.script(self.a, answer or status(500))
        for _ in range(FAILURES):
            assert (await self.ask(client)).status_code == 200
        assert self.vendors.asked[-1] == self.b
        self.vendors.asked.clear()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("answer", [status(500), status(401), status(503), garbage])
async def test_F09_a_model_that_fails_often_is_skipped_then_probed_and_used_again(
    keys: KeyStore, world: World, answer: Answer
) -> None:
    async with world.process(keys) as client:
        await world.fail(client, answer)
        await world.ask(client)
        assert world.vendors.asked == [world.b]
        world.now += OPEN_SECONDS + 1
        world.vendors.script(world.a, status(500))
        await world.ask(client)
        await world.ask(client)
        assert world.vendors.asked == [world.b, world.a, world.b, world.b]
        world.now += OPEN_SECONDS + 1
        world.vendors.script(world.a, good)
        world.vendors.asked.clear()
        for _ in range(3):
            assert (await world.ask(client)).json()["model"] == world.a
        assert world.vendors.asked == [world.a] * 3


async def test_F09_half_of_the_calls_open_a_circuit_too(keys: KeyStore, world: World) -> None:
    async with world.process(keys) as client:
        world.vendors.script(world.a, *([good, status(500)] * 5), good)
        for _ in range(10):
            await world.ask(client)
        world.vendors.asked.clear()
        await world.ask(client)
    assert world.vendors.asked == [world.b]


async def test_F09_calls_that_are_long_ago_do_not_count(keys: KeyStore, world: World) -> None:
    async with world.process(keys) as client:
        world.vendors.script(world.a, *([good, status(500)] * 5), good)
        for _ in range(10):
            await world.ask(client)
            world.now += 10
        world.vendors.asked.clear()
        await world.ask(client)
    assert world.vendors.asked == [world.a]


async def test_F09_the_callers_own_faults_open_no_circuit(keys: KeyStore, world: World) -> None:
    async with world.process(keys) as client:
        world.vendors.script(world.a, status(400))
        for _ in range(FAILURES + 1):
            assert_error(await world.ask(client), "rejected")
    assert world.vendors.asked == [world.a] * (FAILURES + 1)


async def test_F09_a_retry_after_is_believed_at_once(keys: KeyStore, world: World) -> None:
    async with world.process(keys) as client:
        world.vendors.script(world.a, status(429, retry_after="20"), good)
        for _ in range(3):
            await world.ask(client)
        assert world.vendors.asked == [world.a, world.b, world.b, world.b]
        world.now += 21
        await world.ask(client)
        assert world.vendors.asked[-1] == world.a


async def assert_skipped_for_65_seconds(keys: KeyStore, world: World, said: dict[str, str]) -> None:
    """That a model whose answer has these headers is asked again after so long."""

    def last_one(request: httpx.Request) -> httpx.Response:
        answer = good(request)
        answer.headers.update(said)
        return answer

    async with world.process(keys) as client:
        world.vendors.script(world.a, last_one, good)
        await world.ask(client)
        world.now += 64
        await world.ask(client)
        world.now += 2
        await world.ask(client)
    assert world.vendors.asked == [world.a, world.b, world.a]


async def test_F09_a_provider_that_says_that_nothing_is_left_is_believed(keys: KeyStore, world: World) -> None:
    said = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m5s"}
    await assert_skipped_for_65_seconds(keys, world, said)


ANTHROPICS = {f"anthropic-ratelimit-{kind}-remaining": "9" for kind in ("requests", "tokens", "input-tokens")}


@pytest.mark.parametrize("kind", ["requests", "tokens", "input-tokens", "output-tokens"])
async def test_F09_anthropics_headers_are_believed_too(keys: KeyStore, world: World, kind: str) -> None:
    said = {f"anthropic-ratelimit-{kind}-remaining": "0", f"anthropic-ratelimit-{kind}-reset": "2023-11-14T22:14:25Z"}

    await assert_skipped_for_65_seconds(keys, world, ANTHROPICS | said)


@pytest.mark.parametrize("reset", ["", "soon", "2023-11-14T22:14:25", "2023-11-14T22:13:19Z", "65"])
async def test_F09_a_time_that_has_passed_or_cannot_be_read_skips_nothing(
    keys: KeyStore, world: World, reset: str
) -> None:
    def strange(request: httpx.Request) -> httpx.Response:
        answer = good(request)
        said = {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": reset}
        answer.headers.update(ANTHROPICS | said)
        return answer

    async with world.process(keys) as client:
        world.vendors.script(world.a, strange)
        for _ in range(2):
            await world.ask(client)
    assert world.vendors.asked == [world.a, world.a]


async def test_F09_one_request_probes(keys: KeyStore, world: World) -> None:
    slow = Slow()
    async with world.process(keys) as client:
        await world.fail(client)
        world.now += OPEN_SECONDS + 1
        world.vendors.script(world.a, slow)
        probe = asyncio.create_task(world.ask(client))
        await slow.asked.wait()
        for _ in range(3):
            assert (await world.ask(client)).json()["model"] == world.b
        slow.may_answer.set()
        assert (await probe).json()["model"] == world.a
    assert world.vendors.asked.count(world.a) == 1


async def test_F11_with_every_circuit_open_the_least_bad_is_tried(keys: KeyStore, world: World) -> None:
    async with world.process(keys) as client:
        world.vendors.script(world.a, status(500))
        world.vendors.script(world.b, status(500))
        for _ in range(FAILURES):
            assert_error(await world.ask(client, world.b), "upstream")
        world.now += 1
        for _ in range(FAILURES):
            await world.ask(client, world.a)
        world.vendors.asked.clear()
        world.vendors.script(world.b, good)
        response = await world.ask(client)
    assert response.json()["model"] == world.b
    assert world.vendors.asked == [world.b]


async def test_F12_auto_prefers_models_that_work(keys: KeyStore, world: World) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    rows = [row(name, capabilities="chat json_schema reasoning audio_input") for name in (world.a, world.b)]
    world.rows = (rows[0], rows[1])
    message = {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}}]}

    async def auto(client: httpx.AsyncClient) -> httpx.Response:
        body = {"model": "Auto", "messages": [message], "response_format": schema}
        return await client.post(CHAT, json=body)

    async with world.process(keys) as client:
        assert (await auto(client)).json()["model"] == world.a
        world.vendors.script(world.a, status(500))
        for _ in range(FAILURES):
            assert_error(await auto(client), "upstream")
        assert (await auto(client)).json()["model"] == world.b


_WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA="


async def test_F09_each_change_is_one_line_in_the_log(
    keys: KeyStore, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with world.process(keys) as client:
        await world.fail(client)
        for _ in range(3):
            await world.ask(client)
        world.now += OPEN_SECONDS + 1
        world.vendors.script(world.a, good)
        await world.ask(client)
    lines: list[Any] = [line for line in caplog.records if line.msg.startswith("circuit")]
    assert [(line.msg, line.target) for line in lines] == [
        ("circuit opened", f"deepinfra/up-{world.a}"),
        ("circuit closed", f"deepinfra/up-{world.a}"),
    ]
    assert lines[0].why == "500"
