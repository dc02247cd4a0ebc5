"""Eight processes race for one key: no limit is exceeded, no money lost, and the usage is what was served."""

import asyncio
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest

from shared.schemas.limits import MINUTE, Balance, Estimate, Limits, UsageRow
from shared.stores.aws import Aws
from shared.stores.limits.store import LimitStore
from shared.stores.limits.usage import By, summed
from tests.stores.limits_race import Plan

pytestmark = pytest.mark.anyio
PROCESSES = 8
TABLES = "raced-limits", "raced-usage"
ESTIMATE = Estimate(tokens=50, cost=1000)
Line = dict[str, Any]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "tests.stores.dynamodb_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(server.stdout.readline())}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        server.stdin.close()


@asynccontextmanager
async def opened(environment: dict[str, str], plan: Plan, ahead: float = 0) -> AsyncIterator[LimitStore]:
    """The test's own store, its clock so many seconds ahead."""
    aws = Aws(environment)
    clock = lambda: time.time_ns() // 1000 + round(ahead * 1_000_000)  # noqa: E731
    yield LimitStore(aws, *TABLES, lease=plan.lease, clock=clock)
    await aws.aclose()


def plans(environment: dict[str, str], work: float, limits: Limits, tenant_limits: Limits) -> list[Plan]:
    return [
        Plan(
            environment,
            TABLES,
            limits.model_dump(),
            tenant_limits.model_dump(),
            lease=3,
            coroutines=6,
            work=work,
            patience=2,
            seed=seed,
            estimate=ESTIMATE,
        )
        for seed in range(PROCESSES)
    ]


async def race(plans: list[Plan], kill_at: float = math.inf) -> tuple[list[Line], list[Balance]]:
    """Lets the processes run and looks at the key all the while; kills half of them when so much has been spent."""
    with ExitStack() as stack:
        running = [stack.enter_context(process_of(plan)) for plan in plans]
        for process in running:
            assert process.stdout is not None
            assert b"ready" in await asyncio.to_thread(process.stdout.readline)
        readers = [asyncio.create_task(asyncio.to_thread(lines_of, process)) for process in running]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        seen = []
        async with opened(plans[0].environment, plans[0]) as store:
            while not all(reader.done() for reader in readers):
                seen.append(await store.standing("raced"))
                if seen[-1].spent_day >= kill_at:
                    for process in running[: PROCESSES // 2]:
                        process.kill()
                await asyncio.sleep(0.05)
        assert {process.wait() for process in running} == ({0} if kill_at == math.inf else {0, -signal.SIGKILL})
        return [line for reader in readers for line in reader.result()], seen


@contextmanager
def process_of(plan: Plan) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(plan.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process: "subprocess.Popen[bytes]") -> list[Line]:
    assert process.stdout is not None
    return [json.loads(line) for line in process.stdout if line.endswith(b"\n")]


def of(lines: list[Line], event: str) -> list[Line]:
    return [line for line in lines if line["event"] == event]


def most_at_once(lines: list[Line]) -> int:
    """How many requests were between admission and the begin of settlement at the same moment, by the one clock that
    all processes of a machine share."""
    begun = [(line["begun"], 1) for line in of(lines, "admitted")]
    ended = [(line["ended"], -1) for line in of(lines, "settling")]
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
    return summed(await store.usage.rows("2020-01-01", "2100-01-01"), By.KEY)["raced"]


async def started(environment: dict[str, str], first: Plan) -> None:
    async with opened(environment, first) as store:
        await store.create_tables()


def test_the_check_of_admissions_finds_one_too_many() -> None:
    refilled = [60_000_000 // 10 * step for step in range(1, 5)]
    assert fits(10, [0] * 10 + refilled)
    assert not fits(10, [0] * 10 + refilled + [60_000_000 // 10 * 4])
    assert not fits(10, [*range(11)])


async def test_racing_processes_exceed_no_limit_and_use_it_up(environment: dict[str, str]) -> None:
    limits = Limits(requests_per_minute=40, tokens_per_minute=20_000, concurrency=5)
    racing = plans(environment, 0.02, limits, tenant_limits=Limits(budget_month=10**9))
    await started(environment, racing[0])
    lines, seen = await race(racing)
    admitted = [line["at"] for line in of(lines, "admitted")]
    assert len(admitted) >= 40
    assert fits(40, admitted)
    assert max(line["seconds"] for line in of(lines, "refused")) >= 2
    assert max(standing.in_flight for standing in seen) <= 5
    assert most_at_once(lines) <= 5
    served = sum(line["cost"] for line in of(lines, "settled"))
    async with opened(environment, racing[0]) as store:
        assert await store.standing("raced") == Balance(0, 0, served, served)
        assert await store.standing(tenant="t") == Balance(0, 0, served, served)
        used = await usage_of(store)
    assert (used.requests, used.cost) == (len(admitted), served)
    assert used.usage.input_tokens == sum(line["tokens"] for line in of(lines, "settled"))


async def test_racing_processes_spend_a_budget_to_its_end_though_half_of_them_are_killed(
    environment: dict[str, str],
) -> None:
    budget = 60_000
    racing = plans(environment, 0.2, Limits(budget_day=budget, concurrency=40), tenant_limits=Limits())
    await started(environment, racing[0])
    lines, seen = await race(racing, kill_at=budget / 4)
    assert max(standing.spent_day + standing.reserved for standing in seen) <= budget
    assert max(standing.in_flight for standing in seen) <= 40
    async with opened(environment, racing[0]) as store:
        left = await store.standing("raced")
        used = await usage_of(store)
    assert (left.in_flight, left.reserved) == (0, 0)
    assert budget - ESTIMATE.cost < left.spent_day == used.cost <= budget
    # Of what was being settled when its process died, nobody knows whether it was written.
    settling, settled = of(lines, "settling"), of(lines, "settled")
    assert len(settled) <= used.requests <= len(settling) < len(of(lines, "admitted"))
    assert sum(line["cost"] for line in settled) <= used.cost <= sum(line["cost"] for line in settling)
