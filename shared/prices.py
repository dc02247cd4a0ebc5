"""The table of vendors' prices, which `make prices` writes."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared.schemas.price import Price

_DEFAULT = Path(__file__).with_name("prices.toml")
_SECTION = "\n[prices."  # begins a provider's table
_EVERY_OTHER = "*"
# What a row has besides its price: when it holds.
_WHEN = ("starts", "hours")


class PriceTable:
    """Rows by provider and upstream model, converted to `Price`s on demand.

    An upstream model has one row or several: the last one in effect is its price. `starts` is the first day of a row,
    in UTC; `hours` is the start and end of the time of day in which it is in effect. `unread` is the TOML of further
    providers' tables, which are parsed when they are first asked for: a cold start pays only for the provider it calls.
    """

    def __init__(self, tables: Mapping[str, Any], unread: Mapping[str, str] = MappingProxyType({})) -> None:
        self._rows: dict[str, Mapping[str, list[dict[str, Any]]]] = dict(tables["prices"])
        self._unread = dict(unread)
        self._read: dict[int, Price] = {}

    @classmethod
    @cache
    def load(cls) -> "PriceTable":
        """The table that comes with the gateway."""
        _, *sections = _DEFAULT.read_text("utf-8").split(_SECTION)
        return cls({"prices": {}}, {section.partition("]")[0]: _SECTION + section for section in sections})

    def find(self, provider: str, upstream: str, at: datetime) -> Price | None:
        """The price of a provider's model at a time, which has a time zone. None if no price is configured."""
        if provider in self._unread:
            self._rows |= tomllib.loads(self._unread.pop(provider))["prices"]
        upstreams = self._rows.get(provider, {})
        rows = upstreams.get(upstream) or upstreams.get(_EVERY_OTHER, [])
        moment = at.astimezone(UTC)
        row = next((row for row in reversed(rows) if _holds(row, moment)), None)
        return None if row is None else self._price(row)

    def _price(self, row: Mapping[str, Any]) -> Price:
        """A row's price, which is read once: rows live as long as the table."""
        price = self._read.get(id(row))
        if price is None:
            price = Price.read({name: value for name, value in row.items() if name not in _WHEN})
            self._read[id(row)] = price
        return price


def _holds(row: Mapping[str, Any], at: datetime) -> bool:
    if "starts" in row and at.date() < row["starts"]:
        return False
    if "hours" not in row:
        return True
    start: time
    end: time
    start, end = row["hours"]
    now = at.time()
    return start <= now < end if start <= end else now >= start or now < end
