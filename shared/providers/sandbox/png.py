"""A canvas of palette colours that becomes a PNG (https://www.w3.org/TR/png-3/)."""

import struct
import zlib
from collections.abc import Sequence
from typing import TypeAlias

Rgb: TypeAlias = tuple[int, int, int]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3
# The pictures are flat: more effort finds hardly more to save.
_COMPRESSION = 1


class Canvas:
    """`width` times `height` pixels, each the number of a colour; a row per `background` colour, from the top.

    Rows lie in memory as PNG wants them, each behind the byte that names its filter (0: none).
    """

    def __init__(self, width: int, background: Sequence[int]) -> None:
        self.width = width
        self.height = len(background)
        rows = {colour: b"\0" + bytes((colour,)) * width for colour in set(background)}
        self._pixels = bytearray().join(rows[colour] for colour in background)

    def span(self, y: int, left: float, right: float, colour: int) -> None:
        """Colours the pixels of one row from `left` up to `right`; what lies outside of the picture is left out."""
        start, end = max(0, round(left)), min(self.width, round(right))
        if start < end and 0 <= y < self.height:
            offset = y * (self.width + 1) + 1
            self._pixels[offset + start : offset + end] = bytes((colour,)) * (end - start)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: int) -> None:
        for y in range(max(0, round(top)), min(self.height, round(bottom))):
            self.span(y, left, right, colour)

    def png(self, palette: Sequence[Rgb]) -> bytes:
        """The picture as a PNG file; `palette` has at most 256 colours."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, _INDEXED, 0, 0, 0)
        chunks = (
            (b"IHDR", header),
            (b"PLTE", bytes(value for colour in palette for value in colour)),
            (b"IDAT", zlib.compress(self._pixels, _COMPRESSION)),
            (b"IEND", b""),
        )
        return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
