"""Converts the transparency of a PNG mask to brightness, for vendors that read masks so; in pure Python, which saves a
dependency.

Follows https://www.w3.org/TR/png-3/.
"""

import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from struct import unpack, unpack_from

from shared import png
from shared.dataclass import dataclass

# Bounds time: a second per 5 million pixels of noise, the worst case, on a desktop. Stability takes no larger images.
MAX_PIXELS = 9_437_184

# Bounds the time that is spent on rows, however few pixels they have.
_MAX_SIDE = 65_535

# Encoders make chunks of 8 KB and more: so many hold 800 MB.
_MAX_CHUNKS = 100_000

# About so many bytes of pixels are unpacked at a time.
_BLOCK_BYTES = 1 << 20

_PALETTE = 3
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), _PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

# The samples of a pixel in the colour types that have an alpha channel; alpha is the last one.
_CHANNELS = {4: 2, 6: 4}

_INVERTED = bytes(range(255, -1, -1))


@dataclass(slots=True)
class _Picture:
    """A PNG's header, the content of its chunk tRNS, if any, and its pixels still compressed."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool
    transparency: bytes | None = None
    compressed: bytes = b""


@dataclass(slots=True)
class _Lane:
    """Which bytes of a row hold alpha: every `step`th one from `offset` on, in a row of `row_size` bytes.

    Each of them holds as many pixels as there are `tables`, which map it to the brightness of the first pixel, the
    second and so on.
    """

    offset: int
    step: int
    row_size: int
    tables: Sequence[bytes]


def has_alpha(data: bytes) -> bool:
    """Whether a PNG can have transparent pixels. Reads only what precedes its pixels.

    Raises ValueError if that is damaged or not a PNG. Its message may be shown to a caller.
    """
    picture = _read(data, header_only=True)
    return picture.colour_type in _CHANNELS or picture.transparency is not None


def brightness_mask(data: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """An 8-bit greyscale PNG of the same size, as bright as the PNG given is transparent: 255 less alpha.

    Takes CPU time in proportion to the pixels and must be called in a thread where others wait.

    Raises ValueError on anything that is not a whole PNG with an alpha channel or a palette, on an interlaced one,
    and on one of more than `max_pixels`. Its message may be shown to a caller.
    """
    picture = _read(data)
    if picture.width * picture.height > max_pixels:
        raise ValueError(f"is a PNG of more than {max_pixels} pixels")
    if max(picture.width, picture.height) > _MAX_SIDE:
        raise ValueError(f"is a PNG of more than {_MAX_SIDE} pixels a side")
    if picture.interlaced:
        raise ValueError("is an interlaced PNG: save it without interlacing")
    # Masks are flat: unfiltered rows shrink well.
    return png.encode(picture.width, picture.height, _rows(picture, _lane(picture)))


def _read(data: bytes, *, header_only: bool = False) -> _Picture:
    """The parts of a PNG that tell its alpha; with `header_only`, without its pixels."""
    chunks = _chunks(data)
    kind, content = next(chunks)
    if kind != b"IHDR" or len(content) != 13:
        raise ValueError("is a damaged PNG")
    width, height, depth, colour_type, compression, filtering, interlacing = unpack(">IIBBBBB", content)
    if not width or not height or depth not in _DEPTHS.get(colour_type, ()) or compression or filtering:
        raise ValueError("is a damaged PNG")
    picture = _Picture(width, height, depth, colour_type, interlaced=interlacing != 0)
    pieces = []
    for kind, content in chunks:
        if kind == b"IDAT":
            if header_only:
                break
            pieces.append(content)
        elif kind == b"tRNS":
            picture.transparency = bytes(content)
    picture.compressed = b"".join(pieces)
    return picture


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The kind and content of each chunk up to the last one, IEND."""
    if not data.startswith(png.SIGNATURE):
        raise ValueError("is not a PNG")
    view = memoryview(data)
    position = len(png.SIGNATURE)
    kind = b""
    left = _MAX_CHUNKS
    while kind != b"IEND":
        left -= 1
        if left < 0:
            raise ValueError("is a PNG of too many chunks")
        if position + 12 > len(data):
            raise ValueError("is a truncated PNG")
        size, kind = unpack_from(">I4s", data, position)
        end = position + 8 + size
        if end + 4 > len(data):
            raise ValueError("is a truncated PNG")
        if zlib.crc32(view[position + 4 : end]) != unpack_from(">I", data, end)[0]:
            raise ValueError("is a damaged PNG")
        yield kind, view[position + 8 : end]
        position = end + 4


def _lane(picture: _Picture) -> _Lane:
    if picture.colour_type == _PALETTE:
        pixels = 8 // picture.depth
        row_size = -(-picture.width // pixels)
        return _Lane(offset=0, step=1, row_size=row_size, tables=_palette_tables(picture))
    if picture.colour_type not in _CHANNELS:
        raise ValueError("is a PNG without an alpha channel: save it with one")
    # Of 16 bits the upper 8 are enough; as filters work on bytes, the lower ones have no part in them.
    sample = picture.depth // 8
    pixel = _CHANNELS[picture.colour_type] * sample
    return _Lane(offset=pixel - sample, step=pixel, row_size=picture.width * pixel, tables=(_INVERTED,))


def _palette_tables(picture: _Picture) -> list[bytes]:
    """For each pixel in a byte, from the left, its brightness by the byte's value. Colours without alpha are opaque."""
    brightness = (picture.transparency or b"")[:256].translate(_INVERTED).ljust(256, b"\0")
    last = (1 << picture.depth) - 1
    shifts = range(8 - picture.depth, -1, -picture.depth)
    return [bytes(brightness[value >> shift & last] for value in range(256)) for shift in shifts]


# --- pixels


def _rows(picture: _Picture, lane: _Lane) -> Iterator[bytes]:
    """The brightness of each row from top to bottom, a byte a pixel."""
    pixels = len(lane.tables)
    stride = 1 + lane.row_size
    above = blank = bytes(lane.row_size // lane.step)
    for block in _blocks(picture.compressed, stride, picture.height):
        for start in range(0, len(block), stride):
            coded = block[start + 1 + lane.offset : start + stride : lane.step]
            above = _unfiltered(block[start], coded, above, blank)
            row = bytearray(len(above) * pixels)
            for at, table in enumerate(lane.tables):
                row[at::pixels] = above.translate(table)
            yield bytes(row[: picture.width])


def _blocks(compressed: bytes, stride: int, height: int) -> Iterator[bytes]:
    """Exactly `height` rows of `stride` bytes, some at a time. Never more is unpacked, whatever there is."""
    inflater = zlib.decompressobj()
    rows = max(1, _BLOCK_BYTES // stride)
    try:
        for first in range(0, height, rows):
            size = stride * min(rows, height - first)
            block = inflater.decompress(compressed, size)
            if len(block) < size:
                raise ValueError("is a damaged PNG")
            yield block
            compressed = inflater.unconsumed_tail
        # What is left is the checksum.
        if inflater.decompress(compressed, 1) or not inflater.eof:
            raise ValueError("is a damaged PNG")
    except zlib.error:
        raise ValueError("is a damaged PNG") from None


def _unfiltered(filter_type: int, coded: bytes, above: bytes, blank: bytes) -> bytes:
    """A row of one channel, by the row above it. `blank` is a row of zeros."""
    match filter_type:
        case 0:
            return coded
        case 1:
            return bytes(value & 255 for value in accumulate(coded))
        case 2 | 4 if coded == blank:  # the usual row of a mask: like the one above it
            return above
        case 2:
            return bytes((value + up) & 255 for value, up in zip(coded, above, strict=True))
        case 3:
            return _average(coded, above)
        case 4:
            return _paeth(coded, above)
        case _:
            raise ValueError("is a damaged PNG")


def _average(coded: bytes, above: bytes) -> bytes:
    row = bytearray()
    left = 0
    for value, up in zip(coded, above, strict=True):
        left = (value + (left + up >> 1)) & 255
        row.append(left)
    return bytes(row)


def _paeth(coded: bytes, above: bytes) -> bytes:
    row = bytearray()
    left = corner = 0
    for value, up in zip(coded, above, strict=True):
        # Two short cuts to what the distances below would say; they hold nearly everywhere in a mask.
        if left == corner:
            predicted = up
        elif up == corner:
            predicted = left
        else:
            from_left, from_up, from_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            if from_left <= from_up and from_left <= from_corner:
                predicted = left
            else:
                predicted = up if from_up <= from_corner else corner
        left = (value + predicted) & 255
        corner = up
        row.append(left)
    return bytes(row)
