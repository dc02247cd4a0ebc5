"""WAV files: a header that holds a comment, and what a header tells.

Follows the Multimedia Programming Interface and Data Specifications 1.0 by IBM and Microsoft
(https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/Docs/riffmci.pdf): chunks "fmt ", "LIST" of type INFO with
the software (ISFT) and a comment (ICMT), and "data".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

RATE = 24_000
_SAMPLE_BYTES = 2
_PCM = 1
_SOFTWARE = b"sandbox speech"
# The size of data whose writer did not know it beforehand.
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
# Room for the longest comment. Where this much has come and no sound, none is waited for.
_LONGEST_HEADER = 1 << 17
_MOST_CHUNKS = 100


@dataclass(frozen=True, slots=True)
class Wav:
    """`start` is the offset of the sound, `size` its bytes as the header has them, 0 where it does not know.
    `spoken` is the comment of a file that the sandbox has made.
    """

    byte_rate: int
    start: int
    size: int
    spoken: str | None = None


def header(data_bytes: int, spoken: str) -> bytes:
    """What goes before that many bytes of sound: 24 kHz, 16 bits, mono; `spoken` is kept as the file's comment."""
    form = struct.pack("<HHIIHH", _PCM, 1, RATE, RATE * _SAMPLE_BYTES, _SAMPLE_BYTES, 8 * _SAMPLE_BYTES)
    info = b"INFO" + _chunk(b"ISFT", _SOFTWARE + b"\0") + _chunk(b"ICMT", spoken.encode() + b"\0")
    head = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"LIST", info) + struct.pack("<4sI", b"data", data_bytes)
    return struct.pack("<4sI", b"RIFF", len(head) + data_bytes) + head


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def read(data: bytes) -> Wav | None:
    """What the header tells; None where the sound has not begun yet. Raises ValueError where it is no WAV file."""
    if not (b"RIFF" + data[4:8] + b"WAVE").startswith(data[:12]):
        raise ValueError("not a WAV file")
    byte_rate, spoken = 0, None
    for name, start, size in islice(_chunks(data, 12), _MOST_CHUNKS):
        if name == b"data":
            return Wav(byte_rate, start, 0 if size in _UNKNOWN_SIZES else size, spoken)
        if name == b"fmt " and size >= 16 and start + 16 <= len(data):
            (byte_rate,) = struct.unpack_from("<I", data, start + 8)
        elif name == b"LIST" and size <= _LONGEST_HEADER and start + size <= len(data):
            spoken = _spoken(data[start : start + size])
    if len(data) > _LONGEST_HEADER:
        raise ValueError("a WAV file without sound")
    return None


def _chunks(data: bytes, offset: int) -> Iterator[tuple[bytes, int, int]]:
    """Names, starts and sizes of the chunks whose heads are there."""
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        yield name, offset + 8, size
        offset += 8 + size + size % 2


def _spoken(info: bytes) -> str | None:
    chunks = islice(_chunks(info, 4), _MOST_CHUNKS)
    found = {name: info[start : start + size].removesuffix(b"\0") for name, start, size in chunks}
    if found.get(b"ISFT") != _SOFTWARE or b"ICMT" not in found:
        return None
    return found[b"ICMT"].decode(errors="replace")
