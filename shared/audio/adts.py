"""AAC in ADTS: every frame has a header that says how many blocks of samples it holds, and at which rate.

https://wiki.multimedia.cx/index.php/ADTS
"""

import re

from shared.audio.bounds import Recording
from shared.audio.headers import counted

SAMPLES = 1024
"""The most of a block. What SBR adds are higher frequencies, not time."""
RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350)
"""By the index in headers."""

_HEADER = re.compile(rb"\xff(?=([\xf0\xf1\xf8\xf9][^\xff].{4}))", re.DOTALL)


def longest_seconds(recording: Recording, most: float) -> float:
    """The sum of all frames, up to `most`."""
    seconds = 0.0
    for headers in counted(recording, _HEADER):
        seconds += sum(count * _seconds(header) for header, count in headers.items())
        if seconds >= most:
            break
    return seconds


def _seconds(header: bytes) -> float:
    """Of one frame, by the second to seventh byte of its header; 0 where they cannot be one."""
    rate = header[1] >> 2 & 15
    length = (header[2] & 3) << 11 | header[3] << 3 | header[4] >> 5
    if rate >= len(RATES) or length < 7:
        return 0.0
    blocks = 1 + (header[5] & 3)
    return blocks * SAMPLES / RATES[rate]
