"""The buckets against a simple exact model, over random times, sizes and settlements."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.schemas.caller import Caller
from shared.schemas.limits import MINUTE, Estimate, Limits, Refused
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.account import time_of
from shared.stores.limits.store import LimitStore, Reservation

START = 1_795_262_400_000_000
KEYS = count()


class Queue:
    """Work that is done evenly, one microsecond's worth in a microsecond, of which a minute's worth may wait."""

    def __init__(self, limit: int) -> None:
        self.unit = MINUTE // limit
        self.waiting = 0
        self.empty_for = MINUTE

    def pass_time(self, time: int) -> None:
        self.empty_for += max(0, time - self.waiting)
        self.waiting = max(0, self.waiting - time)

    def wait(self, units: int) -> int:
        return max(0, self.waiting + units * self.unit - MINUTE)

    def add(self, units: int) -> int:
        """How much waits then, which is how long it takes until all that is done."""
        self.waiting += units * self.unit
        self.empty_for = 0
        return self.waiting

    def correct(self, estimated: int, actual: int, done_in: int) -> None:
        """Takes out what need not be done and is not done yet. More than was expected was there from the beginning: it
        would have been done while the queue was empty."""
        change = (actual - estimated) * self.unit
        if change < 0:
            self.waiting -= min(-change, max(0, done_in))
            if self.waiting < 0:
                self.empty_for, self.waiting = self.empty_for - self.waiting, 0
        else:
            self.waiting += max(0, change - self.empty_for)
            self.empty_for = max(0, self.empty_for - change)


@dataclass(frozen=True)
class Step:
    """After `later` microseconds: a request for `tokens`, or the settlement of the oldest one open at that many."""

    later: int
    tokens: int
    settles: bool


STEPS = st.lists(
    st.builds(
        Step,
        later=st.one_of(st.just(0), st.integers(0, 3_000_000), st.integers(0, 70_000_000)),
        tokens=st.integers(0, 130),
        settles=st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def aws(aws_environment: dict[str, str], runner: asyncio.Runner) -> Iterator[Aws]:
    aws = Aws(aws_environment, transport=httpx.AsyncHTTPTransport())
    runner.run(LimitStore(aws, "model-limits", "model-usage").create_tables())
    yield aws
    runner.run(aws.aclose())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limits=st.builds(
        Limits,
        requests_per_minute=st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10]),
        tokens_per_minute=st.sampled_from([150, 160, 200, 240, 250, 300]),
    ),
    steps=STEPS,
    forgets=st.booleans(),
)
def test_buckets_admit_what_the_model_admits_and_name_its_wait(
    aws: Aws, runner: asyncio.Runner, limits: Limits, steps: list[Step], forgets: bool
) -> None:
    runner.run(play(aws, limits, steps, forgets))


async def play(aws: Aws, limits: Limits, steps: list[Step], forgets: bool) -> None:
    """`forgets` where every step is made by another process."""
    time = [START]
    requests, tokens = Queue(limits.requests_per_minute or 0), Queue(limits.tokens_per_minute or 0)
    caller = Caller(key_id=f"model-{next(KEYS)}", tenant="t", permissions=frozenset(), limits=limits)
    processes = [LimitStore(aws, "model-limits", "model-usage", clock=lambda: time[0]) for _ in steps]
    unsettled: list[tuple[Reservation, int, int]] = []
    for step, process in zip(steps, processes, strict=True):
        store = process if forgets else processes[0]
        time[0] += step.later
        requests.pass_time(step.later)
        tokens.pass_time(step.later)
        if step.settles and unsettled:
            reservation, estimated, done_at = unsettled.pop(0)
            await store.settle(reservation, "m", Usage(output_tokens=step.tokens), 0)
            tokens.correct(estimated, step.tokens, done_at - time[0])
        elif wait := max(requests.wait(1), tokens.wait(step.tokens)):
            with pytest.raises(Refused) as refused:
                await store.reserve(caller, Estimate(tokens=step.tokens))
            # A process that was refused less a moment ago does not ask how long more would take.
            assert not forgets or refused.value.retry_after == -(-wait // 1_000_000)
        else:
            reservation = await store.reserve(caller, Estimate(tokens=step.tokens))
            requests.add(1)
            unsettled.append((reservation, step.tokens, time[0] + tokens.add(step.tokens)))
            assert reservation.rates.requests.reset == requests.waiting
            assert reservation.rates.tokens.reset == tokens.waiting


@given(units=st.integers(0, 10**9), limit=st.integers(1, 10**9))
def test_a_time_is_rounded_up_by_less_than_a_microsecond(units: int, limit: int) -> None:
    assert 0 <= time_of(units, limit) * limit - units * MINUTE < limit
