"""The table of vendors' prices, which `make prices` writes."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from shared.schemas.price import Price

_DEFAULT = Path(__file__).with_name("prices.toml")
_EVERY_OTHER = "*"
# What a row has besides its price: when it holds.
_WHEN = ("starts", "hours")


class PriceTable:
    """Rows by provider and upstream model, converted to `Price`s on demand.

    An upstream model has one row or several: the last one in effect is its price. `starts` is the first day of a row,
    in UTC; `hours` is the start and end of the time of day in which it is in effect.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._rows: Mapping[str, Mapping[str, list[dict[str, Any]]]] = tables["prices"]

    @classmethod
    def load(cls) -> "PriceTable":
        """The table that comes with the gateway."""
        return cls(tomllib.loads(_DEFAULT.read_text("utf-8")))

    def find(self, provider: str, upstream: str, at: datetime) -> Price | None:
        """The price of a provider's model at a time, which has a time zone. None if no price is configured."""
        upstreams = self._rows.get(provider, {})
        rows = upstreams.get(upstream) or upstreams.get(_EVERY_OTHER, [])
        holding = [row for row in rows if _holds(row, at.astimezone(UTC))]
        if not holding:
            return None
        return Price.read({name: value for name, value in holding[-1].items() if name not in _WHEN})


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
