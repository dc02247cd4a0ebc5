"""Processes race for one key: no limit is exceeded, no money lost, and the usage is what was served, on a DynamoDB that
is well and on one that throttles, fails, loses answers and is away for a while."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.schemas.limits import MINUTE, Balance, Estimate, Limits, UsageRow
from shared.stores.aws import Aws
from shared.stores.limits.store import LimitStore
from shared.stores.limits.usage import By, summed
from tests.stores.dynamodb_process import dynamodb
from tests.stores.limits_race import Plan

pytestmark = pytest.mark.anyio
TABLES = "raced-limits", "raced-usage"
ESTIMATE = Estimate(tokens=50, cost=1000)
Line = dict[str, Any]
NO_LIMITS = Limits()


@asynccontextmanager
async def opened(environment: dict[str, str], plan: Plan, later: float = 0) -> AsyncIterator[LimitStore]:
    """The test's own store, so many seconds later."""
    aws = Aws(environment)
    yield plan.store(aws, later=later)
    await aws.aclose()


def plans(
    environment: dict[str, str], limits: Limits, tenant_limits: Limits = NO_LIMITS, *, processes: int, **others: Any
) -> list[Plan]:
    """What each process is to do. All begin at noon of the same day, whatever day it is."""
    noon = datetime(2031, 5, 15, 12, tzinfo=UTC).timestamp()
    return [
        Plan(
            environment,
            TABLES,
            limits.model_dump(),
            tenant_limits.model_dump(),
            seed=seed,
            estimate=ESTIMATE,
            ahead=round((noon - time.time()) * 1_000_000),
            **{"lease": 60, "coroutines": 4, "work": 0.02, "patience": 2, **others},
        )
        for seed in range(processes)
    ]


async def race(
    well: dict[str, str], plans: list[Plan], kills: Callable[[list[Line]], bool] = lambda lines: False
) -> tuple[list[Line], list[Balance]]:
    """Lets the processes run and looks at the key all the while. Every second one is killed as soon as `kills` says so
    of what it has printed."""
    async with opened(well, plans[0]) as store:
        await store.create_tables()
        with ExitStack() as stack:
            running = [stack.enter_context(process_of(plan)) for plan in plans]
            for process in running:
                assert process.stdout is not None
                assert b"ready" in await asyncio.to_thread(process.stdout.readline)
            printed: list[list[Line]] = [[] for _ in running]
            readers = [
                asyncio.create_task(asyncio.to_thread(read, process, lines, kills if number % 2 else None))
                for number, (process, lines) in enumerate(zip(running, printed, strict=True))
            ]
            for process in running:
                assert process.stdin is not None
                process.stdin.write(b"go\n")
                process.stdin.flush()
            seen = [await store.standing("raced")]
            while not all(reader.done() for reader in readers):
                await asyncio.wait(readers, timeout=0.1)
                seen.append(await store.standing("raced"))
            assert {process.wait() for process in running[::2]} == {0}
            assert {process.wait() for process in running[1::2]} <= {0, -signal.SIGKILL}
        return [line for lines in printed for line in lines], seen


@contextmanager
def process_of(plan: Plan) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(plan.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process: "subprocess.Popen[bytes]", lines: list[Line], kills: Callable[[list[Line]], bool] | None) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(b"\n"):
            lines.append(json.loads(line))
            if kills is not None and kills(lines):
                process.kill()


def of(lines: list[Line], event: str) -> list[Line]:
    return [line for line in lines if line["event"] == event]


def most_at_once(lines: list[Line]) -> int:
    """How many requests were between admission and the begin of settlement at the same moment, by the one clock that
    all processes of a machine share."""
    begun = [(line["begun"], 1) for line in of(lines, "admitted")]
    ended = [(line["ended"], -1) for line in of(lines, "served")]
    moments = sorted(begun + ended)
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def fits(limit: int, admitted: list[int]) -> bool:
    """Whether in every span of time there were at most a full bucket and what refilled meanwhile."""
    least = None
    for count, at in enumerate(sorted(admitted)):
        level = count * MINUTE - at * limit
        least = level if least is None else min(least, level)
        if level - least + MINUTE > limit * MINUTE:
            return False
    return True


async def usage_of(store: LimitStore) -> UsageRow:
    return summed(await store.usage.rows("2031-05-15", "2031-05-15"), By.KEY)["raced"]


def test_the_check_of_admissions_finds_one_too_many() -> None:
    refilled = [60_000_000 // 10 * step for step in range(1, 5)]
    assert fits(10, [0] * 10 + refilled)
    assert not fits(10, [0] * 10 + refilled + [60_000_000 // 10 * 4])
    assert not fits(10, [*range(11)])


async def test_racing_processes_exceed_no_limit_and_use_it_up() -> None:
    limits = Limits(requests_per_minute=40, tokens_per_minute=20_000, concurrency=5)
    with dynamodb() as (well, _):
        racing = plans(well, limits, Limits(budget_month=10**9), processes=5, coroutines=4)
        lines, seen = await race(well, racing)
        admitted = [line["at"] for line in of(lines, "admitted")]
        assert len(admitted) >= 40
        assert fits(40, admitted)
        assert max(line["seconds"] for line in of(lines, "refused")) >= 2
        assert max(standing.in_flight for standing in seen) <= 5
        assert most_at_once(lines) <= 5
        served = sum(line["cost"] for line in of(lines, "served"))
        async with opened(well, racing[0]) as store:
            assert await store.standing("raced") == Balance(0, 0, served, served)
            assert await store.standing(tenant="t") == Balance(0, 0, served, served)
            used = await usage_of(store)
    assert (used.requests, used.cost) == (len(admitted), served)
    assert used.usage.input_tokens == sum(line["tokens"] for line in of(lines, "served"))


async def test_processes_count_exactly_what_they_served_on_a_dynamodb_that_fails_while_clients_leave() -> None:
    budget = 30_000
    limits = Limits(budget_day=budget, concurrency=12, requests_per_minute=3000)
    with dynamodb(faults=0.25) as (well, faulty):
        racing = plans(
            faulty, limits, Limits(budget_month=10**9, concurrency=100), processes=8, coroutines=2, leaving=0.15
        )
        lines, seen = await race(well, racing)
        assert max(standing.spent_day + standing.reserved for standing in seen) <= budget
        assert max(standing.in_flight for standing in seen) <= 12
        assert most_at_once(lines) <= 12
        assert len(of(lines, "settled")) == len(racing)
        assert min(line["seconds"] for line in [*of(lines, "refused"), *of(lines, "unavailable")]) >= 1
        served = of(lines, "served")
        cost = sum(line["cost"] for line in served)
        async with opened(well, racing[0]) as store:
            assert await store.standing("raced") == Balance(0, 0, cost, cost)
            assert await store.standing(tenant="t") == Balance(0, 0, cost, cost)
            used = await usage_of(store)
    assert budget - ESTIMATE.cost < cost <= budget
    assert (used.requests, used.failures, used.cost) == (len(served), 0, cost)
    assert used.usage.input_tokens == sum(line["tokens"] for line in served)
    assert of(lines, "unavailable") != []


async def test_what_killed_processes_served_is_never_missing_from_a_budget() -> None:
    budget = 40_000
    limits = Limits(budget_day=budget, concurrency=40)
    with dynamodb(faults=0.1) as (well, faulty):
        racing = plans(faulty, limits, processes=8, coroutines=2, work=0.1, lease=3)
        lines, seen = await race(well, racing, kills=lambda lines: len(of(lines, "admitted")) >= 4)
        assert max(standing.spent_day + standing.reserved for standing in seen) <= budget
        assert max(standing.in_flight for standing in seen) <= 40
        served = sum(line["cost"] for line in of(lines, "served"))
        admitted = len(of(lines, "admitted"))
        async with opened(well, racing[0], later=60) as store:
            left = await store.standing("raced")
            assert (left.in_flight, left.reserved) == (0, 0)
            assert served <= left.spent_day <= budget
            # The next request takes back what has died, and its usage shows that.
            small = Estimate(tokens=1, cost=0)
            for _ in range(2):
                await store.settle(await store.reserve(racing[0].caller(), small), "last", used_nothing(), 0)
            used = await usage_of(store)
    assert used.cost == left.spent_day
    assert used.estimated == used.failures
    # Some were admitted whose process has died before it said so.
    assert admitted <= used.requests - 2 + used.failures <= admitted + sum(plan.coroutines for plan in racing[1::2])


def used_nothing() -> Any:
    from shared.schemas.usage import Usage

    return Usage()
