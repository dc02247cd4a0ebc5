"""A large batch takes turns with all others, and a batch that has to wait costs next to nothing."""

import json
import math
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from shared.gateway.services import Services
from shared.schemas.batch import BatchStatus
from shared.schemas.caller import Key, Permission
from shared.schemas.limits import Estimate, Limits
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.batches.batch_harness import (
    BatchHarness,
    assert_whole,
    chat,
    found,
    hello,
    jsonl,
    make_services,
    results,
    submit,
)
from tests.batches.test_chunks import Timeless
from tests.client import LIMITS, USAGE

pytestmark = pytest.mark.anyio

MANY = [f"line-{number}" for number in range(40)]
LANES = 2


def chunks_in(harness: BatchHarness) -> list[int]:
    return [content["chunk"] for message in harness.queue if (content := json.loads(message.body))["kind"] == "chunk"]


# --- turns


async def test_a_batch_has_few_chunks_in_the_queue_and_the_next_follows_each(
    services: Services, harness: BatchHarness
) -> None:
    batch = await submit(services, harness, jsonl(map(chat, MANY)))
    seen = []
    while not (await found(services, batch)).status.ended:
        await harness.step(services)
        seen.append(len(chunks_in(harness)))
    assert max(seen) == LANES
    await assert_whole(services, batch, MANY)
    assert harness.asked == Counter(MANY)


async def test_a_batch_of_one_line_is_done_while_a_large_one_has_hardly_begun(
    services: Services, harness: BatchHarness
) -> None:
    await submit(services, harness, jsonl(map(chat, MANY)))
    for _ in range(3):
        await harness.step(services)
    small = await submit(services, harness, jsonl([chat("small")]))
    harness.now += 1
    for _ in range(LANES + 1):
        await harness.step(services)
    await assert_whole(services, small, ["small"])
    assert harness.asked.total() < len(MANY) / 2


async def test_a_chunk_that_takes_long_goes_to_the_end_of_the_queue(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    """Each answer takes eight seconds, and a chunk works for ten."""
    services = make_services(
        keys, aws_environment, harness, GATEWAY_BATCH_CHUNK_LINES="20", GATEWAY_BATCH_CONCURRENCY="1"
    )

    def slow(body: Any) -> httpx.Response:
        harness.now += 8
        return hello(body)

    harness.answer = slow
    large = await submit(services, harness, jsonl(map(chat, MANY)))
    await harness.step(services)
    small = await submit(services, harness, jsonl([chat("small")]))
    began = harness.now
    while not (await found(services, small)).status.ended:
        await harness.step(services)
    assert harness.now - began <= (LANES + 1) * 16 + 8
    await harness.work(services)
    await assert_whole(services, large, MANY)
    assert harness.asked == Counter([*MANY, "small"])
    await services.aclose()


async def test_a_new_batch_is_a_group_of_its_own_and_what_follows_is_its_tenants(
    services: Services, harness: BatchHarness
) -> None:
    batches = [await submit(services, harness, jsonl(map(chat, MANY))) for _ in range(2)]
    groups: dict[str, set[str | None]] = {}
    for _ in range(8):
        for message in harness.queue:
            groups.setdefault(json.loads(message.body)["kind"], set()).add(message.group)
        await harness.step(services)
    assert groups["split"] == {batch.id for batch in batches}
    (tenant,) = groups["chunk"]
    assert tenant
    assert batches[0].tenant != tenant not in groups["split"]


async def test_a_line_that_fails_again_and_again_holds_up_only_itself(
    services: Services, harness: BatchHarness
) -> None:
    """Every second line of the first chunks fails, for a model that is down."""
    down = {"line-0", "line-2", "line-4"}

    def answer(body: Any) -> httpx.Response:
        if body["messages"][-1]["content"] in down:
            return httpx.Response(500, json={"error": {"message": "down"}})
        return hello(body)

    harness.answer = answer
    batch = await submit(services, harness, jsonl(map(chat, MANY)), window="1h")
    began = harness.now
    while set(MANY) - down - set(harness.asked):
        await harness.step(services)
    assert harness.now - began < 60
    await harness.work(services)
    ended = await assert_whole(services, batch, MANY)
    assert (ended.status, ended.tally.expired) == (BatchStatus.EXPIRED, 3)


# --- waiting


class CountedLimits(Aws):
    """A DynamoDB of limits that counts what is written, and does not know the world's time."""

    def __init__(self, environment: dict[str, str], calls: Counter[str]) -> None:
        super().__init__(environment)
        self.server_clock = Timeless()
        self._calls = calls

    async def call(self, service: str, action: str, body: Any, **options: Any) -> dict[str, Any]:
        self._calls["limits"] += 1
        return await super().call(service, action, body, **options)


async def starved(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, limits: Limits, calls: Counter[str]
) -> tuple[Services, Key, str]:
    """A gateway with many lines at once, a key with these limits, and its token. `calls` counts what it calls."""
    fresh = KeyStore(Aws(aws_environment), "keys", cache_seconds=60, clock=harness.clock)
    settings = {"CHUNK_LINES": "10", "CONCURRENCY": "8", "LANES": "4"}
    services = make_services(
        fresh, aws_environment, harness, **{f"GATEWAY_BATCH_{name}": value for name, value in settings.items()}
    )
    services.limits = LimitStore(
        CountedLimits(aws_environment, calls), LIMITS, USAGE, clock=lambda: int(harness.now * 1_000_000)
    )
    token = f"sk-starved-{time.time_ns()}"
    key = Key(key_id=token[3:], tenant=token[3:], permissions=frozenset(Permission), limits=limits)
    await keys.put(token, key)

    def count(_: int) -> None:
        calls[harness.service] += 1

    harness.fault = count
    return services, key, token


async def test_a_batch_whose_key_lets_nothing_through_makes_a_few_calls_a_minute(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    calls = Counter[str]()
    services, key, token = await starved(keys, aws_environment, harness, Limits(concurrency=1), calls)
    elsewhere = Aws(aws_environment)
    elsewhere.server_clock = Timeless()
    other = LimitStore(elsewhere, LIMITS, USAGE, clock=lambda: int(harness.now * 1_000_000))
    holding = await other.reserve(key, Estimate())
    batch = await submit(services, harness, jsonl(map(chat, MANY * 3)), caller=key, token=token)
    began = harness.now
    while harness.now < began + 4200:
        await other.cancel(holding)  # before its lease runs out
        holding = await other.reserve(key, Estimate())
        if harness.now < began + 600:
            calls.clear()
        await harness.step(services)
    minutes = 60
    assert calls["limits"] / minutes <= 2
    assert calls["s3"] / minutes <= 3
    assert calls.total() / minutes <= 8
    assert not harness.asked
    await other.cancel(holding)
    freed = harness.now
    await harness.work(services)
    ended = await assert_whole(services, batch, MANY * 3)
    assert ended.tally.completed == len(MANY)  # the others have the same ids
    assert harness.asked_at[0] - freed <= 310
    await services.aclose()


async def test_a_batch_that_gets_a_few_lines_a_minute_through_asks_for_many_at_once(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    calls = Counter[str]()
    services, key, token = await starved(keys, aws_environment, harness, Limits(requests_per_minute=12), calls)
    batch = await submit(services, harness, jsonl(map(chat, MANY)), caller=key, token=token)
    began = harness.now
    await harness.work(services)
    await assert_whole(services, batch, MANY)
    minutes = (harness.asked_at[-1] - began) / 60
    assert minutes <= len(MANY) / 12 + 2, "nothing of what the key has is left unused for long"
    others = calls.total() - calls["vendor"] - calls["limits"]
    assert others / math.ceil(minutes) <= 60
    assert calls["limits"] <= len(MANY) * 2 + 12 * math.ceil(minutes)
    await services.aclose()


# --- while a chunk is under way


async def test_a_revoked_keys_chunk_begins_no_line_a_minute_later(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    fresh = KeyStore(Aws(aws_environment), "keys", cache_seconds=60, clock=harness.clock)
    services = make_services(
        fresh, aws_environment, harness, GATEWAY_BATCH_CHUNK_LINES="100", GATEWAY_BATCH_CONCURRENCY="1"
    )
    key = Key(key_id="revoked-later", tenant="t", permissions=frozenset(Permission))
    token = f"sk-{time.time_ns()}"
    await fresh.put(token, key)

    def slow(body: Any) -> httpx.Response:
        harness.now += 1
        return hello(body)

    async def revoke_with_the_third() -> None:
        if harness.asked.total() == 2:
            await fresh.put(token, key.model_copy(update={"revoked": True}))

    harness.answer, harness.before_answer = slow, revoke_with_the_third
    batch = await submit(services, harness, jsonl(map(chat, [*MANY, *(f"more-{name}" for name in MANY)])), token=token)
    await harness.work(services)
    assert 3 <= harness.asked.total() <= 60
    ended = await found(services, batch)
    _, errors = await results(services, ended)
    assert {line["response"]["status_code"] for line in errors} == {401}
    assert ended.tally.completed == harness.asked.total()
    await services.aclose()


@pytest.mark.parametrize("how", ["504", "broken"])
async def test_a_line_without_an_answer_is_asked_twice_and_charged_twice(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, how: str
) -> None:
    calls = Counter[str]()
    limits = Limits(budget_day=10**9)
    services, key, token = await starved(keys, aws_environment, harness, limits, calls)

    def answer(body: Any) -> httpx.Response:
        if body["messages"][-1]["content"] != "line-1":
            return hello(body)
        if how == "broken":
            raise httpx.ReadError("the connection broke")
        return httpx.Response(504, json={"error": {"message": "too slow"}})

    harness.answer = answer
    batch = await submit(services, harness, jsonl(map(chat, MANY[:3])), caller=key, token=token)
    await harness.work(services)
    ended = await assert_whole(services, batch, MANY[:3])
    assert harness.asked == {"line-0": 1, "line-1": 2, "line-2": 1}
    assert ended.tally.failed == 1
    assert services.limits
    await services.limits.flush(10)
    (row,) = await services.limits.usage.rows("2000-01-01", "2999-12-31", key.key_id)
    assert (row.requests, row.failures, row.estimated) == (2, 2, 2)
    assert row.estimated_cost > 0
    await services.aclose()
