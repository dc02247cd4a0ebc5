"""Usage is counted once by day and model, in an item that stays small however many models there are, and reported."""

import asyncio

import pytest

from shared.schemas.limits import Limits
from shared.schemas.usage import Usage
from shared.stores.limits.store import LimitStore
from shared.stores.limits.write import size_of, write_units
from tests.stores.limits_harness import REQUEST, Harness, caller, tokens

pytestmark = pytest.mark.anyio
DAY = "2031-11-21"


async def use(store: LimitStore, model: str, key: str = "k", **limits: int) -> None:
    await store.settle(await store.reserve(caller(key, **limits), REQUEST), model, tokens(1), 1)


async def test_every_kind_of_use_is_counted_by_day_and_model(harness: Harness) -> None:
    full = Usage(**{name: place for place, name in enumerate(Usage.model_fields, 1) if name != "audio_seconds"})
    full = full.model_copy(update={"audio_seconds": 1.5, "cost": None})  # what it cost is settled beside it
    for failed in (False, True, False):
        reservation = await harness.store.reserve(caller(requests_per_minute=60), REQUEST)
        await harness.store.settle(reservation, "maker/model:1#x", full, 7, failed=failed)
    (row,) = await harness.store.usage.rows(DAY, DAY)
    assert (row.key_id, row.day, row.model) == ("k", DAY, "maker/model:1#x")
    assert (row.requests, row.failures, row.cost, row.usage) == (2, 1, 21, full + full + full)
    assert (row.estimated, row.estimated_cost) == (0, 0)


async def test_what_is_estimated_is_marked_as_such(harness: Harness) -> None:
    for cost, estimated in ((5, True), (7, False), (11, True)):
        reservation = await harness.store.reserve(caller(budget_day=100), REQUEST)
        await harness.store.settle(reservation, "m", tokens(1), cost, failed=estimated, estimated=estimated)
    (row,) = await harness.store.usage.rows(DAY, DAY)
    assert (row.cost, row.estimated, row.estimated_cost) == (23, 2, 16)


@pytest.mark.parametrize("limits", [{}, {"concurrency": 100, "budget_month": 10**9, "requests_per_minute": 10**5}])
async def test_the_item_of_a_key_stays_small_and_its_requests_cheap_however_many_models_it_uses(
    quick_harness: Harness, limits: dict[str, int]
) -> None:
    requests = 100
    for number in range(requests):
        await use(quick_harness.store, f"vendor/some-model-with-a-name-{number * 7 % 50}", **limits)
        await quick_harness.store.flush(5)
        if number % 5 == 0:
            (item,) = await quick_harness.items()
            assert write_units(size_of(item)) == 1
    assert quick_harness.transport.refused == 0
    assert quick_harness.transport.counts["UpdateItem"] <= requests * (2.2 if limits else 1.2)
    rows = await quick_harness.store.usage.rows(DAY, DAY)
    assert [row.requests for row in rows] == [2] * 50
    assert sum(row.cost for row in rows) == (await quick_harness.store.standing("k")).spent_day == requests


async def test_names_of_models_are_bounded(harness: Harness) -> None:
    for number in range(12):
        await use(harness.store, f"vendor/{number:03}" + "x" * 1000)
        await harness.store.flush(5)
    (item,) = await harness.items()
    assert write_units(size_of(item)) == 1
    rows = await harness.store.usage.rows(DAY, DAY)
    assert len({row.model for row in rows}) == len(rows) == 12
    assert all(row.model.startswith("vendor/0") and len(row.model) < 100 for row in rows)


async def test_usage_that_cannot_be_moved_out_stays_bounded_and_loses_no_charge(quick_harness: Harness) -> None:
    quick_harness.transport.down_for = f'"TableName":"{quick_harness.tables[1]}"'.encode()
    for number in range(90):
        await use(quick_harness.store, f"vendor/{number:03}" + "x" * 80, budget_day=10**6)
    await quick_harness.store.flush(30)
    quick_harness.transport.down_for = None
    (item,) = await quick_harness.items()
    assert size_of(item) < 9_000
    rows = await quick_harness.store.usage.rows(DAY, DAY)
    assert (await quick_harness.store.standing("k")).spent_day == sum(row.cost for row in rows) == 90
    assert sum(row.requests for row in rows) == 90
    assert 0 < next(row.requests for row in rows if row.model == "(other models)") < 50


async def test_a_report_made_while_usage_is_moved_out_counts_everything_once(harness: Harness) -> None:
    for number in range(40):
        await use(harness.store, f"vendor/some-model-with-a-name-{number}")
        rows = await harness.store.usage.rows(DAY, DAY)
        assert sum(row.requests for row in rows) == number + 1


async def test_a_page_that_was_written_before_its_process_died_is_counted_once_and_finished_by_another(
    harness: Harness,
) -> None:
    for number in range(30):
        store = harness.process()
        reservation = await store.reserve(caller(concurrency=5), REQUEST)
        pages = len(await harness.pages())
        settling = store.settle(reservation, f"vendor/some-model-with-a-name-{number}", tokens(1), 1)
        await settling
        # From here on nothing reaches the item, though the page is written.
        harness.transport.down_for = b'"id":{"S":"key#'
        await store.flush(0.2)
        harness.transport.down_for = None
        rows = await harness.store.usage.rows(DAY, DAY)
        assert sum(row.requests for row in rows) == number + 1
        if len(await harness.pages()) > pages:
            break
    else:
        pytest.fail("no page was written")
    for number in range(30, 60):
        await use(harness.process(), f"vendor/some-model-with-a-name-{number}")
    rows = await harness.store.usage.rows(DAY, DAY)
    assert [row.requests for row in rows] == [1] * len(rows)


async def test_processes_that_move_usage_out_at_once_move_it_once(harness: Harness) -> None:
    stores = [harness.process() for _ in range(6)]
    for number in range(10):
        await asyncio.gather(
            *(use(store, f"vendor/some-model-{number}-{place}") for place, store in enumerate(stores)),
            *(use(store, "vendor/common") for store in stores),
        )
    for store in stores:
        await store.flush(5)
    rows = {row.model: row.requests for row in await harness.store.usage.rows(DAY, DAY)}
    assert rows.pop("vendor/common") == 60
    assert sorted(rows.values()) == [1] * 60


async def test_the_usage_of_months_is_reported_by_its_days(harness: Harness) -> None:
    for day in range(45):
        await use(harness.store, f"m{day % 2}", budget_month=10**6)
        await harness.store.flush(5)
        harness.wait(24 * 3600)
    rows = await harness.store.usage.rows("2031-11-21", "2032-12-31", "k")
    assert len(rows) == 45
    assert [row.day for row in await harness.store.usage.rows("2031-11-30", "2031-12-01", "k")] == [
        "2031-11-30",
        "2031-12-01",
    ]
    assert len(await harness.store.usage.rows("2031-12-01", "2031-12-31", "k")) == 31
    assert await harness.store.usage.rows("2031-11-21", "2031-12-31", "another") == []


async def test_usage_that_comes_late_is_added_to_what_was_moved_out(harness: Harness) -> None:
    late = await harness.store.reserve(caller(), REQUEST)
    for _ in range(25):
        await use(harness.store, "m")
        await harness.store.flush(5)
        harness.wait(24 * 3600)
    assert await harness.pages() != []
    await harness.store.settle(late, "m", tokens(10), 10)
    for key in ("k", None):
        rows = await harness.store.usage.rows(DAY, DAY, key)
        assert [(row.requests, row.usage.input_tokens, row.cost) for row in rows] == [(2, 11, 11)]


async def test_a_report_has_the_usage_of_all_shards_and_of_no_key_of_a_similar_name(harness: Harness) -> None:
    harness.shards = [0, 1, 2, 0]
    for _ in range(3):
        await use(harness.store, "m", shards=3)
    await use(harness.store, "m", key="k#0")
    (row,) = await harness.store.usage.rows(DAY, DAY, "k")
    assert row.requests == 3
    assert [row.key_id for row in await harness.store.usage.rows(DAY, DAY)] == ["k", "k#0"]


async def test_models_whose_codes_are_alike_are_counted_apart(harness: Harness) -> None:
    """The first two letters of their codes are the same on that day, and the first three of the last two."""
    names = ["m0", "m83", "m192", "m268", "m4", "m2821"]
    stores = [harness.process() for _ in range(2)]
    for number in range(2 * len(names)):
        await use(stores[number % 2], names[number % len(names)])
    rows = {row.model: row.requests for row in await harness.store.usage.rows(DAY, DAY)}
    assert rows == dict.fromkeys(names, 2)
    await asyncio.gather(*(use(harness.process(), name) for name in names))
    rows = {row.model: row.requests for row in await harness.store.usage.rows(DAY, DAY)}
    assert rows == dict.fromkeys(names, 3)


async def test_usage_is_counted_for_a_key_below_a_tenant_with_limits(harness: Harness) -> None:
    who = caller(tenant=Limits(concurrency=5))
    for _ in range(3):
        await harness.store.settle(await harness.store.reserve(who, REQUEST), "m", tokens(1), 1)
    (row,) = await harness.store.usage.rows(DAY, DAY)
    assert row.requests == 3
