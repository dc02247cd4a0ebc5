"""MP4 (M4A, QuickTime): tables say how many samples there are, and descriptions what a sample of each codec holds.

https://developer.apple.com/documentation/quicktime-file-format
"""

import re
from collections.abc import Iterator
from struct import unpack_from

from shared.audio import adts, opus
from shared.audio.bounds import Recording, Unbounded
from shared.audio.headers import find

# How many samples a table announces, by where its number stands behind the table's name.
_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
# What is beside sound in a film.
_SILENT = frozenset(
    b"avc1 avc3 hvc1 hev1 dvh1 dvhe vp08 vp09 av01 mp4v s263 jpeg mjpa mjpb "
    b"tmcd text tx3g c608 mett metx mebx gpmd fdsc".split()
)
_ESCAPED_TYPE, _UNIFIED_SPEECH = 31, 42
_MOST_TABLES = 100_000
_MOST_CODECS = 1000
# The descriptor of a decoder: its type, and what configures it. Lengths take up to four bytes.
_LENGTH = rb"[\x80-\xff]{0,3}[\x00-\x7f]"
_DECODER = re.compile(
    rb"esds.{4}\x03" + _LENGTH + rb".{2}\x00\x04" + _LENGTH + rb"(.).{12}\x05" + _LENGTH + rb"(.{5})", re.DOTALL
)
_AAC = 0x40


def longest_seconds(recording: Recording, most: float) -> float:
    """As many samples as all tables announce, each as long as those of the slowest codec.

    Raises Unbounded for codecs that are not known, for a compressed movie header, and for too many tables.
    """
    if find(recording, b"cmov") >= 0:
        raise Unbounded
    seconds = max(_sample_seconds(recording), default=0.0)
    if not seconds:
        raise Unbounded
    samples = sum(
        unpack_from(">I", recording, at + 4 + offset)[0]
        for name, offset in _COUNTS.items()
        for at in _all(recording, name)
        if at + 8 + offset <= len(recording)
    )
    return float(samples * seconds)


def _all(recording: Recording, name: bytes) -> Iterator[int]:
    at = find(recording, name)
    for _ in range(_MOST_TABLES):
        if at < 0:
            return
        yield at
        at = find(recording, name, at + 4)
    raise Unbounded


def _sample_seconds(recording: Recording) -> Iterator[float]:
    """Of every codec of sound that the file describes."""
    left = _MOST_CODECS
    for at in _all(recording, b"stsd"):
        (entries,) = unpack_from(">I", recording, at + 8)
        place = at + 12
        for _ in range(entries):
            left -= 1
            if left < 0:
                raise Unbounded
            size, codec = unpack_from(">I4s", recording, place)
            if codec not in _SILENT:
                yield _seconds(codec, recording[place : place + min(size, 4096)])
            place += max(8, size)


def _seconds(codec: bytes, entry: bytes) -> float:
    match codec:
        case b"mp4a":
            return _of_aac(entry)
        case b"alac":
            cookie = entry.index(b"alac", 8)
            frame, rate = unpack_from(">I", entry, cookie + 8)[0], unpack_from(">I", entry, cookie + 28)[0]
            return float(frame / rate) if rate else _unbounded()
        case b"Opus":
            return opus.LONGEST_PACKET
        case _:
            return _unbounded()


def _of_aac(entry: bytes) -> float:
    """By the configuration from which a decoder takes the rate; the entry's own rate may be another."""
    found = _DECODER.search(entry)
    if found is None or found[1][0] != _AAC:
        return _unbounded()
    bits = int.from_bytes(found[2], "big")
    kind, used = bits >> 35, 5
    if kind == _ESCAPED_TYPE:
        kind, used = 32 + (bits >> 29 & 63), 11
    index = bits >> 40 - used - 4 & 15
    rate = bits >> 40 - used - 28 & 0xFFFFFF if index == 15 and used == 5 else 0
    rate = adts.RATES[index] if index < len(adts.RATES) else rate
    if kind == _UNIFIED_SPEECH or not rate:
        return _unbounded()
    return adts.SAMPLES / rate


def _unbounded() -> float:
    raise Unbounded
