"""MPEG audio, MP3 above all: every frame has a header that says how many samples it holds, and at which rate.

http://www.mp3-tech.org/programmer/frame_header.html
"""

import re

from shared.audio.bounds import Recording
from shared.audio.headers import counted

_RATES = (44_100, 48_000, 32_000)
# By the bits of the version: what the rates of MPEG 1 are divided by. MPEG 2.5, reserved, MPEG 2, MPEG 1.
_DIVISORS = (4, 0, 2, 1)
_RESERVED_VERSION = 1


def _second_bytes() -> bytes:
    versions = (version for version in range(4) if version != _RESERVED_VERSION)
    return bytes(0xE0 | version << 3 | layer << 1 | crc for version in versions for layer in (1, 2, 3) for crc in (0, 1))


def _third_bytes() -> bytes:
    """With a bit rate, also a free one, and a sampling rate."""
    return bytes(byte for byte in range(256) if byte >> 4 != 15 and byte >> 2 & 3 != 3)


_HEADER = re.compile(b"\xff(?=([" + re.escape(_second_bytes()) + b"][" + re.escape(_third_bytes()) + b"]))")


def longest_seconds(recording: Recording, most: float) -> float:
    """The sum of all frames, up to `most`."""
    seconds = 0.0
    for headers in counted(recording, _HEADER):
        seconds += sum(count * _seconds(header) for header, count in headers.items())
        if seconds >= most:
            break
    return seconds


def _seconds(header: bytes) -> float:
    """Of one frame, by the second and third byte of its header."""
    version, layer, rate = header[0] >> 3 & 3, header[0] >> 1 & 3, header[1] >> 2 & 3
    divisor = _DIVISORS[version]
    is_half = layer == 1 and divisor > 1  # Layer III of MPEG 2 and 2.5
    samples = 384 if layer == 3 else 576 if is_half else 1152
    return samples * divisor / _RATES[rate]
