"""FLAC: every frame has a header that says how many samples it holds, and mostly at which rate, with a checksum.

https://www.rfc-editor.org/rfc/rfc9639
"""

import re

from shared.audio.bounds import MAX_STEPS, Recording, Unbounded
from shared.audio.headers import windows

# The sync code; a block size; a rate; channels and bits that are not reserved. Checksums settle the rest.
_HEADER = re.compile(rb"\xff[\xf8\xf9](?=[\x10-\xfe][\x00-\xae])")
_RATES = (0, 88_200, 176_400, 192_000, 8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
_IN_KILOHERTZ, _IN_HERTZ, _IN_TENS, _INVALID_RATE = 12, 13, 14, 15
_SIZE_IN_A_BYTE, _SIZE_IN_TWO = 6, 7
_FIRST_BLOCK, _STREAM_INFO = 4, 0
_RATE_IN_STREAM_INFO = slice(18, 21)


def longest_seconds(recording: Recording, most: float) -> float:
    """The sum of all frames, up to `most`.

    Raises Unbounded where there are too many places to look at, and where the stream's description is not in its place.
    """
    if recording[_FIRST_BLOCK] & 127 != _STREAM_INFO:
        raise Unbounded
    stated = int.from_bytes(recording[_RATE_IN_STREAM_INFO], "big") >> 4
    seconds, left = 0.0, MAX_STEPS
    for start, end in windows(recording):
        for found in _HEADER.finditer(recording, start, end):
            seconds += _seconds(recording[found.start() : found.start() + 16], stated)
            left -= 1
            if left < 0:
                raise Unbounded
        if seconds >= most:
            break
    return seconds


def _seconds(header: bytes, stated: int) -> float:
    """Of one frame; 0 where the bytes cannot be its header. A rate of 0 raises Unbounded."""
    size, rate = header[2] >> 4, header[2] & 15
    at = 4 + _length_of_number(header[4] if len(header) > 4 else 0)
    samples = {1: 192}.get(size) or (576 << size - 2 if size < _SIZE_IN_A_BYTE else 256 << size - 8 if size > 7 else 0)
    if size in (_SIZE_IN_A_BYTE, _SIZE_IN_TWO):
        width = size - 5
        samples = int.from_bytes(header[at : at + width], "big") + 1
        at += width
    hertz = stated if rate == 0 else _RATES[rate] if rate < _IN_KILOHERTZ else 0
    if rate in (_IN_KILOHERTZ, _IN_HERTZ, _IN_TENS):
        width = 1 if rate == _IN_KILOHERTZ else 2
        unit = {_IN_KILOHERTZ: 1000, _IN_HERTZ: 1, _IN_TENS: 10}[rate]
        hertz = int.from_bytes(header[at : at + width], "big") * unit
        at += width
    if rate == _INVALID_RATE or at >= len(header) or _checksum(header[:at]) != header[at]:
        return 0.0
    if not hertz:
        raise Unbounded
    return samples / hertz


def _length_of_number(first: int) -> int:
    """How many bytes the frame's number takes, coded as in UTF-8."""
    return 1 if first < 0x80 else max(1, 8 - (first ^ 0xFF).bit_length())


def _checksum(data: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in data:
        value = _TABLE[value ^ byte]
    return value


def _table() -> bytes:
    table = bytearray()
    for value in range(256):
        for _ in range(8):
            value = value << 1 ^ 0x107 if value & 0x80 else value << 1
        table.append(value)
    return bytes(table)


_TABLE = _table()
