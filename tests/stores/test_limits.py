"""Limits and budgets hold exactly, say when to come back, and cost two writes a request and no read."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import UNLIMITED, Balance, Estimate, Limits, OverBudget, Refused, duration
from shared.schemas.usage import Usage
from shared.stores.aws import Aws, AwsError
from shared.stores.limits.store import LimitStore

pytestmark = pytest.mark.anyio
SECOND = 1_000_000
NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * SECOND
REQUEST = Estimate(tokens=10, cost=10)


class CountingTransport(httpx.AsyncBaseTransport):
    """Counts what is asked of DynamoDB by action, and can lose answers or fail."""

    def __init__(self) -> None:
        self.inner = httpx.AsyncHTTPTransport()
        self.counts: dict[str, int] = {}
        self.refused = 0
        self.longest = 0
        self.lose_answers = 0
        self.down_for: bytes | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down_for is not None and self.down_for in request.content:
            raise httpx.ConnectError("down")
        action = request.headers["x-amz-target"].partition(".")[2]
        self.counts[action] = self.counts.get(action, 0) + 1
        expressions = json.loads(request.content)
        for name in ("UpdateExpression", "ConditionExpression"):
            self.longest = max(self.longest, len(expressions.get(name, "")))
        # Here moto is more lenient than DynamoDB, which lets an update name each attribute once.
        updated = re.findall(r"(#\d+)(?= =| :|,|$| ADD| REMOVE)", expressions.get("UpdateExpression", ""))
        assert len(updated) == len(set(updated))
        response = await self.inner.handle_async_request(request)
        self.refused += response.status_code == 400
        if self.lose_answers:
            self.lose_answers -= 1
            raise httpx.ReadTimeout("lost")
        return response


class BatchHarness:
    """A store on fresh tables, its clock in microseconds, and what it asks of DynamoDB."""

    def __init__(self, environment: Mapping[str, str], name: str) -> None:
        self.now = NOON
        self.environment = environment
        self.tables = f"{name}-limits"[-200:], f"{name}-usage"[-200:]
        self.transport = CountingTransport()
        self.shards: list[int] = []
        self.store = self.process()

    def process(self, **options: Any) -> LimitStore:
        """Another process on the same tables."""
        return LimitStore(
            Aws(self.environment, transport=self.transport),
            *self.tables,
            clock=lambda: self.now,
            choose=lambda below: self.shards.pop(0) % below if self.shards else 0,
            **options,
        )

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    async def writes(self) -> int:
        written = self.transport.counts.get("UpdateItem", 0)
        self.transport.counts.clear()
        return written


@pytest.fixture
async def harness(aws_environment: dict[str, str], request: pytest.FixtureRequest) -> AsyncIterator[BatchHarness]:
    made = BatchHarness(aws_environment, "".join(char for char in request.node.name if char.isalnum() or char == "-"))
    await made.store.create_tables()
    made.transport.counts.clear()
    yield made
    await made.transport.inner.aclose()


def caller(key: str = "k", tenant: Limits | None = None, **limits: int) -> Caller:
    return Caller(
        key_id=key,
        tenant="t",
        permissions=frozenset(),
        limits=Limits(**limits),
        tenant_limits=tenant or Limits(),
    )


async def refusal(store: LimitStore, who: Caller, estimate: Estimate = REQUEST) -> Refused:
    with pytest.raises(Refused) as raised:
        await store.reserve(who, estimate)
    return raised.value


def tokens(count: int) -> Usage:
    return Usage(input_tokens=count)


# ---- Requests and tokens a minute ------------------------------------------------------------------------------------


async def test_a_bucket_holds_a_minute_and_refills_evenly(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=4)
    for _ in range(4):
        await harness.store.reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 15
    harness.wait(14.999999)
    assert (await refusal(harness.store, who)).retry_after == 1
    harness.wait(0.000001)
    await harness.store.reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 15


async def test_a_refused_call_costs_nothing(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=10, tokens_per_minute=100, concurrency=10, budget_day=1000)
    await harness.store.reserve(who, Estimate(tokens=95, cost=1))
    for _ in range(5):
        assert "tokens a minute" in (await refusal(harness.process(), who)).message
    reservation = await harness.store.reserve(who, Estimate(tokens=5, cost=1))
    assert reservation.rates.requests.remaining == 8
    assert await harness.store.standing("k") == Balance(in_flight=2, reserved=2, spent_day=0, spent_month=0)


async def test_tokens_are_settled_down(harness: BatchHarness) -> None:
    who = caller(tokens_per_minute=600)
    reservation = await harness.store.reserve(who, Estimate(tokens=600))
    assert (await refusal(harness.store, who)).retry_after == 1
    await harness.store.settle(reservation, "m", tokens(100), 0)
    assert (await harness.store.reserve(who, Estimate(tokens=400))).rates.tokens.remaining == 100


async def test_tokens_are_settled_up_and_the_debt_is_waited_for(harness: BatchHarness) -> None:
    who = caller(tokens_per_minute=600)
    reservation = await harness.store.reserve(who, Estimate(tokens=100))
    await harness.store.settle(reservation, "m", tokens(1200), 0)
    refused = await refusal(harness.store, who, Estimate(tokens=10))
    assert refused.retry_after == 61
    assert refused.rates.tokens.remaining == 0
    harness.wait(61)
    await harness.store.reserve(who, Estimate(tokens=10))


async def test_what_time_has_refilled_is_not_given_back_a_second_time(harness: BatchHarness) -> None:
    who = caller(tokens_per_minute=600)
    slow = await harness.store.reserve(who, Estimate(tokens=600))
    harness.wait(60)
    await harness.store.reserve(who, Estimate(tokens=600))
    await harness.store.settle(slow, "m", tokens(0), 0)
    assert (await refusal(harness.store, who, Estimate(tokens=600))).retry_after == 60


async def test_the_limit_that_lasts_longest_is_named(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=1, concurrency=1)
    await harness.store.reserve(who, REQUEST)
    refused = await refusal(harness.store, who)
    assert refused.message == "The key's limit of requests a minute is used up. Try again in 60 seconds."
    assert refused.retry_after == 60


async def test_a_request_larger_than_a_whole_bucket_is_told_so_without_a_write(harness: BatchHarness) -> None:
    refused = await refusal(harness.store, caller(tokens_per_minute=9))
    assert refused.message == "The request is larger than the key's whole limit of tokens a minute."
    assert await harness.writes() == 0


# ---- In flight -------------------------------------------------------------------------------------------------------


async def test_requests_in_flight_are_bounded_and_come_back_when_settled(harness: BatchHarness) -> None:
    who = caller(concurrency=2)
    first = await harness.store.reserve(who, REQUEST)
    await harness.store.reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 1
    await harness.store.settle(first, "m", tokens(1), 1)
    await harness.store.reserve(who, REQUEST)


async def test_the_dead_return_after_their_lease_and_no_sooner(harness: BatchHarness) -> None:
    who = caller(concurrency=1, budget_day=10)
    await harness.store.reserve(who, REQUEST)
    harness.wait(900)
    assert (await refusal(harness.process(), who)).retry_after == 1
    harness.wait(300)
    reservation = await harness.process().reserve(who, REQUEST)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)
    await harness.store.settle(reservation, "m", tokens(1), 4)
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=4, spent_month=4)


async def test_one_settled_after_its_lease_is_counted_and_releases_nobody_elses(harness: BatchHarness) -> None:
    who = caller(concurrency=1, budget_day=30)
    late = await harness.store.reserve(who, REQUEST)
    harness.wait(1200)
    await harness.store.reserve(who, REQUEST)
    await harness.store.settle(late, "m", tokens(1), 7)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=7, spent_month=7)


async def test_settling_or_cancelling_again_does_nothing(harness: BatchHarness) -> None:
    who = caller(concurrency=2, tokens_per_minute=100, budget_day=100)
    await harness.store.reserve(who, REQUEST)
    reservation = await harness.store.reserve(who, REQUEST)
    for _ in range(2):
        await harness.store.settle(reservation, "m", tokens(5), 5)
    await harness.store.cancel(reservation)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=5, spent_month=5)
    (row,) = await harness.store.usage.rows("2026-11-21", "2026-11-21")
    assert (row.requests, row.usage.input_tokens, row.cost) == (1, 5, 5)


async def test_a_write_whose_answer_is_lost_is_not_made_twice(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=60, tokens_per_minute=100, concurrency=5, budget_day=100)
    harness.transport.lose_answers = 1
    reservation = await harness.store.reserve(who, REQUEST)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)
    assert reservation.rates.requests.remaining == 59
    harness.transport.lose_answers = 2
    await harness.store.settle(reservation, "m", tokens(5), 5)
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=5, spent_month=5)


async def test_a_cancelled_request_has_cost_nothing(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=1, tokens_per_minute=10, concurrency=1, budget_day=10)
    for _ in range(3):
        await harness.store.cancel(await harness.store.reserve(who, REQUEST))
    assert await harness.store.standing("k") == Balance(0, 0, 0, 0)
    assert await harness.store.usage.rows("2026-11-21", "2026-11-21") == []


@pytest.mark.parametrize(("settles", "returns"), [(True, False), (False, True), (True, True)])
async def test_an_item_stays_small_however_many_requests_begin(
    harness: BatchHarness, settles: bool, returns: bool
) -> None:
    """Also where no process ever comes back, and where no request ever ends."""
    who = caller(requests_per_minute=10**6, tokens_per_minute=10**6, concurrency=100, budget_day=10**9)
    for _ in range(30):
        harness.wait(1800)
        store = harness.store if returns else harness.process()
        reservation = await store.reserve(who, REQUEST)
        if settles:
            await store.settle(reservation, "m", Usage(input_tokens=5, output_tokens=5), 1)
    (item,) = await scan(harness)
    assert sum(name.startswith("n:") for name in item) <= 6
    assert sum(len(name) + len(next(iter(value.values()))) for name, value in item.items()) < 600


async def test_a_key_that_was_long_away_finds_its_money_in_order(harness: BatchHarness) -> None:
    who = caller(budget_day=10, budget_month=10)
    await harness.store.reserve(who, REQUEST)
    harness.wait(40 * 24 * 3600)
    await harness.store.reserve(who, REQUEST)
    (item,) = await scan(harness)
    assert {name for name in item if name[:2] in ("d:", "m:")} == {"d:20261231", "m:202612"}


async def test_one_settled_late_while_others_are_taken_back_is_released_once(harness: BatchHarness) -> None:
    who = caller(concurrency=9)
    late = [await harness.store.reserve(who, REQUEST) for _ in range(2)]
    for _ in range(4):
        harness.wait(300)
        await harness.process().reserve(who, REQUEST)
    harness.wait(2000)
    for reservation in late:
        await harness.store.settle(reservation, "m", tokens(1), 1)
    assert (await harness.store.standing("k")).in_flight == 0


async def test_however_many_have_died_their_key_lives_on(harness: BatchHarness) -> None:
    who = caller(concurrency=1000, budget_month=4000)
    begins = [NOON // SECOND - 300 * past for past in range(10, 410)]
    dead = {f"{kind}:{begin}": {"N": amount} for begin in begins for kind, amount in (("n", "1"), ("c", "10"))}
    today = sum(begin >= NOON // SECOND - 12 * 3600 for begin in begins)
    money = {"d:20261120": 4000 - 10 * today, "d:20261121": 10 * today, "m:202611": 4000, "n": 400}
    item = {"id": {"S": "key#k#0"}, **{name: {"N": str(amount)} for name, amount in money.items()}, **dead}
    await Aws(harness.environment).call("dynamodb", "PutItem", {"TableName": harness.tables[0], "Item": item})
    assert (await harness.store.standing("k")).in_flight == 0
    for _ in range(9):
        await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(1), 1)
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=9, spent_month=9)
    assert harness.transport.longest <= 4096  # DynamoDB's limit of an expression


# ---- Money -----------------------------------------------------------------------------------------------------------


async def test_what_is_spent_and_reserved_never_exceeds_a_budget(harness: BatchHarness) -> None:
    who = caller(budget_day=25)
    first = await harness.store.reserve(who, REQUEST)
    await harness.store.reserve(who, REQUEST)
    refused = await refusal(harness.store, who)
    assert isinstance(refused, OverBudget)
    assert refused.retry_after == 1  # what is reserved may come back
    await harness.store.settle(first, "m", tokens(1), 5)
    await harness.store.reserve(who, REQUEST)
    assert await harness.store.standing("k") == Balance(in_flight=2, reserved=20, spent_day=5, spent_month=5)


async def test_what_the_dead_had_reserved_is_not_taken_for_spent(harness: BatchHarness) -> None:
    who = caller(budget_day=30)
    await harness.store.reserve(who, REQUEST)
    for _ in range(2):
        await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(1), 10)
    harness.wait(1200)
    assert (await refusal(harness.store, who, Estimate(cost=15))).retry_after == 12 * 3600 - 1200
    await harness.store.reserve(who, REQUEST)


async def test_a_spent_budget_opens_again_with_its_day_or_its_month(harness: BatchHarness) -> None:
    who = caller(budget_day=10, budget_month=20)
    for day in range(2):
        await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(1), 10)
        if day == 0:
            assert (await refusal(harness.store, who)).retry_after == 12 * 3600
            harness.wait(12 * 3600)
    refused = await refusal(harness.store, who)
    assert refused.retry_after == 9 * 24 * 3600
    assert refused.message == "The key's limit of money a month is used up. Try again in 777600 seconds."
    harness.wait(9 * 24 * 3600 - 1)
    assert (await refusal(harness.store, who)).retry_after == 1
    harness.wait(1)
    await harness.store.reserve(who, REQUEST)


async def test_a_request_is_settled_into_the_day_and_the_month_in_which_it_began(harness: BatchHarness) -> None:
    who = caller(budget_day=10, budget_month=10)
    harness.now = int(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()) * SECOND
    before = await harness.store.reserve(who, REQUEST)
    harness.wait(1)
    after = await harness.store.reserve(who, REQUEST)
    await harness.store.settle(before, "m", tokens(1), 8)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)
    await harness.store.settle(after, "m", tokens(1), 3)
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=3, spent_month=3)
    rows = await harness.store.usage.rows("2026-11-01", "2026-12-31")
    assert [(row.day, row.cost) for row in rows] == [("2026-11-30", 8), ("2026-12-01", 3)]


async def test_the_dead_give_money_back_to_their_own_day(harness: BatchHarness) -> None:
    who = caller(budget_day=10, budget_month=20)
    harness.now = int(datetime(2026, 11, 21, 23, 59, tzinfo=UTC).timestamp()) * SECOND
    await harness.store.reserve(who, REQUEST)
    harness.wait(3600)
    await harness.store.reserve(who, REQUEST)
    await harness.store.standing("k")
    assert (await refusal(harness.store, who)).retry_after == 1
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)


async def test_a_budget_set_in_the_middle_of_a_day_knows_what_was_spent_before(harness: BatchHarness) -> None:
    await harness.store.settle(await harness.store.reserve(caller(), REQUEST), "m", tokens(1), 10)
    assert isinstance(await refusal(harness.store, caller(budget_day=10)), OverBudget)


async def test_a_budget_of_nothing_lets_through_what_costs_nothing(harness: BatchHarness) -> None:
    who = caller(budget_month=0)
    await harness.store.reserve(who, Estimate(tokens=1, cost=0))
    assert isinstance(await refusal(harness.store, who, Estimate(cost=1)), OverBudget)


# ---- Tenants ---------------------------------------------------------------------------------------------------------


async def test_a_tenants_limits_stand_above_all_its_keys(harness: BatchHarness) -> None:
    above = Limits(requests_per_minute=3, budget_day=100)
    for key in ("a", "b", "a"):
        await harness.store.reserve(caller(key, tenant=above, requests_per_minute=100), REQUEST)
    refused = await refusal(harness.store, caller("b", tenant=above, requests_per_minute=100))
    assert refused.message == "The tenant's limit of requests a minute is used up. Try again in 20 seconds."
    assert await harness.store.standing(tenant="t") == Balance(in_flight=3, reserved=30, spent_day=0, spent_month=0)


async def test_what_a_tenant_refuses_costs_the_key_nothing(harness: BatchHarness) -> None:
    above = Limits(tokens_per_minute=15)
    who = caller(tenant=above, requests_per_minute=2, concurrency=9, budget_day=100)
    await harness.store.reserve(who, REQUEST)
    for _ in range(3):
        await refusal(harness.process(), who)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)
    harness.wait(20)
    assert (await harness.store.reserve(who, REQUEST)).rates.requests.remaining == 0


async def test_usage_is_counted_once_where_a_tenant_has_limits_too(harness: BatchHarness) -> None:
    above = Limits(budget_day=100)
    who = caller(tenant=above, concurrency=1)
    await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(3), 4)
    (row,) = await harness.store.usage.rows("2026-11-21", "2026-11-21")
    assert (row.requests, row.cost) == (1, 4)
    assert [any(name.startswith("u:") for name in item) for item in await scan(harness)] == [True, False]
    assert await harness.store.standing(tenant="t") == Balance(in_flight=0, reserved=0, spent_day=4, spent_month=4)


# ---- Shards ----------------------------------------------------------------------------------------------------------


def test_the_parts_of_limits_are_exactly_the_whole() -> None:
    whole = Limits(requests_per_minute=100, tokens_per_minute=1001, concurrency=7, budget_day=13, budget_month=3)
    parts = [whole.share(shard, 7) for shard in range(7)]
    for name in ("requests_per_minute", "tokens_per_minute", "concurrency", "budget_day", "budget_month"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)


@pytest.mark.parametrize(
    ("limits", "shards"),
    [
        (Limits(), 1),
        (Limits(requests_per_minute=24_000), 1),
        (Limits(requests_per_minute=24_001), 2),
        (Limits(requests_per_minute=240_000), 10),
        (Limits(requests_per_minute=240_000, concurrency=3), 3),
        (Limits(requests_per_minute=240_000, tokens_per_minute=3_500_000), 3),
        (Limits(requests_per_minute=240_000, tokens_per_minute=200_000), 1),
        (Limits(tokens_per_minute=10, shards=4), 4),
    ],
)
def test_a_key_is_spread_when_one_partition_would_not_take_its_requests(limits: Limits, shards: int) -> None:
    assert limits.shard_count == shards


async def test_a_full_shard_sends_to_another_and_all_together_are_the_limit(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=7, shards=3)
    for _ in range(7):
        await harness.process().reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 20
    ids = {item["id"]["S"] for item in await scan(harness)}
    assert ids == {"key#k#0", "key#k#1", "key#k#2"}


async def test_a_request_starts_at_a_shard_chosen_by_chance(harness: BatchHarness) -> None:
    harness.shards = [0, 2]
    await harness.store.reserve(caller(requests_per_minute=60, shards=3), REQUEST)
    assert [item["id"]["S"] for item in await scan(harness)] == ["key#k#2"]


async def scan(harness: BatchHarness) -> list[dict[str, Any]]:
    aws = Aws(harness.environment, transport=harness.transport)
    items = (await aws.call("dynamodb", "Scan", {"TableName": harness.tables[0]}))["Items"]
    return sorted(items, key=lambda item: str(item["id"]["S"]))


# ---- What it costs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "writes"),
    [
        (caller(), 1),
        (caller(requests_per_minute=60, tokens_per_minute=600, concurrency=5, budget_day=100, budget_month=900), 2),
        (caller(requests_per_minute=60, tenant=Limits(concurrency=5)), 4),
        (caller(tenant=Limits(concurrency=5)), 3),
    ],
)
async def test_a_request_costs_so_many_writes_and_no_read(harness: BatchHarness, who: Caller, writes: int) -> None:
    for _ in range(2):
        await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(10), 10)
        assert harness.transport.counts == {"UpdateItem": writes}
        assert harness.transport.refused == 0
        harness.transport.counts.clear()


async def test_a_wrong_guess_of_what_an_item_holds_costs_one_write_more(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=60)
    await harness.process().reserve(who, REQUEST)
    await harness.writes()
    await harness.process().reserve(who, REQUEST)
    assert await harness.writes() == 2


async def test_a_refusal_is_remembered_for_a_second_and_then_asked_again(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=1)
    await harness.store.reserve(who, REQUEST)
    harness.wait(0.5)
    assert (await refusal(harness.store, who)).retry_after == 60
    await harness.writes()
    harness.wait(0.9)
    assert (await refusal(harness.store, who)).retry_after == 59
    assert await harness.writes() == 0
    harness.wait(0.2)
    await refusal(harness.store, who)
    assert await harness.writes() == 1


async def test_a_refusal_of_many_tokens_says_nothing_of_few(harness: BatchHarness) -> None:
    who = caller(tokens_per_minute=100)
    await harness.store.reserve(who, Estimate(tokens=80))
    await refusal(harness.store, who, Estimate(tokens=50))
    await harness.store.reserve(who, Estimate(tokens=20))


# ---- Failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "open_on_failure"),
    [
        (caller(requests_per_minute=60), False),
        (caller(budget_day=100), True),
        (caller(requests_per_minute=60, tenant=Limits(budget_month=5)), True),
    ],
)
async def test_a_store_out_of_reach_refuses(harness: BatchHarness, who: Caller, open_on_failure: bool) -> None:
    harness.transport.down_for = b""
    with pytest.raises(ModelUnavailable) as raised:
        await harness.process(open_on_failure=open_on_failure).reserve(who, REQUEST)
    assert raised.value.retry_after == 1


async def test_a_key_loses_nothing_while_its_tenants_item_is_out_of_reach(harness: BatchHarness) -> None:
    who = caller(tenant=Limits(concurrency=5), requests_per_minute=1, budget_day=100)
    harness.transport.down_for = b"tenant#"
    with pytest.raises(ModelUnavailable):
        await harness.store.reserve(who, REQUEST)
    harness.transport.down_for = None
    assert await harness.store.standing("k") == Balance(0, 0, 0, 0)
    await harness.store.reserve(who, REQUEST)


async def test_a_store_out_of_reach_lets_keys_without_a_budget_through_where_that_is_set(harness: BatchHarness) -> None:
    store = harness.process(open_on_failure=True)
    harness.transport.down_for = b""
    reservation = await store.reserve(caller(requests_per_minute=1), REQUEST)
    with pytest.raises(AwsError):
        await store.settle(reservation, "m", tokens(1), 1)
    harness.transport.down_for = None
    await store.settle(reservation, "m", tokens(1), 1)
    (row,) = await store.usage.rows("2026-11-21", "2026-11-21")
    assert row.requests == 1


# ---- Headers ---------------------------------------------------------------------------------------------------------


async def test_the_headers_say_what_is_left(harness: BatchHarness) -> None:
    who = caller(requests_per_minute=50, tokens_per_minute=1000)
    await harness.store.reserve(who, Estimate(tokens=500))
    harness.wait(0.5)
    reservation = await harness.store.reserve(who, Estimate(tokens=100))
    assert reservation.rates.headers() == {
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "48",
        "x-ratelimit-reset-requests": "1.9s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "408",
        "x-ratelimit-reset-tokens": "35.5s",
    }
    assert reservation.rates.tokens.reset_at == NOON // SECOND + 36


async def test_the_headers_are_the_tenants_where_it_has_less_left(harness: BatchHarness) -> None:
    above = Limits(requests_per_minute=5)
    reservation = await harness.store.reserve(caller(tenant=above, requests_per_minute=9), REQUEST)
    assert (reservation.rates.requests.limit, reservation.rates.requests.remaining) == (5, 4)
    assert reservation.rates.tokens.limit == UNLIMITED


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (12_000, "12ms"),
        (999_001, "1s"),
        (1_200_000, "1.2s"),
        (59_999_000, "59.999s"),
        (60_000_000, "1m0s"),
        (360_000_000, "6m0s"),
        (61_050_000, "1m1.05s"),
    ],
)
def test_times_are_written_as_openai_writes_them(microseconds: int, text: str) -> None:
    assert duration(microseconds) == text


# ---- Usage -----------------------------------------------------------------------------------------------------------


async def test_every_kind_of_use_is_counted_by_day_and_model(harness: BatchHarness) -> None:
    full = Usage(**{name: place for place, name in enumerate(Usage.model_fields, 1) if name != "audio_seconds"})
    full = full.model_copy(update={"audio_seconds": 1.5})
    who = caller(requests_per_minute=60)
    for failed in (False, True, False):
        reservation = await harness.store.reserve(who, REQUEST)
        await harness.store.settle(reservation, "maker/model:1#x", full, 7, failed=failed)
    (row,) = await harness.store.usage.rows("2026-11-21", "2026-11-21")
    assert (row.key_id, row.day, row.model) == ("k", "2026-11-21", "maker/model:1#x")
    assert (row.requests, row.failures, row.cost, row.usage) == (2, 1, 21, full + full + full)


async def test_usage_of_past_days_is_moved_out_and_reported_the_same(harness: BatchHarness) -> None:
    who = caller(concurrency=5)
    for day in range(12):
        reservation = await harness.store.reserve(who, REQUEST)
        await harness.store.settle(reservation, f"m{day % 2}", tokens(day), 1)
        harness.wait(24 * 3600)
    rows = await harness.store.usage.rows("2026-11-21", "2026-12-31")
    assert [row.usage.input_tokens for row in rows] == list(range(12))
    (item,) = await scan(harness)
    assert len({name.split(":")[1] for name in item if name.startswith("u:")}) < 9
    assert len(json.dumps(item)) < 2500
    assert [row.day for row in await harness.store.usage.rows("2026-11-23", "2026-11-24", "k")] == [
        "2026-11-23",
        "2026-11-24",
    ]
    assert await harness.store.usage.rows("2026-11-21", "2026-12-31", "another") == []


async def test_the_usage_of_today_stays_where_it_is_counted(harness: BatchHarness) -> None:
    for model in range(12):
        await harness.store.settle(await harness.store.reserve(caller(), REQUEST), f"m{model}", tokens(1), 1)
    assert harness.transport.counts == {"UpdateItem": 12}


async def test_usage_that_comes_late_is_added_to_what_was_moved_out(harness: BatchHarness) -> None:
    late = await harness.store.reserve(caller(), REQUEST)
    for _ in range(12):
        await harness.store.settle(await harness.store.reserve(caller(), REQUEST), "m", tokens(1), 1)
        harness.wait(24 * 3600)
    await harness.store.settle(late, "m", tokens(10), 10)
    rows = await harness.store.usage.rows("2026-11-21", "2026-11-21")
    assert [(row.requests, row.usage.input_tokens, row.cost) for row in rows] == [(2, 11, 11)]


async def test_a_report_has_the_usage_of_all_shards_and_of_no_key_of_a_similar_name(harness: BatchHarness) -> None:
    harness.shards = [0, 1, 2, 0]
    who = caller("k", shards=3)
    for _ in range(3):
        await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(1), 1)
    await harness.store.settle(await harness.store.reserve(caller("k#0"), REQUEST), "m", tokens(1), 1)
    (row,) = await harness.store.usage.rows("2026-11-21", "2026-11-21", "k")
    assert row.requests == 3
    assert [row.key_id for row in await harness.store.usage.rows("2026-11-21", "2026-11-21")] == ["k", "k#0"]


async def test_a_share_leaves_the_rest_of_a_minute_to_others(harness: BatchHarness) -> None:
    caller = Caller(key_id="k", tenant="t", permissions=frozenset(), limits=Limits(requests_per_minute=6))

    async def admitted(share: float) -> int:
        found = 0
        for _ in range(6):
            with suppress(Refused):
                await harness.store.reserve(caller, Estimate(), share=share)
                found += 1
        return found

    assert [await admitted(0.5), await admitted(1.0), await admitted(0.5)] == [3, 3, 0]
    harness.wait(20)  # two more of six fit again, which interactive requests may take and batches may not yet
    assert [await admitted(0.5), await admitted(1.0)] == [0, 2]
