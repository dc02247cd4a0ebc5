"""Writes PNG files and reads their size, in pure Python, which saves a dependency.

Follows https://www.w3.org/TR/png-3/.
"""

import zlib
from collections.abc import Iterable
from struct import pack, unpack_from

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# How much of a file `size` needs.
HEADER_BYTES = 24

_GREY, _PALETTE = 0, 3


def encode(
    width: int,
    height: int,
    rows: Iterable[bytes | bytearray],
    *,
    palette: bytes = b"",
    alphas: bytes = b"",
    level: int = -1,
) -> bytes:
    """An 8-bit image whose `rows`, from the top, hold one byte per pixel: a shade of grey or an index in the palette.

    `palette` holds three bytes per colour: red, green, blue. `alphas` is the opacity of its first colours; the others
    are opaque. `level` is zlib's.
    """
    header = pack(">IIBBBBB", width, height, 8, _PALETTE if palette else _GREY, 0, 0, 0)
    return b"".join(
        (
            SIGNATURE,
            *_chunk(b"IHDR", header),
            *(_chunk(b"PLTE", palette) if palette else ()),
            *(_chunk(b"tRNS", alphas) if alphas else ()),
            *_chunk(b"IDAT", _compressed(rows, level)),
            *_chunk(b"IEND", b""),
        )
    )


def size(head: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG by its first `HEADER_BYTES` bytes; None for anything else."""
    if len(head) < HEADER_BYTES or not head.startswith(SIGNATURE):
        return None
    width, height = unpack_from(">II", head, 16)
    return width, height


def _compressed(rows: Iterable[bytes | bytearray], level: int) -> bytes:
    compressor = zlib.compressobj(level)
    pieces: list[bytes] = []
    for row in rows:
        # Filter type 0, none, suits flat images and palettes best.
        pieces += compressor.compress(b"\0"), compressor.compress(row)
    return b"".join((*pieces, compressor.flush()))


def _chunk(kind: bytes, content: bytes) -> tuple[bytes, ...]:
    """The pieces of one chunk, not joined here since `content` may be large."""
    return pack(">I", len(content)), kind, content, pack(">I", zlib.crc32(content, zlib.crc32(kind)))
