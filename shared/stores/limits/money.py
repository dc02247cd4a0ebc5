"""Money and places in flight: counters of what is out, each of which may go as far as its limit.

    n          requests in flight
    d<day>     micro-dollars spent and reserved in a UTC day, named by its days since 1970 to base 36
    m<month>   and in a UTC month, named by its months since year 0

Money stands under the day and the month in which its request began, whenever that ends.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice

from shared.schemas.limits import Limits, Reason
from shared.stores.limits.leases import SECOND, short
from shared.stores.limits.write import Item, Write

PLACES = "n"
DAY_SECONDS = 86_400
_TIDIED_AT_ONCE = 50
_EPOCH = date(1970, 1, 1)


def day_at(at: int) -> str:
    """The short name of the UTC day of a moment."""
    return short(at // SECOND // DAY_SECONDS)


def day_named(name: str) -> str:
    """The day of a short name, as `YYYY-MM-DD`."""
    return (_EPOCH + timedelta(days=int(name, 36))).isoformat()


def name_of_day(day: str) -> str:
    """The short name of a day in the form `YYYY-MM-DD`, or of the first or last whose name has three letters."""
    return short(min(max((date.fromisoformat(day) - _EPOCH).days, 36**2), 36**3 - 1))


def month_at(at: int) -> str:
    """The short name of the UTC month of a moment."""
    return _month(_utc(at))


def month_of_day(name: str, *, later: int = 0) -> str:
    """The short name of the month of a day with a short name, or of the month so many months later."""
    return _month(date.fromisoformat(day_named(name)), later)


def _month(day: date, later: int = 0) -> str:
    return short(day.year * 12 + day.month + later)


def money_names(at: int) -> tuple[str, str]:
    """The attributes of the money of a moment's day and month."""
    return _names_of_day(at // SECOND // DAY_SECONDS)


@lru_cache(maxsize=64)
def _names_of_day(day: int) -> tuple[str, str]:
    at = day * DAY_SECONDS * SECOND
    return f"d{day_at(at)}", f"m{month_at(at)}"


def add_money(write: Write, at: int, amount: int) -> None:
    """Counts money, or gives it back, in the day and the month of a moment."""
    for name in money_names(at):
        write.add(name, amount)


def caps(limits: Limits, now: int) -> Iterator[tuple[str, int, Reason]]:
    """The counters that are limited now, and how far they may go."""
    day, month = money_names(now)
    named = (
        (PLACES, limits.concurrency, Reason.CONCURRENCY),
        (day, limits.budget_day, Reason.DAY),
        (month, limits.budget_month, Reason.MONTH),
    )
    for name, limit, reason in named:
        if limit is not None:
            yield name, limit, reason


def until_next(reason: Reason, now: int) -> int:
    """The microseconds until the day or the month ends."""
    today = _utc(now).replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = today + timedelta(days=1) if reason is Reason.DAY else next_month
    return int(end.timestamp()) * SECOND - now


def tidy_money(write: Write, item: Item, before: int) -> None:
    """Removes the counters of days and months that ended before the day of a moment."""
    oldest = {name[0]: int(name[1:], 36) for name in money_names(before)}
    past = (name for name in item if name[0] in oldest and int(name[1:], 36) < oldest[name[0]])
    for name in islice(past, _TIDIED_AT_ONCE):
        if not write.changes(name):
            write.remove(name)


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND, UTC)
