"""What makes JSON that is large or hostile bearable: bounds on what is read, pieces of what is written.

A few bytes of JSON become hundreds in memory (`[],` takes 3 as text and 80 as a list), and both reading and writing it
is one call of C that nothing interrupts, in whatever thread.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json, to_json

MAX_CONTAINERS = 50_000
"""The most objects and arrays. 128 tools with schemas of a hundred properties have a third of that."""
MAX_STRINGS = 250_000
MAX_VALUES = 400_000
"""The most values of any kind. OpenAI takes 300,000 tokens to be embedded in one request."""
MAX_ESCAPES = 3_000_000
MAX_NON_ASCII_BYTES = 10 * 2**20
"""More than any model's context has; such text takes five times as long to read as ASCII."""

_WINDOW = 64 * 1024
_NON_ASCII = bytes(range(128, 256))


class TooComplex(ValueError):
    """JSON that holds more of something than may be; the message says of what."""


def check(data: bytes) -> None:
    """Raises TooComplex for a JSON text that would take many times its size, or long to read.

    1 MB takes 4 ms. Raises ValueError where it sees that the text is no JSON, or nested too deeply.
    """
    if len(data) <= MAX_CONTAINERS:  # it cannot hold as many
        return
    try:
        Tally().add(data)
    except TooComplex:
        from_json(data[:_WINDOW], allow_partial=True)  # raises for levels beyond what is read
        raise


class Tally:
    """What several JSON texts hold together: values outside of strings, and what makes strings slow to read."""

    def __init__(self) -> None:
        self._containers = self._commas = self._quotes = self._escapes = self._non_ascii = 0

    def add(self, data: bytes) -> None:
        """Counts one more text, whether it is JSON or not. Raises TooComplex."""
        is_inside, at = False, 0
        while at < len(data):
            window = data[at : at + _WINDOW]
            at += len(window)
            self._escapes += window.count(b"\\")
            # Escaped backslashes and quotes out of the way, every quote that is left begins or ends a string.
            window = window.replace(b"\\\\", b"").replace(b'\\"', b"")
            if window.endswith(b"\\"):  # of an escape that the window has cut
                at += 1
            if not window.isascii():
                self._non_ascii += len(window) - len(window.translate(None, _NON_ASCII))
            parts = window.split(b'"')
            outside = b"".join(parts[is_inside::2])
            self._containers += outside.count(b"[") + outside.count(b"{")
            self._commas += outside.count(b",")
            self._quotes += len(parts) - 1
            is_inside ^= len(parts) % 2 == 0
            self._check()

    def _check(self) -> None:
        for count, most, what in (
            (self._containers, MAX_CONTAINERS, "objects and arrays"),
            (self._commas + self._containers, MAX_VALUES, "values"),
            (self._quotes // 2, MAX_STRINGS, "strings"),
            (self._escapes, MAX_ESCAPES, "backslashes"),
            (self._non_ascii, MAX_NON_ASCII_BYTES, "bytes that are not ASCII"),
        ):
            if count > most:
                raise TooComplex(f"more than {most:,} {what}")


def encoded(value: Any, *, is_heavy: bool) -> bytes:
    """The JSON of a value; that of a heavy one in short steps. Raises ValueError for what JSON cannot express."""
    if is_heavy:
        return b"".join(pieces(value, inf_nan=False))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def pieces(value: Any, *, inf_nan: bool = True) -> Iterator[bytes]:
    """The JSON of a value in pieces: dicts with names of type str, lists, and what JSON has besides.

    Infinity and NaN become null, or raise ValueError where `inf_nan` says that they may not be there.
    """
    match value:
        case dict():
            opening = b"{"
            for name, item in value.items():
                yield opening + to_json(name) + b":"
                yield from pieces(item, inf_nan=inf_nan)
                opening = b","
            yield b"}" if value else b"{}"
        case list() | tuple():
            opening = b"["
            for item in value:
                yield opening
                yield from pieces(item, inf_nan=inf_nan)
                opening = b","
            yield b"]" if value else b"[]"
        case str() if len(value) > _WINDOW:
            yield b'"'
            for start in range(0, len(value), _WINDOW):
                yield to_json(value[start : start + _WINDOW])[1:-1]
            yield b'"'
        case float() if not inf_nan and value - value != 0:
            raise ValueError("JSON has no infinity")
        case _:
            yield to_json(value, inf_nan_mode="null")
