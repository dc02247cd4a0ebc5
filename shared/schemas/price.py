"""The price of a model, in exact decimals."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from shared.dataclass import dataclass

# Few enough digits that every product with a token count is exact in Decimal's 28 digits.
_AMOUNT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_ZERO = Decimal(0)
_UNITS = ("image", "characters", "search", "audio_hour")


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens.

    `input` and `output` apply to all tokens without their own rate: tokens of a kind whose rate is None are charged
    like the rest of their total. `cache_write_1h` is for writes that are kept for an hour. Cached tokens of images or
    audio cost `cached_image` and `cached_audio`, or `cached_read` if the vendor does not distinguish them.
    """

    input: Decimal = _ZERO
    output: Decimal = _ZERO
    cached_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    input_image: Decimal | None = None
    output_image: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    cached_image: Decimal | None = None
    cached_audio: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates for all tokens of a call with more than `above` input tokens, including cached ones."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model: token rates in `rates`, or in one of the `tiers`, in ascending order.

    Other prices, in US dollars: `image` for each generated image, `characters` per million characters spoken, `search`
    for each web search, and `audio_hour` per hour of audio input, for which a vendor may charge at least
    `audio_minimum` seconds per call.
    `as_of` is the day on which the price was looked up.
    """

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    image: Decimal = _ZERO
    characters: Decimal = _ZERO
    search: Decimal = _ZERO
    audio_hour: Decimal = _ZERO
    audio_minimum: int = 0
    as_of: date | None = None

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> "Price":
        """The price in a TOML table: amounts as strings or whole numbers, keyed by the names of the fields.

            price = { input = "2", cached_read = "0.2", output = "12",
                      tiers = [{ above = 200000, input = "4", cached_read = "0.4", output = "18" }] }

        A tier states all of its rates. Raises ValueError that names the invalid value.
        """
        rest = dict(table)
        as_of = rest.pop("as_of", None)
        if as_of is not None and type(as_of) is not date:
            raise ValueError("as_of must be a date, such as 2026-11-21")
        if not rest:
            raise ValueError('a price must have at least one amount; a free model has input = "0"')
        tiers = rest.pop("tiers", [])
        if not isinstance(tiers, list) or not all(isinstance(tier, dict) and "above" in tier for tier in tiers):
            raise ValueError('tiers must be a list of tables such as { above = 200000, input = "4", output = "18" }')
        minimum = _count("audio_minimum", rest.pop("audio_minimum", 0))
        units = {name: _amount(name, rest.pop(name)) for name in _UNITS if name in rest}
        read = sorted(map(_tier, tiers), key=lambda tier: tier.above)
        return cls(_rates(rest), tuple(read), **units, audio_minimum=minimum, as_of=as_of)


def _tier(table: Mapping[str, Any]) -> Tier:
    rates = {name: value for name, value in table.items() if name != "above"}
    return Tier(_count("above", table["above"]), _rates(rates))


def _rates(table: Mapping[str, Any]) -> Rates:
    for name in table:
        if name not in Rates.__slots__:
            raise ValueError(f"a price has no '{name}'")
    return Rates(**{name: _amount(name, value) for name, value in table.items()})


def _count(name: str, value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} must be a whole number of at least 0")
    return value


def _amount(name: str, value: object) -> Decimal:
    if not isinstance(value, str | int) or not _AMOUNT.fullmatch(str(value)):
        raise ValueError(f'{name} must be dollars in quotes, such as "0.15"')
    return Decimal(str(value))
