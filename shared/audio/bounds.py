"""An upper bound of how long a recording is.

A caller writes every header, and a vendor charges for what it decodes. So nothing here believes a duration, a bit rate
or a number of samples that a file states: it counts the frames or packets that a decoder can find, and multiplies by
the most that one of them may hold. What can be hidden from it would be hidden from a decoder as well.
"""

import mmap
import struct
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from io import UnsupportedOperation
from os import SEEK_END
from typing import BinaryIO, TypeAlias

Recording: TypeAlias = bytes | mmap.mmap

MAX_STEPS = 500_000
"""What has more packets or headers than this counts as being as long as can be: it was made to take time."""

_LONGEST = 9.5 * 3600
"""What is not known to be shorter counts as this, the longest that any provider takes (Gemini's limit of a prompt)."""
_LEAST_BYTES_PER_SECOND = 1000
"""The lowest rate of MP3: what is so large that it would be longer than the above counts as that."""

_SMALL = 1024 * 1024
"""What is no larger is read: asking a spooled file for its descriptor writes it to disk."""

_MODULES = {
    "audio/wav": "wav",
    "audio/mpeg": "mpeg",
    "audio/aac": "adts",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "mp4",
    "audio/webm": "webm",
}


class Unbounded(Exception):
    """Nothing bounds the recording's length: its codec is not known here, or it has too many parts."""


def longest_seconds(recording: Recording, media_type: str) -> float:
    """How long a recording is at most; where its content does not tell, the longest that any provider takes.

    Takes up to seconds for a recording that was made to take long, in steps of a few milliseconds: to be called in a
    thread.
    """
    most = max(_LONGEST, len(recording) / _LEAST_BYTES_PER_SECOND)
    if (name := _MODULES.get(media_type)) is None:
        return most
    bound: Callable[[Recording, float], float] = import_module(f"shared.audio.{name}").longest_seconds
    try:
        return min(bound(recording, most), most)
    except (Unbounded, IndexError, ValueError, struct.error):
        return most


def longest_seconds_of_file(file: BinaryIO, media_type: str) -> float:
    """The same of an open file, which is not read into memory where it is on disk. Its position is lost."""
    size = file.seek(0, SEEK_END)
    number = _descriptor(file) if size > _SMALL else None
    if number is None:
        file.seek(0)
        return longest_seconds(file.read(), media_type)
    file.flush()
    with closing(mmap.mmap(number, 0, access=mmap.ACCESS_READ)) as recording:
        return longest_seconds(recording, media_type)


def _descriptor(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except (UnsupportedOperation, AttributeError):  # in memory
        return None
