"""Limits against a simple exact model: over random times, sizes and settlements, and whatever becomes of the writes."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scripts.memory_dynamodb import MemoryDynamoDb
from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import MINUTE, Balance, Estimate, Limits, Refused
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.bucket import time_of
from shared.stores.limits.store import LimitStore, Reservation
from tests.quick_aws import InProcess
from tests.skipped_time import SkippingLoop
from tests.stores.compared_dynamodb import ComparedDynamoDb
from tests.stores.limits_harness import NOON, SECOND, CountingTransport

KEYS = count()
TABLES = "model-limits", "model-usage"
UNTIL_MIDNIGHT = 12 * 3600 * SECOND
SENDINGS = 3
"""How often a write is sent before its process gives up for a while."""
REFUSED_BY_AWS = 300 * SECOND
"""How old a request may be."""


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
class Open:
    """A request under way: what it was estimated at, and when what waited after it will be done, in either queue."""

    reservation: Reservation | None
    tokens: int
    cost: int
    requests_done_at: int
    tokens_done_at: int


@dataclass
class Model:
    """What the store has to be like."""

    limits: Limits
    now: int = NOON
    opened: list[Open] = field(default_factory=list)
    requests: Queue = field(init=False)
    tokens: Queue = field(init=False)
    spent: int = 0
    settled: int = 0
    used_tokens: int = 0
    refused_at: dict[LimitStore, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.requests = Queue(self.limits.requests_per_minute or 0)
        self.tokens = Queue(self.limits.tokens_per_minute or 0)

    def pass_time(self, time: int) -> None:
        self.now += time
        self.requests.pass_time(time)
        self.tokens.pass_time(time)

    @property
    def reserved(self) -> int:
        return sum(one.cost for one in self.opened)

    def wait(self, tokens: int, cost: int) -> int:
        """How long a request would have to wait."""
        waits = [self.requests.wait(1), self.tokens.wait(tokens)]
        if self.limits.concurrency is not None and len(self.opened) >= self.limits.concurrency:
            waits.append(SECOND)
        if self.limits.budget_day is not None and self.spent + self.reserved + cost > self.limits.budget_day:
            is_spent = self.spent + cost > self.limits.budget_day
            waits.append(UNTIL_MIDNIGHT - (self.now - NOON) if is_spent else SECOND)
        return max(waits)

    def reserve(self, tokens: int, *, doubtful: bool) -> tuple[int, int]:
        """When what waits then will be done, in either queue: as if alone, where nobody saw what came before."""
        waiting = self.requests.add(1), self.tokens.add(tokens)
        alone = self.requests.unit, tokens * self.tokens.unit
        return self.now + (alone if doubtful else waiting)[0], self.now + (alone if doubtful else waiting)[1]

    def cancel(self, one: Open) -> None:
        self.requests.correct(1, 0, one.requests_done_at - self.now)
        self.tokens.correct(one.tokens, 0, one.tokens_done_at - self.now)

    def settle(self, one: Open, tokens: int, cost: int) -> None:
        self.tokens.correct(one.tokens, tokens, one.tokens_done_at - self.now)
        self.spent += cost
        self.settled += 1
        self.used_tokens += tokens

    def balance(self) -> Balance:
        return Balance(len(self.opened), self.reserved, self.spent, self.spent)


@dataclass(frozen=True)
class Step:
    """After `later` microseconds one process does something: reserves, or settles or cancels the request at a place
    among those open. `fault` is what becomes of so many of the writes sent for that."""

    later: int
    process: int
    does: str
    place: int
    tokens: int
    cost: int
    fault: str = ""
    faults: int = 0
    delivers: bool = False


FAULTS = ["lose_answers", "answer_500", "throttle", "keep_back"]
LATER = st.one_of(st.just(0), st.integers(0, 3_000_000), st.integers(0, 70_000_000))
TOKENS = st.one_of(st.just(0), st.integers(2, 130))
BUCKETS = st.builds(
    Limits,
    requests_per_minute=st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10]),
    tokens_per_minute=st.sampled_from([150, 160, 200, 240, 250, 300]),
)
ALL = st.builds(
    Limits,
    requests_per_minute=st.sampled_from([2, 5, 8, 10]),
    tokens_per_minute=st.sampled_from([160, 300]),
    concurrency=st.sampled_from([1, 2, 3]),
    budget_day=st.sampled_from([60, 200, 100_000]),
)


A_WRONG_GUESS_UNHEARD = [
    Step(0, 1, "reserve", 0, 0, 0),
    Step(0, 0, "reserve", 0, 10, 0),
    Step(0, 1, "reserve", 0, 10, 0),
    Step(0, 0, "cancel", 1, 0, 0),
    Step(0, 0, "cancel", 1, 0, 0),
    Step(1, 1, "reserve", 0, 10, 0, "lose_answers", SENDINGS),
    Step(0, 0, "settle", 0, 20, 0),
    Step(0, 0, "reserve", 0, 10, 0),
]
"""Process 1 takes a bucket to be in use that is full again, and hears of no refusal: it has reserved nothing."""


def steps(faulty: bool) -> st.SearchStrategy[list[Step]]:
    step = st.builds(
        Step,
        later=LATER,
        process=st.integers(0, 2),
        does=st.sampled_from(["reserve", "reserve", "settle", "cancel"] if faulty else ["reserve", "settle"]),
        place=st.integers(0, 9) if faulty else st.just(0),
        tokens=TOKENS,
        cost=st.integers(0, 60),
        fault=st.sampled_from(["", *FAULTS]) if faulty else st.just(""),
        faults=st.integers(1, SENDINGS),
        delivers=st.booleans(),
    )
    return st.lists(step, min_size=1, max_size=10 if faulty else 14)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:  # calls are tried again after pauses
        yield runner


@pytest.fixture(scope="module")
def aws(aws_environment: dict[str, str], compared_dynamodb: ComparedDynamoDb, runner: asyncio.Runner) -> Aws:
    return runner.run(on_tables(aws_environment, InProcess(compared_dynamodb)))


@pytest.fixture(scope="module")
def quick_aws(aws_environment: dict[str, str], runner: asyncio.Runner) -> Aws:
    """In memory alone, for what takes thousands of writes."""
    return runner.run(on_tables(aws_environment, MemoryDynamoDb()))


async def on_tables(environment: dict[str, str], dynamodb: httpx.AsyncBaseTransport) -> Aws:
    aws = Aws(environment, transport=CountingTransport(dynamodb))
    await LimitStore(aws, *TABLES).create_tables()
    return aws


quickly = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=40, suppress_health_check=quickly)
@given(limits=BUCKETS, steps=steps(faulty=False), forgets=st.booleans())
def test_buckets_admit_what_the_model_admits_and_name_its_wait(
    aws: Aws, runner: asyncio.Runner, limits: Limits, steps: list[Step], forgets: bool
) -> None:
    runner.run(play(aws, limits, steps, processes=len(steps) if forgets else 1))


@settings(max_examples=60, suppress_health_check=quickly)
@given(limits=ALL, steps=steps(faulty=True))
@example(limits=Limits(requests_per_minute=10, tokens_per_minute=160), steps=A_WRONG_GUESS_UNHEARD)
def test_writes_that_are_lost_repeated_or_late_change_nothing_of_what_the_model_says(
    quick_aws: Aws, runner: asyncio.Runner, limits: Limits, steps: list[Step]
) -> None:
    runner.run(play(quick_aws, limits, steps, processes=3))


async def play(aws: Aws, limits: Limits, steps: list[Step], processes: int) -> None:
    """Every step by one of so many processes, or each by one of its own where there are as many."""
    model = Model(limits)
    key = f"model-{next(KEYS)}"
    caller = Caller(key_id=key, tenant="t", permissions=frozenset(), limits=limits)
    stores = [LimitStore(aws, *TABLES, lease=10**6, clock=lambda: model.now) for _ in range(processes)]
    transport = aws._given_transport
    assert isinstance(transport, CountingTransport)
    kept_at = 0
    for number, step in enumerate(steps):
        store = stores[(number if processes == len(steps) else step.process) % processes]
        model.pass_time(step.later)
        if model.now - kept_at > REFUSED_BY_AWS:
            transport.kept.clear()
        if step.fault:
            setattr(transport, step.fault, step.faults)
            kept_at = model.now
        if step.does == "reserve":
            await reserve(store, transport, caller, model, step, exact_wait=processes == len(steps))
        elif model.opened:
            one = model.opened.pop(step.place % len(model.opened))
            assert one.reservation is not None
            if step.does == "settle":
                model.settle(one, step.tokens, step.cost)
                await store.settle(one.reservation, "m", Usage(output_tokens=step.tokens), step.cost)
            else:
                model.cancel(one)
                await store.cancel(one.reservation)
        for fault in FAULTS:
            setattr(transport, fault, 0)
        await store.flush(10)
        if step.delivers:
            await transport.deliver_late()
        if step.fault:
            assert await store.standing(key) == model.balance()
    await transport.deliver_late()
    assert await stores[0].standing(key) == model.balance()
    rows = await stores[0].usage.rows("2031-11-21", "2031-11-21", key)
    used = [(row.requests, row.cost, row.usage.output_tokens) for row in rows]
    assert used == ([(model.settled, model.spent, model.used_tokens)] if model.settled else [])


async def reserve(
    store: LimitStore, transport: CountingTransport, caller: Caller, model: Model, step: Step, *, exact_wait: bool
) -> None:
    done_before = transport.done_unheard
    cost = step.cost if caller.limits.budgeted else 0
    wait = model.wait(step.tokens, cost)
    reserving = asyncio.ensure_future(store.reserve(caller, Estimate(step.tokens, step.cost)))
    await asyncio.wait([reserving])
    match reserving.exception():
        case ModelUnavailable():
            assert step.faults == SENDINGS
            if transport.done_unheard > done_before:  # it was made, and given back
                assert wait == 0
                done_at = model.reserve(step.tokens, doubtful=True)
                model.cancel(Open(None, step.tokens, cost, *done_at))
        case Refused() as refused:
            # A process that was refused less a moment ago asks neither whether there is room now nor how long it takes.
            assert wait > 0 or model.now - model.refused_at.get(store, 0) < SECOND
            if wait > 0:
                model.refused_at[store] = model.now
            assert not exact_wait or refused.retry_after == -(-wait // SECOND)
        case None:
            assert wait == 0
            done_at = model.reserve(step.tokens, doubtful=step.fault not in ("", "throttle"))
            reservation = reserving.result()
            model.opened.append(Open(reservation, step.tokens, cost, *done_at))
            assert reservation.rates.requests.reset == model.requests.waiting
            assert reservation.rates.tokens.reset == model.tokens.waiting
        case error:
            raise error


@given(units=st.integers(0, 10**9), limit=st.integers(1, 10**9))
def test_a_time_is_rounded_up_by_less_than_a_microsecond(units: int, limit: int) -> None:
    assert 0 <= time_of(units, limit) * limit - units * MINUTE < limit
