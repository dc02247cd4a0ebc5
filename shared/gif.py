"""The first frame of a GIF as a PNG, for vendors that refuse GIF; in pure Python, so that no wheel has to be shipped.

Follows https://www.w3.org/Graphics/GIF/spec-gif89a.txt.
"""

from collections.abc import Iterator, Sequence
from struct import unpack_from

from shared import png
from shared.dataclass import dataclass

# Bounds memory: two bytes a pixel.
MAX_PIXELS = 25_000_000
# Bounds time: each code takes a quarter of a microsecond, whether it stands for one pixel, as in noise, or for none.
MAX_CODES_READ = 10_000_000
# Blocks before and of the first frame. Encoders fill them: so many hold 60 MB.
MAX_BLOCKS = 250_000

_IMAGE = 0x2C
_EXTENSION = 0x21
_GRAPHIC_CONTROL = 0xF9

_MAX_CODE_BITS = 12
_MAX_CODES = 1 << _MAX_CODE_BITS
_GREY_RAMP = bytes(level for level in range(256) for _ in range(3))

# Where the four passes of an interlaced frame start, and the distance of their rows.
_PASSES = ((0, 8), (4, 8), (2, 4), (1, 2))


@dataclass(slots=True)
class _Frame:
    """The first frame: where it lies on a screen of `screen_width` by `screen_height`, and its parts still coded."""

    screen_width: int
    screen_height: int
    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    palette: bytes
    transparent: int | None
    code_bits: int
    codes: bytes


def first_frame_png(data: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """The first frame of a GIF, drawn on its logical screen, as a PNG with a palette.

    What the frame does not cover is transparent, as in browsers; so is what is missing when the image data breaks
    off. Takes up to three seconds of CPU time and must be called in a thread where others wait.

    Raises ValueError on anything that is not a GIF with a first frame, and on one whose screen has more than
    `max_pixels`, or which has more blocks or codes than an encoder would make. Its message may be shown to a caller.
    """
    frame = _first_frame(data, max_pixels)
    pixels = _lzw_decode(frame.codes, frame.code_bits, frame.width * frame.height)
    return _png(frame, pixels)


def _first_frame(data: bytes, max_pixels: int) -> _Frame:
    reader = _Reader(data)
    if reader.take(6) not in (b"GIF87a", b"GIF89a"):
        raise ValueError("is not a GIF")
    screen_width, screen_height, flags, _background, _aspect = unpack_from("<HHBBB", reader.take(7))
    palette = reader.take(_palette_size(flags))
    transparent = None
    while (introducer := reader.byte()) != _IMAGE:
        if introducer == _EXTENSION:
            label, blocks = reader.byte(), reader.sub_blocks()
            if label == _GRAPHIC_CONTROL and len(blocks) >= 4:
                transparent = blocks[3] if blocks[0] & 1 else None
        elif introducer != 0:  # stray zeros are a common encoder's fault
            raise ValueError("is a GIF without an image")
        reader.count_block()
    left, top, width, height, flags = unpack_from("<HHHHB", reader.take(9))
    palette = reader.take(_palette_size(flags)) or palette or _GREY_RAMP
    # A first frame larger than its screen enlarges the screen, as in browsers.
    screen_width, screen_height = max(screen_width, left + width), max(screen_height, top + height)
    if not width or not height:
        raise ValueError("is a GIF without pixels")
    if screen_width * screen_height > max_pixels:
        raise ValueError(f"is a GIF of more than {max_pixels / 1e6:g} million pixels")
    code_bits = reader.byte()
    if not 1 <= code_bits <= 8:
        raise ValueError("is a damaged GIF")
    return _Frame(
        screen_width=screen_width,
        screen_height=screen_height,
        left=left,
        top=top,
        width=width,
        height=height,
        interlaced=bool(flags & 0x40),
        palette=palette,
        transparent=transparent,
        code_bits=code_bits,
        codes=reader.sub_blocks(),
    )


def _palette_size(flags: int) -> int:
    """The size in bytes of the colour table that a descriptor's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


class _Reader:
    """Reads a file from its start; what lies past its end raises ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._blocks = 0

    def count_block(self) -> None:
        self._blocks += 1
        if self._blocks > MAX_BLOCKS:
            raise ValueError("is a GIF of too many blocks")

    def take(self, size: int) -> bytes:
        start = self._position
        self._position += size
        if self._position > len(self._data):
            raise ValueError("is a GIF that breaks off")
        return self._data[start : self._position]

    def byte(self) -> int:
        return self.take(1)[0]

    def sub_blocks(self) -> bytes:
        """The content of data sub-blocks up to their terminator, or as far as there is any."""
        data, position = self._data, self._position
        content = bytearray()
        while position < len(data) and (size := data[position]):
            content += data[position + 1 : position + 1 + size]
            position += 1 + size
            self.count_block()
        self._position = position + 1
        return bytes(content)


def _lzw_decode(codes: bytes, code_bits: int, count: int) -> bytearray:
    """The first `count` pixels, fewer where the data breaks off or is damaged; ValueError where there is none.

    One flat loop with everything in locals, since it runs once a code and is nearly all of the time.
    """
    clear = 1 << code_bits
    end = clear + 1
    roots = [bytes((value,)) for value in range(clear)] + [b"", b""]
    table = roots.copy()
    previous = b""
    bits = code_bits + 1
    mask = (1 << bits) - 1
    pixels = bytearray()
    buffer = held = position = 0
    # A pixel takes twelve bits at most, clear codes a few more: what is longer is made to waste time.
    size = min(len(codes), 2 * count + 64)
    left = MAX_CODES_READ
    while len(pixels) < count:
        if held < bits:
            if position >= size:
                break
            # Six bytes at a time; past the end they are fewer, and the zeros read in their place are cut off below.
            buffer |= int.from_bytes(codes[position : position + 6], "little") << held
            held += 8 * min(6, size - position)
            position += 6
            if held < bits:
                break
        left -= 1
        if left < 0:
            raise ValueError("is a GIF that takes too long to read")
        code = buffer & mask
        buffer >>= bits
        held -= bits
        known = len(table)
        if code < clear or end < code < known:
            entry = table[code]
        elif code == clear:
            table = roots.copy()
            previous = b""
            bits = code_bits + 1
            mask = (1 << bits) - 1
            continue
        elif code == known and previous:
            entry = previous + previous[:1]
        else:  # the end code, or one that cannot be
            break
        if previous and known < _MAX_CODES:
            table.append(previous + entry[:1])
            if known == mask and bits < _MAX_CODE_BITS:
                bits += 1
                mask = (1 << bits) - 1
        pixels += entry
        previous = entry
    if not pixels:
        raise ValueError("is a GIF without pixels")
    del pixels[count:]
    return pixels


def _png(frame: _Frame, pixels: bytearray) -> bytes:
    missing = frame.width * frame.height - len(pixels)
    is_covered = not missing and (frame.width, frame.height) == (frame.screen_width, frame.screen_height)
    transparent = frame.transparent
    if transparent is None and not is_covered:
        # A colour that no pixel has stands for "nothing here". Where all 256 are in use, the first one fills the rest.
        transparent = next((index for index in range(256) if index not in pixels), None)
    blank = bytes((transparent or 0,))
    pixels += blank * missing
    return png.encode(
        frame.screen_width,
        frame.screen_height,
        _rows(frame, pixels, blank),
        palette=frame.palette.ljust(768, b"\0"),
        alphas=b"" if transparent is None else b"\xff" * transparent + b"\0",
    )


def _rows(frame: _Frame, pixels: bytearray, blank: bytes) -> Iterator[bytes]:
    """The screen's rows from top to bottom."""
    stored = memoryview(pixels)
    order = _stored_rows(frame)
    before = blank * frame.left
    after = blank * (frame.screen_width - frame.left - frame.width)
    empty = blank * frame.screen_width
    for y in range(frame.screen_height):
        if frame.top <= y < frame.top + frame.height:
            start = order[y - frame.top] * frame.width
            yield b"".join((before, stored[start : start + frame.width], after))
        else:
            yield empty


def _stored_rows(frame: _Frame) -> Sequence[int]:
    """For each row of the frame from top to bottom, its place in the order in which rows are stored."""
    if not frame.interlaced:
        return range(frame.height)
    object_keys = [0] * frame.height
    for place, y in enumerate(y for start, step in _PASSES for y in range(start, frame.height, step)):
        object_keys[y] = place
    return object_keys
