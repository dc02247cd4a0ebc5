"""Limits and budgets hold exactly, say when to come back, and cost two writes a request and no read."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import UNLIMITED, Balance, Estimate, Limits, OverBudget, Refused, duration
from shared.schemas.usage import Usage
from shared.stores.limits.leases import slot_at
from shared.stores.limits.money import money_names
from shared.stores.limits.write import number, size_of, write_units
from tests.stores.limits_harness import NOON, REQUEST, SECOND, Harness, caller, refusal, tokens

pytestmark = pytest.mark.anyio


# ---- Requests and tokens a minute ------------------------------------------------------------------------------------


async def test_a_bucket_holds_a_minute_and_refills_evenly(harness: Harness) -> None:
    who = caller(requests_per_minute=4)
    for _ in range(4):
        await harness.store.reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 15
    harness.wait(14.999999)
    assert (await refusal(harness.store, who)).retry_after == 1
    harness.wait(0.000001)
    await harness.store.reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 15


async def test_a_refused_call_costs_nothing(harness: Harness) -> None:
    who = caller(requests_per_minute=10, tokens_per_minute=100, concurrency=10, budget_day=1000)
    await harness.store.reserve(who, Estimate(tokens=95, cost=1))
    for _ in range(5):
        assert "tokens a minute" in (await refusal(harness.process(), who)).message
    reservation = await harness.store.reserve(who, Estimate(tokens=5, cost=1))
    assert reservation.rates.requests.remaining == 8
    assert await harness.store.standing("k") == Balance(in_flight=2, reserved=2, spent_day=0, spent_month=0)


async def test_tokens_are_settled_down(harness: Harness) -> None:
    who = caller(tokens_per_minute=600)
    reservation = await harness.store.reserve(who, Estimate(tokens=600))
    assert (await refusal(harness.store, who)).retry_after == 1
    await harness.store.settle(reservation, "m", tokens(100), 0)
    assert (await harness.store.reserve(who, Estimate(tokens=400))).rates.tokens.remaining == 100


async def test_tokens_are_settled_up_and_the_debt_is_waited_for(harness: Harness) -> None:
    who = caller(tokens_per_minute=600)
    reservation = await harness.store.reserve(who, Estimate(tokens=100))
    await harness.store.settle(reservation, "m", tokens(1200), 0)
    refused = await refusal(harness.store, who, Estimate(tokens=10))
    assert refused.retry_after == 61
    assert refused.rates.tokens.remaining == 0
    harness.wait(61)
    await harness.store.reserve(who, Estimate(tokens=10))


async def test_what_time_has_refilled_is_not_given_back_a_second_time(harness: Harness) -> None:
    who = caller(tokens_per_minute=600)
    slow = await harness.store.reserve(who, Estimate(tokens=600))
    harness.wait(60)
    await harness.store.reserve(who, Estimate(tokens=600))
    await harness.store.settle(slow, "m", tokens(0), 0)
    assert (await refusal(harness.store, who, Estimate(tokens=600))).retry_after == 60


async def test_the_limit_that_lasts_longest_is_named(harness: Harness) -> None:
    who = caller(requests_per_minute=1, concurrency=1)
    await harness.store.reserve(who, REQUEST)
    refused = await refusal(harness.store, who)
    assert refused.message == "The key's limit of requests a minute is used up. Try again in 60 seconds."
    assert refused.retry_after == 60


@pytest.mark.parametrize(
    ("who", "message"),
    [
        (caller(tokens_per_minute=9), "tokens a minute: it needs 10 tokens, and the limit is 9."),
        (caller(budget_day=9), "money a day: it may cost $0.000010, and the limit is $0.000009."),
        (caller(budget_month=9), "money a month: it may cost $0.000010, and the limit is $0.000009."),
        (caller(tokens_per_minute=9, shards=3), "tokens a minute: it needs 10 tokens, and the limit is 9."),
    ],
)
async def test_a_request_larger_than_a_whole_limit_is_told_so_without_a_write_and_not_to_come_again(
    harness: Harness, who: Caller, message: str
) -> None:
    refused = await refusal(harness.store, who)
    assert refused.message == f"The request is larger than the key's whole limit of {message}"
    assert refused.retry_after is None
    assert not refused.retryable
    assert await harness.writes() == 0
    (above,) = [await refusal(harness.store, caller(concurrency=5, tenant=who.limits))]
    assert above.message == f"The request is larger than the tenant's whole limit of {message}"
    assert await harness.writes() == 0


# ---- In flight -------------------------------------------------------------------------------------------------------


async def test_requests_in_flight_are_bounded_and_come_back_when_settled(harness: Harness) -> None:
    who = caller(concurrency=2)
    first = await harness.store.reserve(who, REQUEST)
    await harness.store.reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 1
    await harness.store.settle(first, "m", tokens(1), 1)
    await harness.store.reserve(who, REQUEST)


async def test_the_places_of_the_dead_return_after_their_lease_and_no_sooner(harness: Harness) -> None:
    who = caller(concurrency=1, budget_day=30)
    await harness.store.reserve(who, REQUEST)
    harness.wait(900)
    assert (await refusal(harness.process(), who)).retry_after == 1
    harness.wait(300)
    reservation = await harness.process().reserve(who, REQUEST)
    await harness.store.settle(reservation, "m", tokens(1), 4)
    assert (await harness.store.standing("k")).in_flight == 0


async def test_the_money_of_the_dead_is_spent_since_nobody_knows_what_they_used_of_it(harness: Harness) -> None:
    who = caller(concurrency=9, budget_day=25)
    for _ in range(2):
        await harness.store.reserve(who, REQUEST)
    harness.wait(1200)
    died = Balance(in_flight=0, reserved=0, spent_day=20, spent_month=20)
    assert await harness.store.standing("k") == died
    assert (await refusal(harness.process(), who)).retry_after == 12 * 3600 - 1200
    store = harness.process()
    await store.reserve(who, Estimate(cost=1))
    await store.reserve(who, Estimate(cost=4))
    assert await harness.store.standing("k") == Balance(in_flight=2, reserved=5, spent_day=20, spent_month=20)
    (row,) = await harness.store.usage.rows("2031-11-21", "2031-11-21")
    assert (row.model, row.requests, row.failures, row.cost) == ("(unsettled)", 0, 2, 20)
    assert (row.estimated, row.estimated_cost) == (2, 20)


async def test_one_settled_after_it_was_taken_back_corrects_its_money_and_its_usage(harness: Harness) -> None:
    who = caller(concurrency=2, tenant=Limits(budget_month=1000), budget_day=100)
    late = await harness.store.reserve(who, REQUEST)
    await harness.store.reserve(who, REQUEST)
    harness.wait(1200)
    await harness.process().reserve(who, REQUEST)
    await harness.store.settle(late, "m", tokens(3), 4)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=14, spent_month=14)
    assert await harness.store.standing(tenant="t") == Balance(in_flight=1, reserved=10, spent_day=14, spent_month=14)
    rows = {row.model: row for row in await harness.store.usage.rows("2031-11-21", "2031-11-21")}
    assert (rows["m"].requests, rows["m"].cost, rows["m"].usage.input_tokens) == (1, 4, 3)
    assert (rows["(unsettled)"].failures, rows["(unsettled)"].cost, rows["(unsettled)"].estimated) == (1, 10, 1)


async def test_one_settled_after_its_lease_releases_nobody_elses_place(harness: Harness) -> None:
    who = caller(concurrency=1, budget_day=30)
    late = await harness.store.reserve(who, REQUEST)
    harness.wait(1200)
    await harness.store.reserve(who, REQUEST)
    await harness.store.settle(late, "m", tokens(1), 7)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=7, spent_month=7)


async def test_settling_or_cancelling_again_does_nothing(harness: Harness) -> None:
    who = caller(concurrency=2, tokens_per_minute=100, budget_day=100)
    await harness.store.reserve(who, REQUEST)
    reservation = await harness.store.reserve(who, REQUEST)
    for _ in range(2):
        await harness.store.settle(reservation, "m", tokens(5), 5)
    await harness.store.cancel(reservation)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=5, spent_month=5)
    (row,) = await harness.store.usage.rows("2031-11-21", "2031-11-21")
    assert (row.requests, row.usage.input_tokens, row.cost) == (1, 5, 5)


async def test_a_cancelled_request_has_cost_nothing(harness: Harness) -> None:
    who = caller(requests_per_minute=1, tokens_per_minute=10, concurrency=1, budget_day=10)
    for _ in range(3):
        await harness.store.cancel(await harness.store.reserve(who, REQUEST))
    assert await harness.store.standing("k") == Balance(0, 0, 0, 0)
    assert await harness.store.usage.rows("2031-11-21", "2031-11-21") == []


@pytest.mark.parametrize(("settles", "returns"), [(True, False), (False, True), (True, True)])
async def test_an_item_stays_small_however_many_requests_begin(
    quick_harness: Harness, settles: bool, returns: bool
) -> None:
    """Also where no process ever comes back, and where no request ever ends."""
    who = caller(requests_per_minute=10**6, tokens_per_minute=10**6, concurrency=100, budget_day=10**9)
    for _ in range(150):
        quick_harness.wait(1800)
        store = quick_harness.store if returns else quick_harness.process()
        reservation = await store.reserve(who, REQUEST)
        if settles:
            await store.settle(reservation, "m", Usage(input_tokens=5, output_tokens=5), 1)
    (item,) = await quick_harness.items()
    assert sum(name[0] in "kc" for name in item) <= 8
    assert write_units(size_of(item)) == 1


@pytest.mark.parametrize("tenant", [Limits(), Limits(concurrency=1000, budget_month=10**10)])
async def test_two_hundred_requests_in_flight_fit_into_the_kilobyte_that_a_write_is_billed_for(
    quick_harness: Harness, tenant: Limits
) -> None:
    who = caller(
        "key_0123456789ab", tenant, tokens_per_minute=10**9, concurrency=256, budget_day=10**9, budget_month=10**10
    )
    for _ in range(8):
        process = quick_harness.process()
        for _ in range(25):
            quick_harness.wait(0.05)
            await process.reserve(who, Estimate(tokens=1500, cost=90_000))
    await quick_harness.store.settle(await quick_harness.store.reserve(who, REQUEST), "maker/model-1", tokens(10), 10)
    for item in await quick_harness.items():
        assert number(item, "n") == 200
        assert write_units(size_of(item)) == 1


async def test_an_item_of_a_key_without_limits_stays_small_too(quick_harness: Harness) -> None:
    for day in range(400):
        quick_harness.wait(3600 if day % 2 else 3 * 24 * 3600)
        await quick_harness.store.settle(await quick_harness.store.reserve(caller(), REQUEST), "m", tokens(1), 1)
    await quick_harness.store.flush(5)
    (item,) = await quick_harness.items()
    assert write_units(size_of(item)) == 1


async def test_a_key_that_was_long_away_finds_its_money_in_order(harness: Harness) -> None:
    who = caller(budget_day=10, budget_month=10)
    await harness.store.reserve(who, REQUEST)
    harness.wait(40 * 24 * 3600)
    await harness.store.reserve(who, REQUEST)
    (item,) = await harness.items()
    assert {name for name in item if name[0] in "dm"} == {*money_names(harness.now)}


async def test_one_settled_late_while_others_are_taken_back_is_released_once(harness: Harness) -> None:
    who = caller(concurrency=9)
    late = [await harness.store.reserve(who, REQUEST) for _ in range(2)]
    for _ in range(4):
        harness.wait(300)
        await harness.process().reserve(who, REQUEST)
    harness.wait(2000)
    for reservation in late:
        await harness.store.settle(reservation, "m", tokens(1), 1)
    assert (await harness.store.standing("k")).in_flight == 0


async def test_however_many_have_died_their_key_lives_on(quick_harness: Harness) -> None:
    who = caller(concurrency=1000, budget_month=8000)
    begins = [NOON - 300 * SECOND * past for past in range(10, 410)]
    dead: dict[str, Any] = {f"k{slot_at(900, begin)}": {"SS": [f"dead{begin}"]} for begin in begins}
    dead |= {f"c{slot_at(900, begin)}": {"N": "10"} for begin in begins}
    today, month = money_names(NOON)
    money = {today: 10, month: 4000, "n": 400}
    await quick_harness.put({"id": {"S": "key#k#0"}, **{name: {"N": str(of)} for name, of in money.items()}, **dead})
    assert await quick_harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=10, spent_month=4000)
    for _ in range(9):
        await quick_harness.store.settle(await quick_harness.store.reserve(who, REQUEST), "m", tokens(1), 1)
    assert await quick_harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=19, spent_month=4009)
    assert quick_harness.transport.longest <= 4096  # DynamoDB's limit of an expression
    rows = await quick_harness.store.usage.rows("2031-11-01", "2031-11-30")
    assert sum(row.cost for row in rows) == 4009


# ---- Money -----------------------------------------------------------------------------------------------------------


async def test_what_is_spent_and_reserved_never_exceeds_a_budget(harness: Harness) -> None:
    who = caller(budget_day=25)
    first = await harness.store.reserve(who, REQUEST)
    await harness.store.reserve(who, REQUEST)
    refused = await refusal(harness.store, who)
    assert isinstance(refused, OverBudget)
    assert refused.retry_after == 1  # what is reserved may come back
    await harness.store.settle(first, "m", tokens(1), 5)
    await harness.store.reserve(who, REQUEST)
    assert await harness.store.standing("k") == Balance(in_flight=2, reserved=20, spent_day=5, spent_month=5)


async def test_a_spent_budget_opens_again_with_its_day_or_its_month(harness: Harness) -> None:
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


async def test_a_request_is_settled_into_the_day_and_the_month_in_which_it_began(harness: Harness) -> None:
    who = caller(budget_day=10, budget_month=10)
    harness.now = int(datetime(2031, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()) * SECOND
    before = await harness.store.reserve(who, REQUEST)
    harness.wait(1)
    after = await harness.store.reserve(who, REQUEST)
    await harness.store.settle(before, "m", tokens(1), 8)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)
    await harness.store.settle(after, "m", tokens(1), 3)
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=3, spent_month=3)
    rows = await harness.store.usage.rows("2031-11-01", "2031-12-31")
    assert [(row.day, row.cost) for row in rows] == [("2031-11-30", 8), ("2031-12-01", 3)]


async def test_the_money_of_the_dead_is_spent_in_their_own_day(harness: Harness) -> None:
    who = caller(budget_day=10, budget_month=20)
    harness.now = int(datetime(2031, 11, 21, 23, 59, tzinfo=UTC).timestamp()) * SECOND
    await harness.store.reserve(who, REQUEST)
    harness.wait(3600)
    await harness.store.reserve(who, REQUEST)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=10)
    assert (await refusal(harness.store, who)).retry_after == 1


async def test_a_budget_set_in_the_middle_of_a_day_knows_what_was_spent_before(harness: Harness) -> None:
    await harness.store.settle(await harness.store.reserve(caller(), REQUEST), "m", tokens(1), 10)
    assert isinstance(await refusal(harness.store, caller(budget_day=10)), OverBudget)


async def test_a_budget_of_nothing_lets_through_what_costs_nothing(harness: Harness) -> None:
    who = caller(budget_month=0)
    await harness.store.reserve(who, Estimate(tokens=1, cost=0))
    assert isinstance(await refusal(harness.store, who, Estimate(cost=1)), OverBudget)


# ---- Tenants ---------------------------------------------------------------------------------------------------------


async def test_a_tenants_limits_stand_above_all_its_keys(harness: Harness) -> None:
    above = Limits(requests_per_minute=3, budget_day=100)
    for key in ("a", "b", "a"):
        await harness.store.reserve(caller(key, tenant=above, requests_per_minute=100), REQUEST)
    refused = await refusal(harness.store, caller("b", tenant=above, requests_per_minute=100))
    assert refused.message == "The tenant's limit of requests a minute is used up. Try again in 20 seconds."
    assert await harness.store.standing(tenant="t") == Balance(in_flight=3, reserved=30, spent_day=0, spent_month=0)


async def test_what_a_tenant_refuses_costs_the_key_nothing(harness: Harness) -> None:
    above = Limits(tokens_per_minute=15)
    who = caller(tenant=above, requests_per_minute=2, concurrency=9, budget_day=100)
    await harness.store.reserve(who, REQUEST)
    for _ in range(3):
        await refusal(harness.process(), who)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)
    harness.wait(20)
    assert (await harness.store.reserve(who, REQUEST)).rates.requests.remaining == 0


async def test_usage_is_counted_once_where_a_tenant_has_limits_too(harness: Harness) -> None:
    above = Limits(budget_day=100)
    who = caller(tenant=above, concurrency=1)
    await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(3), 4)
    (row,) = await harness.store.usage.rows("2031-11-21", "2031-11-21")
    assert (row.requests, row.cost) == (1, 4)
    assert [any(name.startswith("u") for name in item) for item in await harness.items()] == [True, False]
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
        (Limits(requests_per_minute=3_000), 1),
        (Limits(requests_per_minute=3_001), 2),
        (Limits(requests_per_minute=30_000), 10),
        (Limits(requests_per_minute=30_000, concurrency=3), 3),
        (Limits(requests_per_minute=30_000, tokens_per_minute=3_500_000), 3),
        (Limits(requests_per_minute=30_000, tokens_per_minute=200_000), 1),
        (Limits(requests_per_minute=60_000, budget_day=300_000), 1),
        (Limits(requests_per_minute=60_000, budget_day=10**9, budget_month=12_000_000), 2),
        (Limits(requests_per_minute=6_000_000), 100),
        (Limits(concurrency=256), 1),
        (Limits(concurrency=1000), 4),
        (Limits(tokens_per_minute=10, shards=4), 4),
    ],
)
def test_a_key_is_spread_when_one_partition_would_not_take_its_requests(limits: Limits, shards: int) -> None:
    assert limits.shard_count == shards


async def test_a_full_shard_sends_to_another_and_all_together_are_the_limit(harness: Harness) -> None:
    who = caller(requests_per_minute=7, shards=3)
    for _ in range(7):
        await harness.process().reserve(who, REQUEST)
    assert (await refusal(harness.store, who)).retry_after == 20
    assert [item["id"] for item in await harness.items()] == ["key#k#0", "key#k#1", "key#k#2"]


async def test_a_request_starts_at_a_shard_chosen_by_chance(harness: Harness) -> None:
    harness.shards = [2]
    await harness.store.reserve(caller(requests_per_minute=60, shards=3), REQUEST)
    assert [item["id"] for item in await harness.items()] == ["key#k#2"]


@pytest.mark.parametrize("share", ["whole", "rest"])
async def test_one_request_may_spend_all_the_money_of_a_key_with_many_shards(harness: Harness, share: str) -> None:
    """What no shard has is taken of several, and all of it is settled."""
    who = caller(requests_per_minute=60_000, concurrency=90, budget_day=300_000, shards=7)
    if share == "rest":
        await harness.store.settle(await harness.store.reserve(who, Estimate(cost=60_000)), "m", tokens(1), 60_000)
    cost = 300_000 if share == "whole" else 240_000
    reservation = await harness.process().reserve(who, Estimate(tokens=10, cost=cost))
    spent = 300_000 - cost
    everything = Balance(in_flight=1, reserved=cost, spent_day=spent, spent_month=spent)
    assert await harness.store.standing("k") == everything
    assert isinstance(await refusal(harness.process(), who, Estimate(cost=1)), OverBudget)
    assert await harness.store.standing("k") == everything
    await harness.store.settle(reservation, "m", tokens(5), cost - 7)
    left = Balance(in_flight=0, reserved=0, spent_day=300_000 - 7, spent_month=300_000 - 7)
    assert await harness.store.standing("k") == left
    await harness.process().reserve(who, Estimate(cost=7))
    rows = await harness.store.usage.rows("2031-11-21", "2031-11-21")
    assert sum(row.cost for row in rows) == 300_000 - 7


async def test_one_request_may_take_all_the_tokens_of_a_key_with_many_shards(harness: Harness) -> None:
    who = caller(tokens_per_minute=700, requests_per_minute=100, shards=7)
    reservation = await harness.store.reserve(who, Estimate(tokens=700))
    assert (await refusal(harness.process(), who, Estimate(tokens=100))).retry_after == 60
    await harness.store.settle(reservation, "m", tokens(250), 0)
    await harness.process().reserve(who, Estimate(tokens=400))
    harness.wait(60)
    await harness.process().reserve(who, Estimate(tokens=700))


async def test_a_request_that_finds_parts_of_what_it_needs_keeps_none_of_them(harness: Harness) -> None:
    who = caller(requests_per_minute=6000, concurrency=60, budget_day=300, shards=3)
    for _ in range(2):
        await harness.store.reserve(who, Estimate(cost=100))
    before = await harness.store.standing("k")
    store = harness.process()
    assert isinstance(await refusal(store, who, Estimate(cost=150)), OverBudget)
    await store.flush(5)
    assert await harness.store.standing("k") == before


async def test_the_dead_that_held_parts_of_several_shards_had_one_place(harness: Harness) -> None:
    who = caller(requests_per_minute=6000, concurrency=60, budget_day=400, shards=3)
    await harness.store.reserve(who, Estimate(cost=300))
    assert (await harness.store.standing("k")).in_flight == 1
    harness.wait(1200)
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=300, spent_month=300)
    for shard in range(3):
        harness.shards = [shard]
        await harness.process().reserve(who, Estimate(cost=1))
    assert await harness.store.standing("k") == Balance(in_flight=3, reserved=3, spent_day=300, spent_month=300)


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
async def test_a_request_costs_so_many_writes_and_no_read(harness: Harness, who: Caller, writes: int) -> None:
    for _ in range(2):
        await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(10), 10)
        assert harness.transport.counts == {"UpdateItem": writes}
        assert harness.transport.refused == 0
        harness.transport.counts.clear()


async def test_a_wrong_guess_of_what_an_item_holds_costs_one_write_more(harness: Harness) -> None:
    who = caller(requests_per_minute=60)
    await harness.process().reserve(who, REQUEST)
    await harness.writes()
    await harness.process().reserve(who, REQUEST)
    assert await harness.writes() == 2


async def test_a_refusal_is_remembered_for_a_second_and_then_asked_again(harness: Harness) -> None:
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


async def test_a_refusal_of_many_tokens_says_nothing_of_few(harness: Harness) -> None:
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
        (caller(requests_per_minute=60, tenant=Limits(budget_month=50)), True),
    ],
)
async def test_a_store_out_of_reach_refuses(harness: Harness, who: Caller, open_on_failure: bool) -> None:
    harness.transport.down_for = b""
    with pytest.raises(ModelUnavailable) as raised:
        await harness.process(open_on_failure=open_on_failure).reserve(who, REQUEST)
    assert raised.value.retry_after == 1


async def test_a_key_loses_nothing_while_its_tenants_item_is_out_of_reach(harness: Harness) -> None:
    who = caller(tenant=Limits(concurrency=5), requests_per_minute=1, budget_day=100)
    harness.transport.down_for = b"tenant#"
    with pytest.raises(ModelUnavailable):
        await harness.store.reserve(who, REQUEST)
    harness.transport.down_for = None
    assert await harness.store.standing("k") == Balance(0, 0, 0, 0)
    await harness.store.reserve(who, REQUEST)


async def test_a_store_out_of_reach_lets_keys_without_a_budget_through_where_that_is_set(harness: Harness) -> None:
    store = harness.process(open_on_failure=True)
    harness.transport.down_for = b""
    reservation = await store.reserve(caller(requests_per_minute=1), REQUEST)
    settling = store.settle(reservation, "m", tokens(1), 1)
    harness.transport.down_for = None
    assert await settling
    (row,) = await store.usage.rows("2031-11-21", "2031-11-21")
    assert row.requests == 1


# ---- Headers ---------------------------------------------------------------------------------------------------------


async def test_the_headers_say_what_is_left(harness: Harness) -> None:
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


async def test_the_headers_are_the_tenants_where_it_has_less_left(harness: Harness) -> None:
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


# ---- Shares of a limit -----------------------------------------------------------------------------------------------


async def test_a_share_leaves_the_rest_of_a_minute_to_others(harness: Harness) -> None:
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


async def test_a_refusal_of_a_share_is_remembered_for_shares_alone(harness: Harness) -> None:
    who = caller(requests_per_minute=6)
    for _ in range(3):
        await harness.store.reserve(who, Estimate(), share=0.5)
    with pytest.raises(Refused):
        await harness.store.reserve(who, Estimate(), share=0.5)
    await harness.writes()
    for share in (0.5, 0.25):
        with pytest.raises(Refused):
            await harness.store.reserve(who, Estimate(), share=share)
    assert await harness.writes() == 0
    await harness.store.reserve(who, Estimate())
    assert await harness.writes() == 1
