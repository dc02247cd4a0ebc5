"""The lines of a batch's input: split from a stream without holding it whole, and validated."""

import hashlib
from collections.abc import AsyncIterator, Collection
from dataclasses import field
from typing import Any

from shared.dataclass import dataclass
from shared.dialects.base import JsonObject, read_request
from shared.errors import MalformedRequest
from shared.json_text import TooComplex

MAX_LINE_BYTES = 10 * 1024 * 1024
"""The same size that API Gateway allows for one request."""
MAX_CUSTOM_ID = 512
_BOM = b"\xef\xbb\xbf"


class InputRejected(Exception):
    """The input cannot be used as a whole. `message` is for the caller."""

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


class BadLine(Exception):
    """An invalid line, with its `custom_id` if it has one. `readable` is whether it is a JSON object at all."""

    def __init__(self, code: str, message: str, custom_id: str | None, *, readable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.custom_id = custom_id
        self.readable = readable


@dataclass(frozen=True, slots=True)
class Line:
    """One request; `number` is its line number in the input, from 1."""

    number: int
    custom_id: str
    url: str
    body: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that is not blank. `first` is its byte offset in the input, `size` its length without the line break."""

    number: int
    first: int
    size: int
    text: bytes = field(repr=False)


async def raw_lines(chunks: AsyncIterator[bytes], longest: int = MAX_LINE_BYTES) -> AsyncIterator[RawLine]:
    """The lines of a stream that are not blank. Raises InputRejected for one of more than `longest` bytes."""
    number = first = 0
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *complete, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for text in complete:
                number += 1
                _check_length(len(text), longest, number)
                if not is_blank(text):
                    yield RawLine(number, first, len(text), text)
                first += len(text) + 1
        _check_length(len(rest), longest, number + 1)
    if not is_blank(rest):
        yield RawLine(number + 1, first, len(rest), bytes(rest))


def is_blank(text: bytes | bytearray) -> bool:
    return not text or text.isspace()


def _check_length(length: int, longest: int, number: int) -> None:
    if length > longest:
        raise InputRejected("line_too_long", f"A line is longer than {longest // 2**20} MB.", number)


def read_line(number: int, text: bytes, urls: Collection[str], endpoint: str | None) -> Line:
    """The request on a line. `endpoint` is the only one of `urls` that is allowed, None for any. Raises BadLine."""
    try:
        value = read_request(text.removeprefix(_BOM) if number == 1 else text)
    except TooComplex as error:
        raise BadLine("invalid_json_line", f"This line holds {error}.", None, readable=False) from None
    except MalformedRequest:
        raise BadLine("invalid_json_line", "This line is not a JSON object.", None, readable=False) from None
    custom_id = value.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID:
        raise BadLine("invalid_custom_id", f"custom_id: must be a string of 1 to {MAX_CUSTOM_ID} characters", None)

    def bad(field: str, message: str) -> BadLine:
        return BadLine(f"invalid_{field}", f"{field}: {message}", custom_id)

    if value.get("method") != "POST":
        raise bad("method", "must be POST")
    url: Any = value.get("url")
    if not isinstance(url, str) or url not in urls:
        raise bad("url", "must be one of " + ", ".join(sorted(urls)))
    if endpoint not in (None, url):
        raise BadLine("mismatched_endpoint", f"url: must be {endpoint}, the endpoint of this batch", custom_id)
    body = value.get("body")
    if not isinstance(body, dict):
        raise bad("body", "must be an object")
    return Line(number, custom_id, url, body)


def duplicate(custom_id: str, first: int) -> BadLine:
    """The error of a line whose custom_id was first used by the line number `first`."""
    return BadLine("duplicate_custom_id", f"custom_id: already used by line {first}", custom_id)


class CustomIds:
    """The ids seen so far. Only hashes are kept: a hundred thousand take a few megabytes."""

    def __init__(self) -> None:
        self._lines: dict[bytes, int] = {}

    def claim(self, custom_id: str, number: int) -> int:
        """The number of the first line with this id: this one, unless an earlier line has it."""
        digest = hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=16).digest()
        return self._lines.setdefault(digest, number)
