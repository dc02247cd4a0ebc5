"""Numbers within bounds."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from math import ceil, floor
from typing import Any

from shared.providers.sandbox.json_schema.alternatives import common_multiple

_PARTS = 64


def numbers(keywords: dict[str, Any], *, whole: bool) -> Iterator[float]:
    """Numbers between the bounds (the bounds included, whatever is exclusive), from 1 or what is nearest to it."""
    low = max(_bounds(keywords, "minimum", "exclusiveMinimum"), default=None)
    high = min(_bounds(keywords, "maximum", "exclusiveMaximum"), default=None)
    yield from _multiples(_unit(keywords.get("multipleOf"), whole), low, high)
    if low is not None and high is not None and not whole and "multipleOf" not in keywords:
        for part in (_PARTS // 2, *range(_PARTS + 1)):
            yield _plain(low + (high - low) * part / _PARTS)


def _bounds(keywords: dict[str, Any], *names: str) -> list[Fraction]:
    """The bounds among the keywords; 0.1 as a tenth and not as the float that is next to it."""
    return [Fraction(str(keywords[name])) for name in names if name in keywords]


def _unit(multiple_of: float | None, whole: bool) -> Fraction:
    """What the values are multiples of. Halves show that a number need not be whole."""
    if multiple_of is None:
        return Fraction(1 if whole else Fraction(1, 2))
    return Fraction(str(common_multiple(multiple_of, 1) if whole else multiple_of))


def _multiples(unit: Fraction, low: Fraction | None, high: Fraction | None) -> Iterator[float]:
    """Multiples of `unit`: upwards from the one nearest to 1, then downwards from there."""
    lowest = None if low is None else ceil(low / unit)
    highest = None if high is None else floor(high / unit)
    start = max(1, floor(1 / unit))
    if lowest is not None:
        start = max(start, lowest)
    if highest is not None:
        start = min(start, highest)
    upwards = count(start) if highest is None else range(start, highest + 1)
    downwards = count(start - 1, -1) if lowest is None else range(start - 1, lowest - 1, -1)
    yield from (_plain(unit * factor) for factor in upwards if lowest is None or factor >= lowest)
    yield from (_plain(unit * factor) for factor in downwards)


def _plain(number: Fraction) -> float:
    return number.numerator if number.denominator == 1 else float(number)
