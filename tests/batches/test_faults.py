"""Whatever breaks, and whenever: each line of a batch ends in exactly one place, and the counts agree."""

import asyncio
from collections import Counter
from random import Random

import httpx
import pytest

from shared.batches.steps import MAX_RECEIVES
from shared.gateway.services import Services
from shared.schemas.batch import Batch, BatchStatus
from shared.stores.aws_calls import AwsError
from tests.batches.batch_harness import (
    HIDDEN_SECONDS,
    BatchHarness,
    Killed,
    assert_whole,
    chat,
    found,
    hello,
    jsonl,
    no_fault,
    results,
    submit,
)

pytestmark = pytest.mark.anyio

FAULTS = ["killed before", "killed after", "refused", "answer lost"]
LINES = jsonl([chat("a"), chat("b"), chat("c"), chat("a"), chat("d")])
IDS = ["a", "b", "c", "a", "d"]
MANY = [f"line-{number}" for number in range(11)]


async def points_of_a_run(services: Services, harness: BatchHarness) -> int:
    """How many calls a batch takes when nothing breaks."""
    batch = await submit(services, harness, LINES)
    await harness.work(services)
    points = harness.points
    await assert_whole(services, batch, IDS)
    return points


async def submitted(services: Services, harness: BatchHarness, lines: bytes) -> Batch | None:
    """A batch, or None where its submission has failed."""
    try:
        return await submit(services, harness, lines)
    except (AwsError, Killed):
        return None


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_any_point_loses_and_doubles_nothing(
    services: Services, harness: BatchHarness, fault: str
) -> None:
    points = await points_of_a_run(services, harness)
    assert points > 20
    for number in range(1, points + 1):
        harness.points = 0
        harness.fault = lambda point, number=number: fault if point == number else None  # type: ignore[misc]
        batch = await submitted(services, harness, LINES)
        await harness.work(services)
        harness.fault = no_fault
        assert not harness.dead, number
        if batch is not None:
            ended = await assert_whole(services, batch, IDS)
            assert (ended.status, ended.tally.completed) == (BatchStatus.COMPLETED, 4), number


@pytest.mark.parametrize("seed", range(6))
async def test_many_faults_and_messages_in_any_order_twice_lose_and_double_nothing(
    services: Services, harness: BatchHarness, seed: int
) -> None:
    random = Random(seed)
    batch = await submit(services, harness, jsonl(map(chat, MANY)))
    harness.fault = lambda point: random.choice(FAULTS) if random.random() < 0.04 else None
    await harness.work(services, pick=random, twice=True)
    harness.fault = no_fault
    assert not harness.dead
    ended = await assert_whole(services, batch, MANY)
    assert ended.status is BatchStatus.COMPLETED
    assert ended.tally.completed == len(MANY)


async def test_what_is_delivered_twice_and_out_of_order_is_asked_once(
    services: Services, harness: BatchHarness
) -> None:
    batch = await submit(services, harness, jsonl(map(chat, MANY)))
    await harness.work(services, pick=Random(1), twice=True)
    await assert_whole(services, batch, MANY)
    assert harness.asked == Counter(MANY)


async def test_two_workers_at_the_same_message_count_once(services: Services, harness: BatchHarness) -> None:
    """The vendor tells them different things; the first results that are stored stay."""
    answers = iter(range(1000))

    def differing(body: object) -> httpx.Response:
        return hello(body) if next(answers) % 3 else httpx.Response(400, json={"error": {"message": "no"}})

    harness.answer = differing
    batch = await submit(services, harness, jsonl(map(chat, MANY)))
    while harness.queue:
        harness.now = max(harness.now, min(message.due for message in harness.queue))
        message = min(harness.queue, key=lambda message: message.due)
        message.due, message.receives = harness.now + HIDDEN_SECONDS, message.receives + 1
        assert all(await asyncio.gather(harness.deliver(services, message), harness.deliver(services, message)))
        harness.queue.remove(message)
        if (await found(services, batch)).status.ended:
            break
    ended = await assert_whole(services, batch, MANY)
    assert ended.tally.failed
    assert ended.tally.completed


@pytest.mark.parametrize("service", ["dynamodb", "s3", "vendor"])
async def test_a_service_that_is_down_for_hours_only_takes_time(
    services: Services, harness: BatchHarness, service: str
) -> None:
    batch = await submit(services, harness, LINES)
    end = harness.now + 2 * 3600
    harness.fault = lambda point: "refused" if harness.service == service and harness.now < end else None
    await harness.work(services)
    assert not harness.dead
    assert (await assert_whole(services, batch, IDS)).status is BatchStatus.COMPLETED


async def test_lines_that_kill_their_worker_are_given_up_and_the_others_are_answered(
    services: Services, harness: BatchHarness
) -> None:
    def deadly(body: object) -> httpx.Response:
        if "line-3" in str(body):
            raise Killed
        return hello(body)

    harness.answer = deadly
    batch = await submit(services, harness, jsonl(map(chat, MANY)))
    await harness.work(services)
    assert not harness.dead
    ended = await assert_whole(services, batch, MANY)
    assert ended.status is BatchStatus.COMPLETED
    _, errors = await results(services, ended)
    assert {line["custom_id"] for line in errors} == {"line-2", "line-3"}  # those of its chunk
    assert {line["error"]["code"] for line in errors} == {"internal_error"}
    assert harness.asked["line-3"] == MAX_RECEIVES


async def test_an_input_that_kills_its_worker_fails_the_batch(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, LINES)

    def fault(point: int) -> str | None:
        request = harness.request
        return "killed before" if request is not None and request.url.path.endswith("/input.jsonl") else None

    harness.fault = fault
    await harness.work(services)
    ended = await found(services, batch)
    assert ended.status is BatchStatus.FAILED
    assert [error.code for error in ended.errors] == ["internal_error"]


@pytest.mark.parametrize("lost", ["split", "chunk", "finish"])
async def test_a_message_that_is_lost_ends_the_batch_with_its_window(
    services: Services, harness: BatchHarness, lost: str
) -> None:
    batch = await submit(services, harness, LINES, window="1h")
    began = harness.now
    gone = 0
    for _ in range(100):
        for message in list(harness.queue):
            if f'"kind":"{lost}"' in message.body and not gone:
                harness.queue.remove(message)
                gone += 1
        if not harness.queue:
            break
        await harness.step(services)
    assert gone == 1
    ended = await assert_whole(services, batch, IDS)
    assert began + 3600 < harness.now < began + 3600 + 2000
    assert ended.status is (BatchStatus.COMPLETED if lost == "finish" else BatchStatus.EXPIRED)
    assert ended.tally.completed == {"split": 0, "chunk": 1, "finish": 4}[lost]


async def test_messages_of_a_submission_that_failed_half_way_vanish(services: Services, harness: BatchHarness) -> None:
    harness.fault = lambda point: "refused" if harness.service == "dynamodb" else None
    assert await submitted(services, harness, LINES) is None
    harness.fault = no_fault
    assert len(harness.queue) == 2
    await harness.work(services)
    assert not harness.dead
