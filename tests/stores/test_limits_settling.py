"""Reserving, settling and giving back are each done once, whatever answer is lost, repeated or late, and in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import Balance, Estimate, Limits
from shared.schemas.settlement import SettlementMessage
from shared.stores.aws_calls import AwsError
from shared.stores.limits.store import LimitStore
from shared.stores.limits.write import size_of
from tests.stores.limits_harness import REQUEST, CountingTransport, Harness, caller, refusal, tokens

pytestmark = pytest.mark.anyio
DAY = "2031-11-21"
ALL = caller(requests_per_minute=600, tokens_per_minute=1000, concurrency=9, budget_day=1000, budget_month=10**6)
NOTHING = Balance(0, 0, 0, 0)


class Kept:
    """Messages that were deferred."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_down = False

    async def put(self, text: str) -> None:
        if self.is_down:
            raise AwsError("sqs", "SendMessageBatch", "ConnectError")
        self.texts.append(text)


async def use(store: LimitStore, who: Caller, model: str = "m", count: int = 5) -> None:
    """A request that uses as many tokens as micro-dollars."""
    await store.settle(await store.reserve(who, REQUEST), model, tokens(count), count)


async def others_come_between(harness: Harness, who: Caller, many: int = 12) -> None:
    for _ in range(many):
        await use(harness.process(), who, "other", 1)


async def used(harness: Harness, model: str = "m") -> tuple[int, int]:
    """How many requests of a model were counted, and what they cost."""
    rows = {row.model: row for row in await harness.store.usage.rows(DAY, DAY)}
    return (rows[model].requests + rows[model].failures, rows[model].cost) if model in rows else (0, 0)


@asynccontextmanager
async def lost_for_good(transport: CountingTransport, how: str) -> AsyncIterator[None]:
    """Within, all sendings of a write are done and none is answered."""
    setattr(transport, how, 3)
    yield
    assert getattr(transport, how) == 0


# ---- Lost answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lose_answers", "answer_500", "throttle", "keep_back"])
async def test_a_write_that_is_sent_again_is_made_once(harness: Harness, how: str) -> None:
    who = caller(requests_per_minute=60, tokens_per_minute=100, concurrency=5, budget_day=100)
    setattr(harness.transport, how, 2)
    reservation = await harness.store.reserve(who, REQUEST)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=0, spent_month=0)
    assert reservation.rates.requests.remaining == 59
    setattr(harness.transport, how, 2)
    assert await harness.store.settle(reservation, "m", tokens(5), 5)
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=5, spent_month=5)
    assert await used(harness) == (1, 5)
    await harness.transport.deliver_late()
    assert await harness.store.standing("k") == Balance(in_flight=0, reserved=0, spent_day=5, spent_month=5)
    assert await used(harness) == (1, 5)


@pytest.mark.parametrize("who", [caller(), caller(tenant=Limits(concurrency=5))])
async def test_usage_without_a_reservation_is_counted_once_too(harness: Harness, who: Caller) -> None:
    for how in ("lose_answers", "answer_500", "keep_back"):
        setattr(harness.transport, how, 2)
        await use(harness.store, who)
        await others_come_between(harness, who, 3)
        await use(harness.store, who)
        await harness.transport.deliver_late()
    assert await used(harness) == (6, 30)


async def test_a_reservation_whose_answer_never_came_is_given_back(harness: Harness) -> None:
    for how in ("lose_answers", "answer_500"):
        async with lost_for_good(harness.transport, how):
            with pytest.raises(ModelUnavailable) as raised:
                await harness.store.reserve(ALL, REQUEST)
            assert raised.value.retry_after == 1
        await others_come_between(harness, ALL)
        await harness.store.flush(5)
    assert await harness.store.standing("k") == Balance(0, 0, 24, 24)
    assert await used(harness) == (0, 0)
    left = (await harness.store.reserve(ALL, Estimate())).rates
    assert (left.requests.remaining, left.tokens.remaining) == (600 - 24 - 1, 1000 - 24)


async def test_a_reservation_that_arrives_after_it_was_given_up_is_not_made(harness: Harness) -> None:
    harness.transport.keep_back = 3
    with pytest.raises(ModelUnavailable):
        await harness.store.reserve(ALL, REQUEST)
    await harness.store.flush(5)
    await harness.transport.deliver_late()
    assert await harness.store.standing("k") == NOTHING
    left = (await harness.store.reserve(ALL, Estimate())).rates
    assert (left.requests.remaining, left.tokens.remaining) == (599, 1000)


async def test_a_reservation_that_arrives_before_it_is_given_up_is_given_back(harness: Harness) -> None:
    harness.transport.keep_back = 3
    with pytest.raises(ModelUnavailable):
        await harness.store.reserve(ALL, REQUEST)
    await harness.transport.deliver_late()
    await harness.store.flush(5)
    assert await harness.store.standing("k") == NOTHING


async def test_a_settlement_whose_answer_never_came_is_written_again_and_counts_once(harness: Harness) -> None:
    for how in ("lose_answers", "answer_500"):
        reservation = await harness.store.reserve(ALL, REQUEST)
        async with lost_for_good(harness.transport, how):
            settling = harness.store.settle(reservation, "m", tokens(7), 7)
            assert await settling
        await others_come_between(harness, ALL)
    assert await harness.store.standing("k") == Balance(0, 0, 38, 38)
    assert await used(harness) == (2, 14)


async def test_a_settlement_that_arrives_again_settles_nobody_elses_request(harness: Harness) -> None:
    """Marks are given again: what was sent with one must not meet the next that has it."""
    reservation = await harness.store.reserve(ALL, REQUEST)
    harness.transport.keep_back = 2
    await harness.store.settle(reservation, "m", tokens(7), 7)
    held = [await harness.store.reserve(ALL, Estimate()) for _ in range(8)]
    for _ in range(120):
        await harness.store.cancel(await harness.store.reserve(ALL, Estimate()))
    await harness.transport.deliver_late()
    assert (await harness.store.standing("k")).in_flight == len(held)


async def test_settling_or_cancelling_again_does_nothing(harness: Harness) -> None:
    await harness.store.reserve(ALL, REQUEST)
    reservation = await harness.store.reserve(ALL, REQUEST)
    for _ in range(2):
        await harness.store.settle(reservation, "m", tokens(5), 5)
    await harness.store.cancel(reservation)
    assert await harness.store.standing("k") == Balance(in_flight=1, reserved=10, spent_day=5, spent_month=5)
    assert await used(harness) == (1, 5)


async def test_a_client_that_leaves_while_its_request_is_being_reserved_leaves_nothing(harness: Harness) -> None:
    who = caller(tenant=Limits(concurrency=9, budget_month=1000), concurrency=9, budget_day=1000)
    await use(harness.store, who)
    for steps in range(0, 60, 4):
        reserving = asyncio.create_task(harness.store.reserve(who, REQUEST))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        reserving.cancel()
        await asyncio.wait([reserving])
        if not reserving.cancelled():
            await harness.store.cancel(reserving.result())
    await harness.store.flush(10)
    assert await harness.store.standing("k") == Balance(0, 0, 5, 5)
    assert await harness.store.standing(tenant="t") == Balance(0, 0, 5, 5)


# ---- Outages ---------------------------------------------------------------------------------------------------------


async def test_settlements_outlast_an_outage_and_free_their_places_right_after_it(harness: Harness) -> None:
    who = caller(concurrency=8, budget_day=1000)
    held = [await harness.store.reserve(who, REQUEST) for _ in range(8)]
    harness.transport.down_for = b""
    settling = [harness.store.settle(one, "m", tokens(1), 1) for one in held]
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            await harness.process().reserve(who, REQUEST)
    harness.transport.down_for = None
    assert all(await asyncio.gather(*settling))
    assert await harness.store.standing("k") == Balance(0, 0, 8, 8)
    await harness.process().reserve(who, REQUEST)
    assert await used(harness) == (8, 8)


async def test_settlements_that_have_waited_are_written_together(harness: Harness) -> None:
    held = [await harness.store.reserve(ALL, REQUEST) for _ in range(9)]
    await harness.writes()
    await asyncio.gather(*(harness.store.settle(one, "m", tokens(1), 1) for one in held))
    assert await harness.writes() <= 2
    assert await harness.store.standing("k") == Balance(0, 0, 9, 9)
    assert await used(harness) == (9, 9)


async def test_settlements_gather_only_where_more_than_half_of_every_limit_is_free(harness: Harness) -> None:
    store = harness.process(gather=3600.0)
    for who, gathers in ((caller("a", concurrency=9), True), (caller("b", concurrency=4), False)):
        first, second = [await store.reserve(who, Estimate()) for _ in range(2)]
        settling = store.settle(first, "m", tokens(1), 1)
        if gathers:
            await harness.store.standing("a")
            assert not settling.done()
        else:
            assert await settling
        await store.settle(second, "m", tokens(1), 1)  # the last one waits for nobody
        assert settling.done()


async def test_what_gathers_is_written_when_it_is_flushed(harness: Harness) -> None:
    store = harness.process(gather=3600.0)
    first, _ = [await store.reserve(caller(concurrency=9), Estimate()) for _ in range(2)]
    settling = store.settle(first, "m", tokens(1), 1)
    await store.flush(5)
    assert settling.result()


async def test_a_settlement_that_could_not_be_written_is_deferred_and_written_by_another_process(
    harness: Harness,
) -> None:
    kept = Kept()
    who = caller(tenant=Limits(concurrency=9, budget_month=100), concurrency=8, budget_day=100)
    for patience in (0.0, 3600.0):
        store = harness.process(deferred=kept, patience=patience)
        held = [await store.reserve(who, REQUEST) for _ in range(3)]
        harness.transport.down_for = b""
        settling = [store.settle(one, "m", tokens(3), 3) for one in held]
        if patience:
            await store.flush(0)
        assert not any(await asyncio.gather(*settling))
        harness.transport.down_for = None
    assert (await harness.store.standing("k")).in_flight == 6
    for text in [*kept.texts, *kept.texts]:
        assert SettlementMessage.is_kind_of(text)
        await harness.process().settle_deferred(text)
    assert await harness.store.standing("k") == Balance(0, 0, 18, 18)
    assert await harness.store.standing(tenant="t") == Balance(0, 0, 18, 18)
    assert await used(harness) == (6, 18)


async def test_what_is_deferred_and_written_all_the_same_counts_once(harness: Harness) -> None:
    kept = Kept()
    store = harness.process(deferred=kept, patience=0.0)
    reservation = await store.reserve(ALL, REQUEST)
    harness.transport.keep_back = 3
    assert not await store.settle(reservation, "m", tokens(3), 3)
    await harness.transport.deliver_late()
    await store.settle_deferred(kept.texts[0])
    assert await harness.store.standing("k") == Balance(0, 0, 3, 3)
    assert await used(harness) == (1, 3)


async def test_a_settlement_that_nobody_takes_waits_in_its_process(harness: Harness) -> None:
    kept = Kept()
    kept.is_down = True
    store = harness.process(deferred=kept, patience=0.0)
    reservation = await store.reserve(ALL, REQUEST)
    harness.transport.down_for = b""
    settling = store.settle(reservation, "m", tokens(3), 3)
    await store.flush(0)
    harness.transport.down_for = None
    assert await settling
    assert await used(harness) == (1, 3)


async def test_a_settlement_is_written_though_nobody_waits_for_it(harness: Harness) -> None:
    reservation = await harness.store.reserve(ALL, REQUEST)
    waiting = asyncio.ensure_future(asyncio.wait_for(harness.store.settle(reservation, "m", tokens(3), 3), 10))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await harness.store.flush(5)
    assert await harness.store.standing("k") == Balance(0, 0, 3, 3)


async def test_a_message_of_settlements_is_checked(harness: Harness) -> None:
    with pytest.raises(ValueError, match="settlements"):
        await harness.store.settle_deferred('{"kind":"settlements"}')


# ---- Refusals that need no write -------------------------------------------------------------------------------------


async def test_a_tenants_refusal_of_a_moment_ago_is_remembered_before_the_key_is_asked(harness: Harness) -> None:
    who = caller(tenant=Limits(requests_per_minute=1), concurrency=9)
    await harness.store.reserve(who, REQUEST)
    harness.wait(0.5)
    assert (await refusal(harness.store, who)).whose == "tenant"
    await harness.writes()
    harness.wait(0.5)
    assert (await refusal(harness.store, who)).retry_after == 59
    assert await harness.writes() == 0
    assert (await harness.store.standing("k")).in_flight == 1


async def test_all_shards_refusals_of_a_moment_ago_are_remembered(harness: Harness) -> None:
    who = caller(requests_per_minute=3, shards=3)
    for _ in range(3):
        await harness.store.reserve(who, REQUEST)
    await refusal(harness.store, who)
    await harness.writes()
    await refusal(harness.store, who)
    assert await harness.writes() == 0


async def test_marks_of_usage_that_was_counted_are_taken_away_whatever_is_written_together(harness: Harness) -> None:
    who, size = caller(), 0
    for _ in range(20):
        reservations = [await harness.store.reserve(who, REQUEST) for _ in range(10)]
        assert all(await asyncio.gather(*(harness.store.settle(one, "m", tokens(1), 1) for one in reservations)))
        (item,) = [item async for item in harness.store.usage.items("key#")]
        size = max(size, size_of(item))
    assert size < 400
