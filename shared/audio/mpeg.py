"""MPEG audio, MP3 above all: every frame has a header that says how many samples it holds, and at which rate.

http://www.mp3-tech.org/programmer/frame_header.html
"""

import re

from shared.audio.bounds import Recording, Unbounded
from shared.audio.headers import counted

_RATES = (44_100, 48_000, 32_000)
# By the bits of the version: what the rates of MPEG 1 are divided by. MPEG 2.5, reserved, MPEG 2, MPEG 1.
_DIVISORS = (4, 0, 2, 1)
_RESERVED_VERSION = 1
_MOST_TAGS = 16
_PADDING = re.compile(rb"\x00{0,65536}+")


def _second_bytes() -> bytes:
    versions = (version for version in range(4) if version != _RESERVED_VERSION)
    layers = (1, 2, 3)
    return bytes(0xE0 | version << 3 | layer << 1 | crc for version in versions for layer in layers for crc in (0, 1))


def _third_bytes() -> bytes:
    """With a bit rate, also a free one, and a sampling rate."""
    return bytes(byte for byte in range(256) if byte >> 4 != 15 and byte >> 2 & 3 != 3)


_HEADER = re.compile(b"\xff(?=([" + re.escape(_second_bytes()) + b"][" + re.escape(_third_bytes()) + b"]))")


def longest_seconds(recording: Recording, most: float) -> float:
    """The sum of all frames, up to `most`. Raises Unbounded where something else than a frame follows the ID3 tags."""
    if not _HEADER.match(recording, _end_of_tags(recording)):
        raise Unbounded  # decoders look behind the tags for every format they know
    seconds = 0.0
    for headers in counted(recording, _HEADER):
        seconds += sum(count * _seconds(header) for header, count in headers.items())
        if seconds >= most:
            break
    return seconds


def _end_of_tags(recording: Recording) -> int:
    """Where the ID3v2 tags at the beginning end, with zeros that pad them: https://id3.org/id3v2.4.0-structure."""
    end = 0
    for _ in range(_MOST_TAGS):
        head = recording[end : end + 10]
        if not head.startswith(b"ID3") or len(head) < 10:
            break
        has_footer = head[5] & 0x10
        end += 20 if has_footer else 10
        end += (head[6] & 127) << 21 | (head[7] & 127) << 14 | (head[8] & 127) << 7 | head[9] & 127
    padding = _PADDING.match(recording, end)
    return padding.end() if padding else end


def _seconds(header: bytes) -> float:
    """Of one frame, by the second and third byte of its header."""
    version, layer, rate = header[0] >> 3 & 3, header[0] >> 1 & 3, header[1] >> 2 & 3
    divisor = _DIVISORS[version]
    is_half = layer == 1 and divisor > 1  # Layer III of MPEG 2 and 2.5
    samples = 384 if layer == 3 else 576 if is_half else 1152
    return samples * divisor / _RATES[rate]
