"""Strings by length, format or pattern."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count, product
from string import ascii_lowercase
from typing import Any

from shared.providers.sandbox.json_schema.budget import Budget
from shared.providers.sandbox.json_schema.patterns import matches

# One value for each number from 0 on. https://json-schema.org/draft/2020-12/json-schema-validation#section-7.3
_FORMATS: Mapping[str, Callable[[int], str]] = {
    "date": lambda number: f"{2025 + number // 28 % 75}-01-{1 + number % 28:02}",
    "date-time": lambda number: f"{2025 + number // 28 % 75}-01-{1 + number % 28:02}T09:30:00Z",
    "time": lambda number: f"{number // 60 % 24:02}:{number % 60:02}:00Z",
    "duration": lambda number: f"P{number + 1}D",
    "email": lambda number: f"user{number}@example.com",
    "idn-email": lambda number: f"user{number}@example.com",
    "hostname": lambda number: f"host{number}.example.com",
    "idn-hostname": lambda number: f"host{number}.example.com",
    "ipv4": lambda number: f"192.0.2.{number % 256}",
    "ipv6": lambda number: f"2001:db8::{number + 1:x}",
    "uri": lambda number: f"https://example.com/{number}",
    "uri-reference": lambda number: f"/{number}",
    "url": lambda number: f"https://example.com/{number}",
    "iri": lambda number: f"https://example.com/{number}",
    "iri-reference": lambda number: f"/{number}",
    "uri-template": lambda number: f"https://example.com/{number}/{{name}}",
    "json-pointer": lambda number: f"/{number}",
    "relative-json-pointer": lambda number: f"{number}/name",
    "regex": lambda number: f"^{number}$",
    "uuid": lambda number: f"00000000-0000-4000-8000-{number:012x}",
}

_MOST_LETTERS = 3

# How many values of a format are worth beginning with: low numbers read best.
_FIRST_VALUES = 100


def strings(keywords: dict[str, Any], name: str, variant: int, budget: Budget) -> Iterator[str]:
    """Strings for one property: matches of its pattern, values of its format, or words made of its name."""
    shortest, longest = keywords.get("minLength", 0), keywords.get("maxLength")
    if "pattern" in keywords:
        yield from matches(keywords["pattern"], shortest, longest, budget)
    elif keywords.get("format") in _FORMATS:
        yield from map(_FORMATS[keywords["format"]], count(variant % _FIRST_VALUES))
    else:
        yield _fitted(" ".join(filter(None, ("example", name, str(variant or "")))), shortest, longest)
        yield from _letters(shortest, longest)


def _fitted(text: str, shortest: int, longest: int | None) -> str:
    """The text, repeated or cut until its length is within the bounds."""
    repeats = max(1, -(-shortest // len(text)))
    return " ".join([text] * repeats)[:longest]


def _letters(shortest: int, longest: int | None) -> Iterator[str]:
    """Different strings of letters, as many as a short length allows."""
    varied = _MOST_LETTERS if longest is None else min(_MOST_LETTERS, longest)
    for letters in product(ascii_lowercase, repeat=varied):
        yield "".join(letters).ljust(shortest, "x")
