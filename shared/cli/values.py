"""Parses argument values: money, times, lists. Each function raises ArgumentTypeError with a message for the user."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MICRO = 1_000_000
_MOST_DOLLARS = 1_000_000_000
_MOST_DIGITS = 15


def dollars(text: str) -> int:
    """Dollars as whole micro-dollars: `2.50` is 2500000."""
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is not an amount in dollars such as 2.50") from None
    if not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
        raise ArgumentTypeError(f"{text!r} is not between 0 and {_MOST_DOLLARS} dollars")
    if amount * _MICRO != int(amount * _MICRO):
        raise ArgumentTypeError(f"{text!r} has more than six decimals")
    return int(amount * _MICRO)


def shown_dollars(micro: int | None) -> str | None:
    """Micro-dollars as dollars with at least two decimals, not rounded."""
    if micro is None:
        return None
    whole, fraction = divmod(micro, _MICRO)
    decimals = f"{fraction:06}".rstrip("0")
    return f"{whole}.{decimals:0<2}"


def whole(most: int) -> Callable[[str], int]:
    """Reads a whole number from 1 to `most`."""

    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 1 <= int(text) <= most:
            return int(text)
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")

    return read


def duration(text: str) -> timedelta:
    """`90m`, `24h`, `30d`, `2w`."""
    found = re.fullmatch(r"([0-9]{1,5})([mhdw])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not a duration such as 90m, 24h, 30d or 2w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str) -> datetime:
    """A date or time in ISO 8601, or a duration from now. UTC unless it has an offset."""
    if re.fullmatch(r"[0-9]{1,5}[mhdw]", text):
        return datetime.now(UTC) + duration(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2027-01-31 or a duration such as 30d") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def day(text: str) -> str:
    """A UTC day as `YYYY-MM-DD`."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d")
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-11-21") from None


def listed(text: str) -> frozenset[str]:
    """A comma-separated list."""
    return frozenset(item.strip() for item in text.split(",") if item.strip())
