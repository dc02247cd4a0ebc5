"""What makes JSON that is large or hostile bearable: bounds on what is read, and no step that takes long.

A few bytes of JSON become hundreds in memory (`[],` takes 3 as text and 80 as a list), and both reading and writing it
is one call of C that nothing interrupts, in whatever thread. So values are counted before they are made, long strings
are read and written in steps, and what is left is bounded.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

MAX_CONTAINERS = 50_000
"""The most objects and arrays. 128 tools with schemas of a hundred properties have a third of that."""
MAX_STRINGS = 250_000
MAX_VALUES = 400_000
"""The most values of any kind. OpenAI takes 300,000 tokens to be embedded in one request."""
MAX_BYTES = 16 * 2**20
"""The most that a text may have beside its long strings, which are media as a rule. No model's context is larger."""
MAX_SLOW_BYTES = 8 * 2**20
"""Of these, the most that are not ASCII; such text takes five times as long to read. Escapes count threefold."""

_WINDOW = 64 * 1024
_LONG = 256 * 1024
_STEP = 1024 * 1024
_ESCAPE_COST = 3
_NON_ASCII = bytes(range(128, 256))
# What may not be cut off at the end of a piece of a string: a high surrogate without its low one, part of an escape.
_UNFINISHED = re.compile(rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
_LONGEST_UNFINISHED = 11


class TooComplex(ValueError):
    """JSON that holds more of something than may be; the message says of what."""


def read(data: bytes) -> Any:
    """The value that a JSON text stands for. 1 MB takes up to 10 ms, of which no more than 50 are one step.

    Raises TooComplex for a text that would take many times its size, and ValueError for what is no JSON or nested too
    deeply.
    """
    if len(data) <= MAX_CONTAINERS:  # it cannot hold as many
        return from_json(data, allow_inf_nan=False)
    tally = Tally()
    try:
        tally.add(data)
        short, long = _parted(data, tally.long)
        _check_speed(short)
    except TooComplex:
        from_json(data[:_WINDOW], allow_partial=True)  # raises for levels beyond what is read
        raise
    value = from_json(short, allow_inf_nan=False)
    return _filled(value, {name: _text(piece) for name, piece in long.items()}) if long else value


class Tally:
    """Counts what several JSON texts hold together; `long` are the places of the last one's long strings."""

    def __init__(self) -> None:
        self.long: list[tuple[int, int]] = []
        self._containers = self._commas = self._quotes = 0

    def add(self, data: bytes) -> None:
        """Counts one more text, whether it is JSON or not. Raises TooComplex."""
        self.long = []
        is_inside, began, at = False, 0, 0
        while at < len(data):
            if is_inside:  # most of a large text is base64
                at = _past_plain_text(data, at)
            window = _without_escapes(data, at)
            if is_inside and (end := window.find(b'"')) >= 0 and at + end - began > _LONG:
                self.long.append((began, at + end))
            parts = window.split(b'"')
            outside = b"".join(parts[is_inside::2])
            self._containers += outside.count(b"[") + outside.count(b"{")
            self._commas += outside.count(b",")
            self._quotes += len(parts) - 1
            self._check()
            is_inside ^= len(parts) % 2 == 0
            if len(parts) > 1:
                began = at + len(window) - len(parts[-1])
            at += len(window)

    def _check(self) -> None:
        for count, most, what in (
            (self._containers, MAX_CONTAINERS, "objects and arrays"),
            (self._commas + self._containers, MAX_VALUES, "values"),
            (self._quotes // 2, MAX_STRINGS, "strings"),
        ):
            if count > most:
                raise TooComplex(f"more than {most:,} {what}")


def _past_plain_text(data: bytes, at: int) -> int:
    """The next quote or escape behind `at`, which is inside of a string; or, where there is none, a place so far."""
    end = data.find(b'"', at, at + _STEP)
    if end < 0:
        end = min(at + _STEP, len(data))
    escape = data.find(b"\\", at, end)
    return end if escape < 0 else escape


def _without_escapes(data: bytes, at: int) -> bytes:
    """A window of a text in which every quote that is left begins or ends a string. It cuts no escape in two."""
    window = data[at : at + _WINDOW]
    if b"\\" not in window:
        return window
    window = window.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    return window[:-1] + b"__" if window.endswith(b"\\") and at + len(window) < len(data) else window


def _parted(data: bytes, long: list[tuple[int, int]]) -> tuple[bytes, dict[str, bytes]]:
    """The text with names in the place of its long strings, and these by their names."""
    if not long:
        return data, {}
    mark = secrets.token_hex(8)
    pieces, strings, rest = [], {}, 0
    for number, (begin, end) in enumerate(long):
        name = f"{mark}-{number}"
        strings[name] = data[begin:end]
        pieces += [data[rest:begin], name.encode()]
        rest = end
    return b"".join([*pieces, data[rest:]]), strings


def _check_speed(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise TooComplex(f"more than {MAX_BYTES // 2**20} MB beside long strings")
    slow = _ESCAPE_COST * data.count(b"\\")
    if not data.isascii():
        slow += sum(
            len(window) - len(window.translate(None, _NON_ASCII))
            for window in (data[at : at + _STEP] for at in range(0, len(data), _STEP))
        )
    if slow > MAX_SLOW_BYTES:
        raise TooComplex("too much text that is not ASCII, or escaped")


def _text(raw: bytes) -> str:
    """What stands between the quotes of a long string, read in steps. Raises ValueError."""
    pieces, at = [], 0
    while at < len(raw):
        end = min(at + _STEP, len(raw))
        if end < len(raw):
            while raw[end] & 0xC0 == 0x80:  # inside of a character
                end -= 1
            tail = max(at, end - _LONGEST_UNFINISHED)
            if raw.find(b"\\", tail, end) >= 0:
                found = _UNFINISHED.search(raw[at:end].replace(b"\\\\", b"__"), tail - at)
                end = at + found.start() if found else end
        pieces.append(from_json(b'"%b"' % raw[at:end]))
        at = end
    return "".join(pieces)


def _filled(value: Any, strings: Mapping[str, str]) -> Any:
    match value:
        case str():
            return strings.get(value, value)
        case dict():
            return {strings.get(name, name): _filled(item, strings) for name, item in value.items()}
        case list():
            return [_filled(item, strings) for item in value]
        case _:
            return value


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
