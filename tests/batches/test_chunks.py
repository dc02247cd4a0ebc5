"""How the lines of a batch are answered: tried again as long as it may help, put off, cancelled, expired, refused."""

import asyncio
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.batches.batch_service import BatchService
from shared.errors import Conflict
from shared.gateway.services import Services
from shared.schemas.batch import BatchStatus
from shared.schemas.caller import Key, Permission
from shared.schemas.limits import Limits
from shared.stores.aws import Aws, ServerClock
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.batches.batch_harness import (
    CALLER,
    STEP_SECONDS,
    BatchHarness,
    assert_whole,
    chat,
    found,
    hello,
    jsonl,
    make_services,
    results,
    submit,
    text_of,
)
from tests.client import LIMITS, USAGE
from tests.contract.accounts import catalog
from tests.contract.vendor import BACKEND, MODEL, SEEING_MODEL

pytestmark = pytest.mark.anyio

IDS = ["a", "b", "c", "d", "e"]
LINES = jsonl(map(chat, IDS))


WAITS = [2, 4, 8, 16, 32, 64, 128, 256]


def asked_of(body: Any) -> str:
    text: str = body["messages"][-1]["content"]
    return text


def failing(times: int, status: int, headers: dict[str, str] | None = None, *, only: str = "b") -> Any:
    """A vendor that fails so often on one line before it answers that."""
    left = [times]

    def answer(body: Any) -> httpx.Response:
        if asked_of(body) == only and left[0]:
            left[0] -= 1
            return httpx.Response(status, json={"error": {"message": "not now"}}, headers=headers)
        return hello(body)

    return answer


async def test_each_line_has_the_answer_to_its_own_request(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    outputs, _ = await results(services, await assert_whole(services, batch, IDS))
    assert {line["custom_id"]: text_of(line) for line in outputs} == {name: f"You said {name}" for name in IDS}


async def test_results_stand_in_the_order_of_the_chunks(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    outputs, _ = await results(services, await found(services, batch))
    chunks = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 3}
    order = [chunks[line["custom_id"]] for line in outputs]
    assert order == sorted(order)


@pytest.mark.parametrize("status", [500, 502, 503, 529, 429])
async def test_a_failing_provider_is_asked_again_and_only_for_the_lines_that_failed(
    services: Services, harness: BatchHarness, status: int
) -> None:
    harness.answer = failing(3, status)
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert ended.tally.completed == 5
    assert harness.asked == {**dict.fromkeys(IDS, 1), "b": 4}
    assert harness.asked_at[-1] - harness.asked_at[0] >= 0.75 * (2 + 2 + 4)


@pytest.mark.parametrize("seconds", [5, 1000])
async def test_retry_after_is_honoured(services: Services, harness: BatchHarness, seconds: int) -> None:
    harness.answer = failing(1, 429, {"retry-after": str(seconds)})
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    await assert_whole(services, batch, IDS)
    assert seconds <= harness.asked_at[-1] - harness.asked_at[0] <= seconds + 1


async def test_a_rate_limit_is_heard_once_by_the_lines_of_its_model(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    services = make_services(
        keys, aws_environment, harness, GATEWAY_BATCH_CHUNK_LINES="5", GATEWAY_BATCH_CONCURRENCY="1"
    )
    harness.answer = failing(1, 429, {"retry-after": "60"})
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    await assert_whole(services, batch, IDS)
    assert harness.asked == {**dict.fromkeys(IDS, 1), "b": 2}
    await services.aclose()


async def test_the_waits_grow_while_nothing_is_answered(services: Services, harness: BatchHarness) -> None:
    harness.answer = failing(8, 500, only="a")
    batch = await submit(services, harness, jsonl([chat("a")]))
    await harness.work(services)
    await assert_whole(services, batch, ["a"])
    waits = [later - earlier for earlier, later in pairwise(harness.asked_at)]
    assert all(most * 0.75 <= wait <= most + 1 for wait, most in zip(waits, WAITS, strict=True))


async def test_lines_that_never_succeed_expire_with_the_window(services: Services, harness: BatchHarness) -> None:
    harness.answer = failing(10**6, 500)
    batch = await submit(services, harness, LINES, window="1h")
    began = harness.now
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert ended.status is BatchStatus.EXPIRED
    assert ended.expired_at is not None
    assert ended.tally.completed == 4
    _, errors = await results(services, ended)
    assert [(line["custom_id"], line["error"]["code"]) for line in errors] == [("b", "expired")]
    assert began + 3600 <= harness.now < began + 3600 + 1000
    assert harness.asked["b"] < 40


async def test_a_batch_that_is_begun_after_its_window_asks_nobody(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, LINES, window="4h")
    harness.now += 4 * 3600
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert (ended.status, ended.tally.failed) == (BatchStatus.EXPIRED, 5)
    assert not harness.asked


@pytest.mark.parametrize(("window", "hours"), [("24h", 24), ("4h", 4), ("1h", 1)])
async def test_a_window_has_its_length(services: Services, harness: BatchHarness, window: Any, hours: int) -> None:
    submission = (await submit(services, harness, LINES, window=window)).submission
    assert submission.expires_at - submission.created_at == hours * 3600


async def test_a_request_that_is_wrong_fails_alone_with_the_answer_of_its_route(
    services: Services, harness: BatchHarness
) -> None:
    openai = {**chat("o", temperature=5), "url": "/v1/chat/completions"}
    lines = [chat("a"), chat("e", temperature=5), openai, chat("s", stream=True)]
    batch = await submit(services, harness, jsonl(lines))
    await harness.work(services)
    ended = await assert_whole(services, batch, ["a", "e", "o", "s"])
    _, errors = await results(services, ended)
    told = {line["custom_id"]: line for line in errors}
    assert told["e"]["response"]["status_code"] == 422
    assert told["e"]["response"]["body"]["error"]["details"][0]["field"] == "temperature"
    assert told["e"]["response"]["body"]["meta"]["request_id"] == told["e"]["response"]["request_id"]
    assert told["e"]["error"]["code"] == "VALIDATION_ERROR"
    assert told["o"]["response"]["status_code"] == 400
    assert told["o"]["response"]["body"]["error"]["param"] == "temperature"
    assert told["o"]["error"]["code"] == "invalid_request_error"
    assert "stream" in told["s"]["error"]["message"]
    assert harness.asked == {"a": 1}


async def test_what_a_provider_refuses_is_not_asked_again(services: Services, harness: BatchHarness) -> None:
    harness.answer = failing(1, 400)
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert ended.tally.failed == 1
    assert harness.asked == dict.fromkeys(IDS, 1)


async def test_a_chunk_that_runs_out_of_time_goes_on_where_it_was(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    """Each answer takes half of what a step has."""
    services = make_services(
        keys, aws_environment, harness, GATEWAY_BATCH_CHUNK_LINES="5", GATEWAY_BATCH_CONCURRENCY="1"
    )

    def slow(body: Any) -> httpx.Response:
        harness.now += STEP_SECONDS / 2
        return hello(body)

    harness.answer = slow
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    await assert_whole(services, batch, IDS)
    assert harness.asked == dict.fromkeys(IDS, 1)
    await services.aclose()


# --- cancelling


async def test_what_is_done_when_a_batch_is_cancelled_is_kept_and_the_rest_not_begun(
    services: Services, harness: BatchHarness
) -> None:
    batch = await submit(services, harness, LINES)
    await harness.step(services)  # split
    await harness.step(services)  # the first chunk
    cancelled = await BatchService(services).cancel(CALLER, batch.id)
    assert (cancelled.status, cancelled.tally.completed) == (BatchStatus.CANCELLING, 2)
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert ended.status is BatchStatus.CANCELLED
    assert ended.cancelled_at is not None
    assert ended.cancelling_at is not None
    outputs, errors = await results(services, ended)
    assert {line["custom_id"] for line in outputs} == {"a", "b"}
    assert {(line["error"]["code"], line["response"] is None) for line in errors} == {("cancelled", True)}
    assert harness.asked == {"a": 1, "b": 1}


async def test_a_batch_cancelled_before_it_was_split_tells_of_every_line(
    services: Services, harness: BatchHarness
) -> None:
    batch = await submit(services, harness, LINES)
    await BatchService(services).cancel(CALLER, batch.id)
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert (ended.status, ended.tally.failed) == (BatchStatus.CANCELLED, 5)
    assert not harness.asked


async def test_a_chunk_under_way_begins_no_more_lines_once_its_batch_is_cancelled(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    services = make_services(
        keys, aws_environment, harness, GATEWAY_BATCH_CHUNK_LINES="5", GATEWAY_BATCH_CONCURRENCY="1"
    )

    def slow(body: Any) -> httpx.Response:
        harness.now += 10
        return hello(body)

    harness.answer = slow
    batch = await submit(services, harness, LINES)

    async def cancel_with_the_second() -> None:
        if harness.asked.total() == 1:
            await BatchService(services).cancel(CALLER, batch.id)

    harness.before_answer = cancel_with_the_second
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert ended.status is BatchStatus.CANCELLED
    assert ended.tally.completed == 2
    await services.aclose()


async def test_cancelling_twice_is_once_and_a_batch_that_ended_stays_as_it_is(
    services: Services, harness: BatchHarness
) -> None:
    intake = BatchService(services)
    batch = await submit(services, harness, LINES)
    assert (await intake.cancel(CALLER, batch.id)).status is BatchStatus.CANCELLING
    assert (await intake.cancel(CALLER, batch.id)).status is BatchStatus.CANCELLING
    await harness.work(services)
    ended = await found(services, batch)
    with pytest.raises(Conflict):
        await intake.cancel(CALLER, batch.id)
    assert await found(services, batch) == ended


async def test_a_batch_cancelled_while_its_files_are_put_together_is_cancelled_with_all_its_results(
    services: Services, harness: BatchHarness
) -> None:
    batch = await submit(services, harness, LINES)
    while not (await found(services, batch)).all_done:
        await harness.step(services)
    now = await services.batches.finalize(await found(services, batch))
    assert now is not None
    assert now.status is BatchStatus.FINALIZING
    await BatchService(services).cancel(CALLER, batch.id)
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert (ended.status, ended.tally.completed) == (BatchStatus.CANCELLED, 5)


# --- who may


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"revoked": True}, 401),
        ({"permissions": frozenset({Permission.BATCH_USE})}, 403),
        ({"permissions": frozenset({Permission.MODELS_USE})}, 403),
        ({"models": frozenset({"another-model"})}, 403),
    ],
)
async def test_lines_are_answered_with_the_rights_that_the_key_has_by_then(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, change: dict[str, Any], status: int
) -> None:
    fresh = KeyStore(keys.aws, "keys")
    services = make_services(fresh, aws_environment, harness)
    key = Key(key_id="changing", tenant="t", permissions=frozenset(Permission))
    token = f"sk-{harness.now}-{status}"
    await fresh.put(token, key)
    batch = await submit(services, harness, LINES, caller=key, token=token)
    await fresh.put(token, key.model_copy(update=change))
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    _, errors = await results(services, ended)
    assert {line["response"]["status_code"] for line in errors} == {status}
    assert ended.tally.failed == 5
    assert not harness.asked
    await services.aclose()


async def test_a_line_that_crashes_the_gateway_fails_alone(services: Services, harness: BatchHarness) -> None:
    def crashing(body: Any) -> httpx.Response:
        if asked_of(body) == "b":
            raise RuntimeError("a bug")
        return hello(body)

    harness.answer = crashing
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    _, errors = await results(services, ended)
    assert [(line["custom_id"], line["error"]["code"]) for line in errors] == [("b", "INTERNAL_ERROR")]
    assert Counter(harness.asked) == dict.fromkeys(IDS, 1)


# --- limits of the key


class Timeless(ServerClock):
    """The clock of an AWS that does not know the world's time."""

    def observe(self, sent: float, received: float, date: str | None) -> None:
        """Nothing: its answers have the real time."""


async def limited(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, limits: Limits
) -> tuple[Services, str]:
    """A gateway that limits its callers by the world's clock, and the token of a key with these limits."""
    services = make_services(keys, aws_environment, harness)
    aws = Aws(aws_environment)
    aws.server_clock = Timeless()
    services.limits = LimitStore(aws, LIMITS, USAGE, clock=lambda: int(harness.now * 1_000_000))
    token = f"sk-limited-{time.time_ns()}"
    await keys.put(token, Key(key_id=token[3:], tenant="t", permissions=frozenset(Permission), limits=limits))
    return services, token


async def test_lines_wait_for_their_keys_rate_limit(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    services, token = await limited(keys, aws_environment, harness, Limits(requests_per_minute=2))
    batch = await submit(services, harness, LINES, token=token)
    await harness.work(services)
    assert (await assert_whole(services, batch, IDS)).tally.completed == 5
    assert harness.asked == dict.fromkeys(IDS, 1)
    assert 90 <= harness.asked_at[-1] - harness.asked_at[0] <= 200
    await services.aclose()


async def test_lines_wait_for_their_keys_other_requests(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    services, token = await limited(keys, aws_environment, harness, Limits(concurrency=1))
    batch = await submit(services, harness, LINES, token=token)
    await harness.work(services)
    assert (await assert_whole(services, batch, IDS)).tally.completed == 5
    await services.aclose()


async def test_lines_fail_when_their_keys_money_is_spent(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    services, token = await limited(keys, aws_environment, harness, Limits(budget_day=50))
    usage = {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140}

    def dear(body: Any) -> httpx.Response:
        return httpx.Response(200, json={**hello(body).json(), "usage": usage})

    harness.answer = dear
    batch = await submit(services, harness, jsonl(chat(name, max_tokens=40) for name in IDS), token=token)
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    outputs, errors = await results(services, ended)
    assert outputs
    assert {(line["error"]["code"], line["response"]["status_code"]) for line in errors} == {("BUDGET_EXCEEDED", 429)}
    assert harness.asked == {line["custom_id"]: 1 for line in outputs}
    await services.aclose()


async def test_F19_lines_fall_back_to_other_models(services: Services, harness: BatchHarness) -> None:
    def answer(body: Any) -> httpx.Response:
        return httpx.Response(503) if body["model"] == BACKEND.partition("/")[2] else hello(body)

    harness.answer = answer
    lines = [chat(name, models=[SEEING_MODEL]) for name in IDS]
    batch = await submit(services, harness, jsonl(lines))
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert ended.tally.completed == 5
    outputs, _ = await results(services, ended)
    assert {line["response"]["body"]["data"]["model"] for line in outputs} == {SEEING_MODEL}
    assert harness.asked == dict.fromkeys(IDS, 2)


async def test_F19_lines_skip_a_model_whose_circuit_is_open(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    asked = Counter[str]()

    def answer(body: Any) -> httpx.Response:
        asked[body["model"]] += 1
        return httpx.Response(503) if body["model"] == BACKEND.partition("/")[2] else hello(body)

    harness.answer = answer
    one_by_one = {"GATEWAY_BATCH_CONCURRENCY": "1", "GATEWAY_BATCH_LANES": "1"}
    services = make_services(keys, aws_environment, harness, GATEWAY_CIRCUIT_FAILURES="2", **one_by_one)
    batch = await submit(services, harness, jsonl(chat(name, models=[SEEING_MODEL]) for name in IDS))
    await harness.work(services)
    ended = await assert_whole(services, batch, IDS)
    assert ended.tally.completed == 5
    assert (asked[BACKEND.partition("/")[2]], asked.total()) == (2, 7)
    await services.aclose()


async def test_F18_lines_are_never_asked_of_two_models_at_once(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, tmp_path: Path
) -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.1)  # twice as long as the row lets a model be silent

    harness.before_answer = slowly
    rows = f'[[models]]\nid = "{MODEL}"\nhedge_after_ms = 50\nfallbacks = ["{SEEING_MODEL}"]\n'
    services = make_services(keys, aws_environment, harness, **catalog(tmp_path, rows))
    batch = await submit(services, harness, jsonl(map(chat, IDS[:2])))
    await harness.work(services)
    await assert_whole(services, batch, IDS[:2])
    assert harness.asked == dict.fromkeys(IDS[:2], 1)
    await services.aclose()
