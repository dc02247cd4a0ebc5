"""What can be told of media at a glance: type, pixel size and weight."""

import binascii
import struct
from base64 import b64decode
from typing import assert_never

from shared.schemas.content import Audio, File, Image, Inline, Remote


def describe(part: Image | Audio | File) -> str:
    """One noun phrase, such as `an image (image/png, 64x48 pixels, 123 bytes)`."""
    match part:
        case Image():
            return _describe_image(part.source)
        case Audio():
            return f"a recording ({part.format}, {len(_decoded(part.data))} bytes)"
        case File():
            name = f' "{part.name}"' if part.name else ""
            return f"a file{name} ({part.source.media_type}, {len(_decoded(part.source.data))} bytes)"
        case _:
            assert_never(part)


def _describe_image(source: Inline | Remote) -> str:
    if isinstance(source, Remote):
        return "an image at a URL"
    data = _decoded(source.data)
    size = pixel_size(data)
    pixels = f"{size[0]}x{size[1]} pixels" if size else "of unknown size"
    return f"an image ({source.media_type}, {pixels}, {len(data)} bytes)"


def _decoded(data: str) -> bytes:
    try:
        return b64decode(data)
    except binascii.Error:
        return b""


def pixel_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, GIF, JPEG or WebP by its header; None for anything else."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _two(">II", data, 16)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return _two("<HH", data, 6)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
    except struct.error:  # shorter than its header
        return None
    return None


def _two(layout: str, data: bytes, offset: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, data, offset)
    return first, second


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """The size in the frame header (SOF0 to SOF15), which follows any number of other segments."""
    offset = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, offset)
        if marker == 0xFFFF:  # a fill byte before the marker
            offset += 1
        elif 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            height, width = _two(">HH", data, offset + 5)
            return width, height
        elif marker < 0xFFC0 or marker == 0xFFDA:  # no marker at all, or the image itself has begun
            return None
        else:
            offset += 2 + length


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """The size of each of WebP's three forms: lossy, lossless and extended."""
    match data[12:16]:
        case b"VP8 ":
            width, height = _two("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            wide, high = data[24:27], data[27:30]
            if len(high) < 3:
                return None
            return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
        case _:
            return None
