"""`make prices`: writes shared/prices.toml from the library genai-prices and the prices kept by hand beside this file.

Prints the catalog's models without a price, and what a maintainer should check: hand-kept prices that the library also
has, and models that the library lists under another name.
"""

import sys
import tomllib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from shared.catalog import Catalog
from shared.schemas.price import Price
from shared.settings import Settings

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "shared" / "prices.toml"
BY_HAND = ROOT / "scripts" / "prices_by_hand.toml"
LIBRARY = "genai-prices"

Row: TypeAlias = dict[str, Any]
Prices: TypeAlias = dict[str, dict[str, list[Row]]]

# Our providers that the library calls otherwise.
PROVIDERS = {"gemini": "google", "xai": "x-ai", "bedrock": "aws"}
RATES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "cache_image_read_mtok": "cached_image",
    "cache_audio_read_mtok": "cached_audio",
}
UNITS = {"input_mchars": "characters", "audio_hours": "audio_hour"}
THOUSANDS = {"web_searches_kcount": "search"}
# Vendors' own file search and video, for which the gateway never asks; `input_audio_hours` always has `audio_hours`
# beside it.
IGNORED = {
    "storage_searches_kcount",
    "input_video_mtok",
    "input_audio_hours",
}


def main() -> None:
    today = datetime.now(UTC).date()
    by_hand: Prices = tomllib.loads(BY_HAND.read_text("utf-8"))["prices"]
    models = upstreams(Catalog.load(Settings(), complete=True))
    TABLE.write_text(text(prices(models, by_hand, today), today), "utf-8")
    for provider, upstream in models:
        kept = by_hand.get(provider, {})
        known = library_model(provider, upstream)
        if upstream in kept and known:
            print(f"kept by hand, though the library has it: {provider} {upstream}")
        elif known and known.id not in (upstream, upstream.rpartition("/")[2]):
            print(f"taken from the library's {known.id}: {provider} {upstream}")
        elif not (known or upstream in kept or "*" in kept):
            print(f"no price: {provider} {upstream}")


def upstreams(catalog: Catalog) -> list[tuple[str, str]]:
    """Provider and upstream of every model of the catalog, once each, in its order."""
    return list(dict.fromkeys((model.provider, model.upstream) for model in catalog.every_model()))


def prices(models: list[tuple[str, str]], by_hand: Prices, today: date) -> Prices:
    """The rows of all models that have a price, and all that are kept by hand."""
    table: Prices = {}
    for provider, upstream in models:
        if rows := library_rows(provider, upstream, today):
            table.setdefault(provider, {})[upstream] = rows
    for provider, kept in by_hand.items():
        table.setdefault(provider, {}).update(kept)
    return table


def library_rows(provider: str, upstream: str, today: date) -> list[Row]:
    """What the library knows of a model from today on; empty where it knows nothing."""
    model = library_model(provider, upstream)
    if model is None:
        return []
    conditions = [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices
    rows: list[Row] = []
    for condition in conditions:
        when: Row = {}
        if isinstance(condition.constraint, StartDateConstraint):
            if condition.constraint.start_date > today:
                when = {"starts": condition.constraint.start_date}
        elif condition.constraint is not None:
            when = {"hours": [clock(condition.constraint.start_time), clock(condition.constraint.end_time)]}
        if not when:
            rows.clear()  # the last row that holds is the price: those before this one never are
        rows.append({**when, "as_of": today, **amounts(condition.prices)})
    return rows


def library_model(provider: str, upstream: str) -> ModelInfo | None:
    try:
        return get_snapshot().find_provider_model(upstream, None, PROVIDERS.get(provider, provider), None)[1]
    except LookupError:
        return None


def clock(at: time) -> time:
    if at.utcoffset():
        sys.exit(f"{LIBRARY} states hours in another time zone than UTC")
    return at.replace(tzinfo=None)


def amounts(price: ModelPrice) -> Row:
    """A price in our names. A vendor's tiers begin at the same number of tokens for all rates."""
    rates: dict[str, Decimal | TieredPrices] = {}
    row: Row = {}
    for key, value in price.__dict__.items():
        if value is None or key in IGNORED:
            continue
        if key in RATES:
            rates[RATES[key]] = value
        elif key in UNITS and isinstance(value, Decimal):
            row[UNITS[key]] = plain(value)
        elif key in THOUSANDS and isinstance(value, Decimal):
            row[THOUSANDS[key]] = plain(value / 1000)
        else:
            sys.exit(f"{LIBRARY} has a price that the gateway cannot state: {key}")
    starts = {tier.start for rate in rates.values() if isinstance(rate, TieredPrices) for tier in rate.tiers}
    row |= {name: plain(rate_above(rate, None)) for name, rate in rates.items()}
    tiers = [
        {"above": start, **{name: plain(rate_above(rate, start)) for name, rate in rates.items()}}
        for start in sorted(starts)
    ]
    return {**row, "tiers": tiers} if tiers else row


def rate_above(rate: Decimal | TieredPrices, start: int | None) -> Decimal:
    """The rate of calls with more input tokens than `start`, and of the shortest ones where that is None."""
    if not isinstance(rate, TieredPrices):
        return rate
    passed = [tier.price for tier in rate.tiers if start is not None and tier.start <= start]
    return passed[-1] if passed else rate.base


def plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def text(table: Prices, today: date) -> str:
    """The file: a table a provider, a line a price."""
    lines = [
        "# What the vendors charge. `make prices` writes this file: change scripts/prices_by_hand.toml instead, or",
        "# state a `price` in your own catalog. Fields: see shared/schemas/price.py and shared/prices.py.",
        f"generated = {today}",
        f'library = "{LIBRARY} {version(LIBRARY)}"',
    ]
    for provider, models in table.items():
        lines += ["", f"[prices.{provider}]"]
        for upstream, rows in models.items():
            for row in rows:
                Price.read({name: value for name, value in row.items() if name not in ("starts", "hours")})
            lines.append(f"{value_text(upstream)} = {value_text(rows)}")
    return "\n".join(lines) + "\n"


def value_text(value: object) -> str:
    """A value as TOML, which has no writer in the standard library."""
    match value:
        case str():
            if any(character in value for character in '"\\') or not value.isprintable():
                sys.exit(f"{value!r} would have to be quoted otherwise")
            return f'"{value}"'
        case list():
            return f"[{', '.join(map(value_text, value))}]"
        case dict():
            return f"{{ {', '.join(f'{name} = {value_text(item)}' for name, item in value.items())} }}"
        case int() | date() | time():
            return str(value)
        case _:
            sys.exit(f"TOML has no {value!r}")


if __name__ == "__main__":
    main()
