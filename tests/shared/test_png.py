"""PNG files as they are written, read by Pillow."""

import io

import pytest
from PIL import Image

from shared import png

ROWS = [bytes((0, 1, 2)), bytearray((2, 1, 0))]


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.format == "PNG"
    return picture


@pytest.mark.parametrize("level", [-1, 0, 1, 9])
def test_without_a_palette_a_byte_is_a_shade_of_grey(level: int) -> None:
    picture = opened(png.encode(3, 2, ROWS, level=level))
    assert (picture.mode, picture.size, picture.tobytes()) == ("L", (3, 2), b"\0\1\2\2\1\0")


def test_with_a_palette_a_byte_is_a_colour() -> None:
    red, green, blue = b"\xff\0\0", b"\0\xff\0", b"\0\0\xff"
    picture = opened(png.encode(3, 2, ROWS, palette=red + green + blue))
    assert picture.convert("RGB").tobytes() == red + green + blue + blue + green + red


def test_the_first_colours_are_as_opaque_as_is_said() -> None:
    picture = opened(png.encode(3, 2, ROWS, palette=bytes(9), alphas=b"\x80\0"))
    assert picture.convert("RGBA").getchannel("A").tobytes() == b"\x80\0\xff\xff\0\x80"


def test_the_size_is_read_from_the_first_bytes() -> None:
    data = png.encode(3, 2, ROWS)
    assert png.size(data[: png.HEADER_BYTES]) == (3, 2)
    assert png.size(data[: png.HEADER_BYTES - 1]) is None
    assert png.size(b"GIF89a" + bytes(50)) is None
