"""The table of prices: where it comes from, how it is looked up, and what an operator may write."""

import tomllib
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.types import ModelPrice, TieredPrices
from genai_prices.types import Tier as LibraryTier

from scripts import update_prices
from shared.catalog import Catalog
from shared.prices import PriceTable
from shared.pricing import cost
from shared.schemas.price import Price, Rates, Tier
from shared.schemas.usage import Usage
from shared.settings import Settings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TABLE: dict[str, Any] = tomllib.loads(update_prices.TABLE.read_text("utf-8"))
BY_HAND: update_prices.Prices = tomllib.loads(update_prices.BY_HAND.read_text("utf-8"))["prices"]
ROWS = [
    pytest.param(row, id=f"{provider} {upstream}")
    for provider, models in TABLE["prices"].items()
    for upstream, rows in models.items()
    for row in rows
]


def table(*rows: dict[str, Any]) -> PriceTable:
    return PriceTable({"prices": {"vendor": {"model": list(rows)}}})


def input_price(prices: PriceTable, at: datetime) -> Decimal | None:
    price = prices.find("vendor", "model", at)
    return None if price is None else price.rates.input


# --- the table that comes with the gateway ----------------------------------------------------------------------------


def test_the_table_is_what_make_prices_writes() -> None:
    generated: date = TABLE["generated"]
    models = update_prices.upstreams(Catalog.load(Settings(), complete=True))
    written = update_prices.text(update_prices.prices(models, BY_HAND, generated), generated)
    assert update_prices.TABLE.read_text("utf-8") == written, (
        "the catalog or the library has changed: run `make prices`"
    )


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_dated_and_says_what_something_costs(row: dict[str, Any]) -> None:
    price = Price.read({name: value for name, value in row.items() if name not in ("starts", "hours")})
    assert price.as_of is not None
    assert price.as_of <= TABLE["generated"]


def test_each_row_is_found_under_its_provider_and_upstream_model() -> None:
    prices = PriceTable.load()
    whole = PriceTable(TABLE)
    for provider, upstreams in TABLE["prices"].items():
        for upstream in upstreams:
            assert prices.find(provider, upstream, NOON) == whole.find(provider, upstream, NOON)


def test_every_sandbox_model_has_a_small_price_so_that_budgets_can_be_tried() -> None:
    price = PriceTable.load().find("sandbox", "a-model-of-tomorrow", NOON)
    assert price is not None
    assert cost(Usage(input_tokens=1_000_000), price) == 1_000_000
    assert cost(Usage(output_tokens=1_000_000), price) == 2_000_000
    assert cost(Usage(images=1), price) == 10_000


def test_a_model_that_nobody_knows_has_no_price() -> None:
    prices = PriceTable.load()
    assert prices.find("openai", "gpt-of-tomorrow", NOON) is None
    assert prices.find("nobody", "gpt-6-sol", NOON) is None


# --- looking up -------------------------------------------------------------------------------------------------------


def test_a_price_changes_on_the_day_that_was_announced() -> None:
    prices = table({"input": "1"}, {"starts": date(2026, 12, 1), "input": "2"})
    assert input_price(prices, datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)) == 1
    assert input_price(prices, datetime(2026, 12, 1, tzinfo=UTC)) == 2


def test_days_and_hours_are_utc_whatever_the_clock_shows() -> None:
    prices = table({"input": "1"}, {"starts": date(2026, 12, 1), "input": "2"})
    tokyo = timezone(timedelta(hours=9))
    assert input_price(prices, datetime(2026, 12, 1, 8, 59, tzinfo=tokyo)) == 1
    assert input_price(prices, datetime(2026, 12, 1, 9, tzinfo=tokyo)) == 2


@pytest.mark.parametrize(
    ("hours", "peak"),
    [
        ([time(1), time(4)], {1, 2, 3}),
        ([time(22), time(2)], {22, 23, 0, 1}),
    ],
)
def test_a_price_of_certain_hours_holds_from_the_first_until_the_last(hours: list[time], peak: set[int]) -> None:
    prices = table({"input": "1"}, {"hours": hours, "input": "2"})
    at = {hour: input_price(prices, NOON.replace(hour=hour)) for hour in range(24)}
    assert {hour for hour, price in at.items() if price == 2} == peak
    assert {hour for hour, price in at.items() if price == 1} == set(range(24)) - peak


def test_before_its_first_day_a_model_has_no_price() -> None:
    assert input_price(table({"starts": date(2027, 1, 1), "input": "1"}), NOON) is None


def test_a_row_for_every_other_model_gives_way_to_a_models_own() -> None:
    prices = PriceTable({"prices": {"vendor": {"*": [{"input": "1"}], "model": [{"input": "2"}]}}})
    assert input_price(prices, NOON) == 2
    other = prices.find("vendor", "other", NOON)
    assert other is not None
    assert other.rates.input == 1


# --- what may be written ----------------------------------------------------------------------------------------------


def test_a_price_is_written_as_in_the_docstring() -> None:
    row = tomllib.loads(
        """
        price = { input = "2", cached_read = "0.2", output = 12, tiers = [{ above = 200000, input = "4" }] }
        """
    )["price"]
    price = Price.read(row)
    assert price.rates == Rates(input=Decimal(2), cached_read=Decimal("0.2"), output=Decimal(12))
    assert price.tiers == (Tier(200_000, Rates(input=Decimal(4))),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "must have at least one amount"),
        ({"as_of": date(2026, 11, 21)}, "must have at least one amount"),
        ({"input": 0.1}, 'input must be dollars in quotes, such as "0.15"'),
        ({"input": "-1"}, "input must be dollars"),
        ({"input": -1}, "input must be dollars"),
        ({"input": True}, "input must be dollars"),
        ({"input": "NaN"}, "input must be dollars"),
        ({"input": "1e3"}, "input must be dollars"),
        ({"input": "1."}, "input must be dollars"),
        ({"input": "1\n"}, "input must be dollars"),
        ({"input": "0.0000000001"}, "input must be dollars"),
        ({"input": "1000000"}, "input must be dollars"),
        ({"inptu": "1"}, "a price has no 'inptu'"),
        ({"above": 1, "input": "1"}, "a price has no 'above'"),
        ({"audio_hour": "1", "audio_minimum": "10"}, "audio_minimum must be a whole number"),
        ({"input": "1", "as_of": "yesterday"}, "as_of must be a date"),
        ({"input": "1", "tiers": {"above": 5}}, "tiers must be a list of tables"),
        ({"input": "1", "tiers": [{"input": "2"}]}, "tiers must be a list of tables"),
        ({"input": "1", "tiers": [{"above": -1}]}, "above must be a whole number"),
        ({"input": "1", "tiers": [{"above": 1, "image": "1"}]}, "a price has no 'image'"),
        ({"input": "1", "tiers": [{"above": 1, "input": 0.5}]}, "input must be dollars"),
    ],
    ids=str,
)
def test_what_cannot_be_read_exactly_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Price.read(row)


# --- `make prices` ----------------------------------------------------------------------------------------------------


def test_prices_that_no_longer_hold_are_left_out() -> None:
    before, on, after = date(2026, 10, 19), date(2026, 10, 20), date(2026, 10, 29)
    inputs = {
        today: [
            (row.get("starts"), row["input"]) for row in update_prices.library_rows("mistral", "mistral-large-4", today)
        ]
        for today in (before, on, after)
    }
    assert inputs == {
        before: [(None, "0.68"), (on, "1.36"), (after, "0.7")],
        on: [(None, "1.36"), (after, "0.7")],
        after: [(None, "0.7")],
    }


def test_every_rate_has_its_value_in_every_tier() -> None:
    price = ModelPrice(
        input_mtok=TieredPrices(
            base=Decimal(1), tiers=[LibraryTier(start=100, price=Decimal(2)), LibraryTier(start=500, price=Decimal(3))]
        ),
        output_mtok=TieredPrices(base=Decimal("10.50"), tiers=[LibraryTier(start=500, price=Decimal(30))]),
        cache_read_mtok=Decimal("0.10"),
        web_searches_kcount=Decimal(10),
    )
    assert update_prices.amounts(price) == {
        "input": "1",
        "output": "10.5",
        "cached_read": "0.1",
        "search": "0.01",
        "tiers": [
            {"above": 100, "input": "2", "output": "10.5", "cached_read": "0.1"},
            {"above": 500, "input": "3", "output": "30", "cached_read": "0.1"},
        ],
    }


def test_a_price_that_the_gateway_cannot_state_is_not_passed_over() -> None:
    with pytest.raises(SystemExit, match="requests_kcount"):
        update_prices.amounts(ModelPrice(input_mtok=Decimal(1), requests_kcount=Decimal(5)))


def test_what_is_kept_by_hand_wins_over_the_library_and_stays_without_it() -> None:
    by_hand: update_prices.Prices = {"openai": {"gpt-6-sol": [{"input": "7"}]}, "nobody": {"*": [{"input": "8"}]}}
    models = [("openai", "gpt-6-sol"), ("openai", "gpt-6-luna"), ("nobody", "known")]
    found = update_prices.prices(models, by_hand, NOON.date())
    assert found["openai"]["gpt-6-sol"] == [{"input": "7"}]
    assert found["openai"]["gpt-6-luna"][0]["input"] == "0.1"
    assert found["nobody"] == {"*": [{"input": "8"}]}


def test_models_are_priced_once_by_the_vendors_name_of_them() -> None:
    tables = {
        "providers": {"vendor": {"adapter": "openai"}},
        "models": [
            {"id": "old", "provider": "vendor", "upstream": "new"},
            {"id": "new", "provider": "vendor"},
            {"id": "vendor/*"},
        ],
    }
    assert update_prices.upstreams(Catalog(tables, Settings())) == [("vendor", "new")]


def test_what_is_written_reads_back() -> None:
    rows = [
        {"as_of": date(2026, 11, 21), "hours": [time(1), time(4)], "input": "1", "tiers": [{"above": 5, "input": "2"}]}
    ]
    written = update_prices.text({"vendor": {"a/b:c-1.5": rows}}, NOON.date())
    assert tomllib.loads(written)["prices"] == {"vendor": {"a/b:c-1.5": rows}}


def test_a_name_that_would_break_the_file_is_refused() -> None:
    with pytest.raises(SystemExit):
        update_prices.value_text('model"')
