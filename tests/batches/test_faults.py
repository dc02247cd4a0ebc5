"""Whatever breaks, and whenever: each line of a batch ends in exactly one place, and the counts agree."""

import asyncio
from collections import Counter
from random import Random

import httpx
import pytest

from shared.batches.steps import MAX_RECEIVES
from shared.gateway import Gateway
from shared.schemas.batch import Batch, BatchStatus
from shared.stores.aws import AwsError
from tests.batches.world import (
    HIDDEN_SECONDS,
    Killed,
    World,
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
LINES = jsonl([chat("a"), chat("b"), chat("c"), chat("a")])
IDS = ["a", "b", "c", "a"]
MANY = [f"line-{number}" for number in range(11)]


async def points_of_a_run(gateway: Gateway, world: World) -> int:
    """How many calls a batch takes when nothing breaks."""
    batch = await submit(gateway, world, LINES)
    await world.work(gateway)
    points = world.points
    await assert_whole(gateway, batch, IDS)
    return points


async def submitted(gateway: Gateway, world: World, lines: bytes) -> Batch | None:
    """A batch, or None where its submission has failed."""
    try:
        return await submit(gateway, world, lines)
    except (AwsError, Killed):
        return None


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_any_point_loses_and_doubles_nothing(gateway: Gateway, world: World, fault: str) -> None:
    points = await points_of_a_run(gateway, world)
    assert points > 20
    for number in range(1, points + 1):
        world.points = 0
        world.fault = lambda point, number=number: fault if point == number else None  # type: ignore[misc]
        batch = await submitted(gateway, world, LINES)
        await world.work(gateway)
        world.fault = no_fault
        assert not world.dead, number
        if batch is not None:
            ended = await assert_whole(gateway, batch, IDS)
            assert (ended.status, ended.tally.completed) == (BatchStatus.COMPLETED, 3), number


@pytest.mark.parametrize("seed", range(6))
async def test_many_faults_and_messages_in_any_order_twice_lose_and_double_nothing(
    gateway: Gateway, world: World, seed: int
) -> None:
    random = Random(seed)
    batch = await submit(gateway, world, jsonl(map(chat, MANY)))
    world.fault = lambda point: random.choice(FAULTS) if random.random() < 0.04 else None
    await world.work(gateway, pick=random, twice=True)
    world.fault = no_fault
    assert not world.dead
    ended = await assert_whole(gateway, batch, MANY)
    assert ended.status is BatchStatus.COMPLETED
    assert ended.tally.completed == len(MANY)


async def test_what_is_delivered_twice_and_out_of_order_is_asked_once(gateway: Gateway, world: World) -> None:
    batch = await submit(gateway, world, jsonl(map(chat, MANY)))
    await world.work(gateway, pick=Random(1), twice=True)
    await assert_whole(gateway, batch, MANY)
    assert world.asked == Counter(MANY)


async def test_two_workers_at_the_same_message_count_once(gateway: Gateway, world: World) -> None:
    """The vendor tells them different things; the first results that are stored stay."""
    answers = iter(range(1000))

    def differing(body: object) -> httpx.Response:
        return hello(body) if next(answers) % 3 else httpx.Response(400, json={"error": {"message": "no"}})

    world.answer = differing
    batch = await submit(gateway, world, jsonl(map(chat, MANY)))
    while world.queue:
        world.now = max(world.now, min(message.due for message in world.queue))
        message = min(world.queue, key=lambda message: message.due)
        message.due, message.receives = world.now + HIDDEN_SECONDS, message.receives + 1
        assert all(await asyncio.gather(world.deliver(gateway, message), world.deliver(gateway, message)))
        world.queue.remove(message)
        if (await found(gateway, batch)).status.ended:
            break
    ended = await assert_whole(gateway, batch, MANY)
    assert ended.tally.failed
    assert ended.tally.completed


@pytest.mark.parametrize("service", ["dynamodb", "s3", "vendor"])
async def test_a_service_that_is_down_for_hours_only_takes_time(gateway: Gateway, world: World, service: str) -> None:
    batch = await submit(gateway, world, LINES)
    end = world.now + 2 * 3600
    world.fault = lambda point: "refused" if world.service == service and world.now < end else None
    await world.work(gateway)
    assert not world.dead
    assert (await assert_whole(gateway, batch, IDS)).status is BatchStatus.COMPLETED


async def test_lines_that_kill_their_worker_are_given_up_and_the_others_are_answered(
    gateway: Gateway, world: World
) -> None:
    def deadly(body: object) -> httpx.Response:
        if "line-3" in str(body):
            raise Killed
        return hello(body)

    world.answer = deadly
    batch = await submit(gateway, world, jsonl(map(chat, MANY)))
    await world.work(gateway)
    assert not world.dead
    ended = await assert_whole(gateway, batch, MANY)
    assert ended.status is BatchStatus.COMPLETED
    _, errors = await results(gateway, ended)
    assert {line["custom_id"] for line in errors} == {"line-2", "line-3"}  # those of its chunk
    assert {line["error"]["code"] for line in errors} == {"internal_error"}
    assert world.asked["line-3"] == MAX_RECEIVES


async def test_an_input_that_kills_its_worker_fails_the_batch(gateway: Gateway, world: World) -> None:
    batch = await submit(gateway, world, LINES)

    def fault(point: int) -> str | None:
        request = world.request
        return "killed before" if request is not None and request.url.path.endswith("/input.jsonl") else None

    world.fault = fault
    await world.work(gateway)
    ended = await found(gateway, batch)
    assert ended.status is BatchStatus.FAILED
    assert [error.code for error in ended.errors] == ["internal_error"]


@pytest.mark.parametrize("lost", ["split", "chunk", "finish"])
async def test_a_message_that_is_lost_ends_the_batch_with_its_window(gateway: Gateway, world: World, lost: str) -> None:
    batch = await submit(gateway, world, LINES, window="1h")
    began = world.now
    gone = 0
    for _ in range(100):
        for message in list(world.queue):
            if f'"kind":"{lost}"' in message.body and not gone:
                world.queue.remove(message)
                gone += 1
        if not world.queue:
            break
        await world.step(gateway)
    assert gone == 1
    ended = await assert_whole(gateway, batch, IDS)
    assert began + 3600 < world.now < began + 3600 + 2000
    assert ended.status is (BatchStatus.COMPLETED if lost == "finish" else BatchStatus.EXPIRED)
    assert ended.tally.completed == {"split": 0, "chunk": 1, "finish": 3}[lost]


async def test_messages_of_a_submission_that_failed_half_way_vanish(gateway: Gateway, world: World) -> None:
    world.fault = lambda point: "refused" if world.service == "dynamodb" else None
    assert await submitted(gateway, world, LINES) is None
    world.fault = no_fault
    assert len(world.queue) == 2
    await world.work(gateway)
    assert not world.dead
