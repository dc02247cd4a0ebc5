"""Where headers may be in a recording: every place that looks like one.

A decoder begins a frame at a valid header and nowhere else, so that the sum over all places which look like one is at
least what it can find. By chance one in some thousand bytes of sound does, which makes the sum a tenth too large.
"""

import re
from collections import Counter
from collections.abc import Iterator

from shared.audio.bounds import Recording

_WINDOW = 256 * 1024
_LONGEST = 16


def windows(recording: Recording) -> Iterator[tuple[int, int]]:
    """Parts of a recording, which overlap by the length of a header: one call of C for all would stop every thread."""
    for at in range(0, len(recording), _WINDOW):
        yield at, min(len(recording), at + _WINDOW + _LONGEST)


def counted(recording: Recording, pattern: re.Pattern[bytes]) -> Iterator[Counter[bytes]]:
    """How often each header occurs, window by window, as the one group of the pattern captures it.

    The pattern consumes no more than the first byte, so that headers may overlap.
    """
    for start, end in windows(recording):
        yield Counter(pattern.findall(recording, start, end))


def find(recording: Recording, name: bytes, start: int = 0) -> int:
    """Where a name is first, -1 if nowhere. In steps, as `windows` has them."""
    for at in range(start, len(recording), _WINDOW):
        if (found := recording.find(name, at, at + _WINDOW + len(name) - 1)) >= 0:
            return found
    return -1
