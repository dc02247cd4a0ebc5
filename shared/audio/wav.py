"""WAV: as many samples as its bytes hold, by the numbers from which a decoder reads them.

https://learn.microsoft.com/windows/win32/api/mmreg/ns-mmreg-waveformatextensible
"""

from struct import unpack_from

from shared.audio.bounds import Recording, Unbounded

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_MOST_CHUNKS = 10_000


def longest_seconds(recording: Recording, most: float) -> float:
    """By the slowest of the formats that the file names. Raises Unbounded for a compressed one."""
    return len(recording) / min(_rates(recording))


def _rates(recording: Recording) -> list[float]:
    """Bytes a second of each format. The field that states them is not looked at: decoders do not either."""
    rates, at = [], 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(recording):
            break
        kind, size = unpack_from("<4sI", recording, at)
        if kind == b"fmt ":
            rates.append(_rate(recording, at + 8, size))
        at += 8 + size + size % 2
    else:
        raise Unbounded
    if not rates:
        raise Unbounded
    return rates


def _rate(recording: Recording, at: int, size: int) -> float:
    if size < 16 or at + size > len(recording):
        raise Unbounded
    tag, channels, samples, _stated, _block, bits = unpack_from("<HHIIHH", recording, at)
    if tag == _EXTENSIBLE and size >= 26:
        (tag,) = unpack_from("<H", recording, at + 24)  # what the sub-format's GUID begins with
    if tag not in (_PCM, _FLOAT, _A_LAW, _MU_LAW):
        raise Unbounded
    return float(max(1, channels) * max(1, samples) * max(1, bits // 8))
