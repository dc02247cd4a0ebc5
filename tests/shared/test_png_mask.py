"""Masks by transparency as masks by brightness, with Pillow as the judge of pixels, and on their way to vendors."""

import io
import random
import tracemalloc
import zlib
from struct import pack

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from shared.errors import InvalidRequest
from shared.png_mask import MAX_PIXELS, brightness_mask, has_alpha
from shared.stores.keys import KeyStore
from tests.client import gateway_client

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def chunk(kind: bytes, content: bytes) -> bytes:
    return pack(">I", len(content)) + kind + content + pack(">I", zlib.crc32(kind + content))


def row_size(width: int, colour_type: int, depth: int) -> int:
    return -(-width * CHANNELS[colour_type] * depth // 8)


def png(
    size: tuple[int, int],
    rows: bytes,
    colour_type: int = RGBA,
    depth: int = 8,
    *,
    interlaced: int = 0,
    transparency: bytes | None = None,
    compressed: bytes | None = None,
    piece: int = 1 << 20,
) -> bytes:
    """A PNG put together by hand: `rows` are filtered already, and go into chunks of `piece` bytes."""
    header = pack(">IIBBBBB", *size, depth, colour_type, 0, 0, interlaced)
    stream = zlib.compress(rows) if compressed is None else compressed
    palette = bytes(range(256)) * 3
    return b"".join(
        (
            SIGNATURE,
            chunk(b"IHDR", header),
            chunk(b"tEXt", b"Comment\0IDAT"),
            chunk(b"PLTE", palette[: 3 << depth]) if colour_type == PALETTE else b"",
            chunk(b"tRNS", transparency) if transparency is not None else b"",
            *(chunk(b"IDAT", stream[start : start + piece]) for start in range(0, len(stream), piece)),
            chunk(b"IEND", b""),
        )
    )


def expected(data: bytes) -> tuple[tuple[int, int], bytes]:
    """Size and brightness that the mask of a PNG must have, by what Pillow reads in it."""
    image = Image.open(io.BytesIO(data))
    return image.size, bytes(255 - alpha for alpha in image.convert("RGBA").getchannel("A").tobytes())


def converted(data: bytes) -> tuple[tuple[int, int], bytes]:
    image = Image.open(io.BytesIO(brightness_mask(data)))
    assert (image.format, image.mode, image.info) == ("PNG", "L", {})
    return image.size, image.tobytes()


def written(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def drawing(mode: str, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Opaque, with a hole of soft edges."""
    alpha = Image.new("L", size, 255)
    for step in range(min(size) // 4):
        ImageDraw.Draw(alpha).ellipse((step, step, size[0] - step, size[1] - step), fill=255 - 16 * step & 255)
    image = Image.linear_gradient("L").resize(size).convert("RGBA")
    image.putalpha(alpha)
    return image.quantize(16) if mode == "P" else image.convert(mode)


FORMATS = [(GREY_ALPHA, 8), (GREY_ALPHA, 16), (RGBA, 8), (RGBA, 16), *((PALETTE, depth) for depth in (1, 2, 4, 8))]


@st.composite
def filtered_pngs(draw: st.DrawFn) -> bytes:
    """PNGs of every filter in any order: whatever bytes follow a filter's number are a row of some picture."""
    colour_type, depth = draw(st.sampled_from(FORMATS))
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    rows = b""
    for _ in range(height):
        content = draw(st.randoms(use_true_random=False)).randbytes(row_size(width, colour_type, depth))
        # Few bytes other than zero are a mask, none a row like the one above it, all of them noise.
        share = draw(st.sampled_from([0, 16, 256]))
        rows += bytes((draw(st.integers(0, 4)),)) + bytes(byte if byte < share else 0 for byte in content)
    transparency = draw(st.binary(min_size=1, max_size=1 << depth)) if colour_type == PALETTE else None
    return png(
        (width, height), rows, colour_type, depth, transparency=transparency, piece=draw(st.sampled_from([7, 1 << 20]))
    )


@given(filtered_pngs())
def test_brightness_is_the_opposite_of_alpha_in_every_format_and_filter(data: bytes) -> None:
    assert converted(data) == expected(data)


@given(
    mode=st.sampled_from(["RGBA", "LA", "P"]),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    optimize=st.booleans(),
    level=st.integers(0, 9),
)
def test_brightness_is_the_opposite_of_alpha_as_pillow_writes_it(
    mode: str, width: int, height: int, optimize: bool, level: int
) -> None:
    data = written(drawing(mode, (width, height)), optimize=optimize, compress_level=level, dpi=(72, 72))
    assert converted(data) == expected(data)


@pytest.mark.parametrize("share", [0, 1, 256], ids=["flat", "nearly flat", "noise"])
def test_large_masks_are_read_whole(share: int) -> None:
    noise = random.Random(share).randbytes(700 * 900 * 4)
    table = bytes(value if value < share else 0 for value in range(256))
    data = written(Image.frombytes("RGBA", (700, 900), noise.translate(table)))
    assert converted(data) == expected(data)


def test_opaque_colours_of_a_palette_are_kept() -> None:
    data = png((4, 1), b"\0\0\1\2\3", PALETTE, 8, transparency=b"\0\x80")
    assert converted(data) == ((4, 1), b"\xff\x7f\0\0")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_png_with_transparency_has_alpha(mode: str) -> None:
    assert has_alpha(written(drawing(mode)))


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "P"])
def test_a_png_without_transparency_has_none(mode: str) -> None:
    assert not has_alpha(written(Image.new(mode, (5, 5))))


def test_a_colour_that_stands_for_transparency_is_alpha_but_not_converted() -> None:
    data = written(Image.new("RGB", (5, 5)), transparency=(0, 0, 0))
    assert has_alpha(data)
    with pytest.raises(ValueError, match="without an alpha channel"):
        brightness_mask(data)


@given(st.data())
def test_a_png_that_breaks_off_is_damaged(data: st.DataObject) -> None:
    whole = written(drawing("P"))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ValueError, match=r"truncated|not a PNG"):
        brightness_mask(cut)


@given(st.data())
def test_a_png_with_one_wrong_bit_is_damaged(data: st.DataObject) -> None:
    wrong = bytearray(written(drawing("P")))
    wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r"truncated|not a PNG|damaged"):
        brightness_mask(bytes(wrong))


@pytest.mark.parametrize(
    "data",
    [
        png((2, 2), bytes(17)),
        png((2, 2), bytes(19)),
        png((2, 2), b""),
        png((2, 2), b"", compressed=b""),
        png((2, 2), b"", compressed=zlib.compress(bytes(18))[:-1]),
        png((2, 2), b"", compressed=zlib.compress(bytes(18))[:-4] + b"\1\2\3\4"),
        png((2, 2), b"", compressed=b"not compressed"),
        png((2, 2), b"\5" + bytes(17)),
        png((0, 2), bytes(2)),
        png((2, 0), b""),
        png((2, 2), bytes(10), RGBA, 4),
        png((2, 2), bytes(18), RGBA, 1),
        png((2, 2), bytes(10), PALETTE, 16, transparency=b"\0"),
        SIGNATURE + chunk(b"IEND", b""),
        SIGNATURE + chunk(b"IHDR", bytes(12)) + chunk(b"IEND", b""),
    ],
    ids=[
        "too short",
        "too long",
        "empty",
        "no pixels",
        "no checksum",
        "wrong checksum",
        "not compressed",
        "no such filter",
        "no width",
        "no height",
        "no such depth",
        "no such depth of a channel",
        "no such depth of a palette",
        "no header",
        "short header",
    ],
)
def test_a_png_of_impossible_content_is_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match="is a damaged PNG"):
        brightness_mask(data)


def test_an_interlaced_png_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="save it without interlacing"):
        brightness_mask(png((1, 1), bytes(5), interlaced=1))


@pytest.mark.parametrize("size", [(3072, 3073), (1, MAX_PIXELS), (1 << 31, 1 << 31)], ids=["pixels", "side", "huge"])
def test_a_png_of_too_many_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"more than \d+ pixels"):
        brightness_mask(png(size, b""))


def test_the_limit_of_pixels_can_be_set() -> None:
    data = png((2, 2), bytes(18))
    assert brightness_mask(data, max_pixels=4)
    with pytest.raises(ValueError, match="more than 3 pixels"):
        brightness_mask(data, max_pixels=3)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = png((64, 64), bytes(30_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="damaged"):
            brightness_mask(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# --- on their way to vendors

JPEG_FILE = io.BytesIO()
Image.new("RGB", (60, 40), "red").save(JPEG_FILE, "JPEG")
VENDORS = {"STABILITY_API_KEY": "sk-stability", "OPENAI_API_KEY": "sk-openai"}


async def edited(keys: KeyStore, model: str, mask: bytes) -> tuple[httpx.Response, list[bytes]]:
    """The answer to an edit by this mask, and the bodies that the vendor was sent; it fails on each of them."""
    seen: list[bytes] = []

    async def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(await request.aread())
        return httpx.Response(500)

    async with gateway_client(keys, VENDORS, vendor) as client:
        files = {"image": ("photo.jpg", JPEG_FILE.getvalue()), "mask": ("hole.png", mask)}
        form = {"model": model, "prompt": "a hat"}
        return await client.post("/v1/images/edits", data=form, files=files), seen


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
async def test_a_vendor_that_reads_brightness_is_sent_it(keys: KeyStore, mode: str) -> None:
    mask = written(drawing(mode))
    _, (body, *_) = await edited(keys, "sd3.5-large", mask)
    assert b'filename="hole.png"' in body
    sent = Image.open(io.BytesIO(body[body.index(SIGNATURE) :]))
    assert sent.mode == "L"
    assert (sent.size, sent.tobytes()) == expected(mask)


@pytest.mark.anyio
async def test_a_mask_by_brightness_is_sent_as_it_is(keys: KeyStore) -> None:
    mask = written(drawing("L"))
    _, (body, *_) = await edited(keys, "sd3.5-large", mask)
    assert mask in body


@pytest.mark.anyio
async def test_a_vendor_that_reads_transparency_is_sent_the_mask_as_it_is(keys: KeyStore) -> None:
    mask = written(drawing("RGBA"))
    _, (body, *_) = await edited(keys, "gpt-image-1", mask)
    assert mask in body


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (written(drawing("RGBA"))[:-20], "mask: is a truncated PNG"),
        (SIGNATURE + b"nothing", "mask: is a truncated PNG"),
        (png((1, 1), bytes(4)), "mask: is a damaged PNG"),
        (png((1, 1), bytes(5), interlaced=1), "mask: is an interlaced PNG: save it without interlacing"),
    ],
    ids=["cut off", "no header", "damaged", "interlaced"],
)
async def test_a_mask_that_cannot_be_converted_is_the_callers_error(keys: KeyStore, mask: bytes, message: str) -> None:
    answer, seen = await edited(keys, "sd3.5-large", mask)
    assert (answer.status_code, answer.json()["error"]["param"]) == (InvalidRequest.status, "mask")
    assert answer.json()["error"]["message"] == message
    assert seen == []


@pytest.mark.anyio
async def test_a_mask_of_a_type_that_is_not_converted_is_refused(keys: KeyStore) -> None:
    file = io.BytesIO()
    drawing("RGBA").save(file, "WEBP")
    answer, seen = await edited(keys, "sd3.5-large", file.getvalue())
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "mask")
    assert "PNG, transparent where" in answer.json()["error"]["message"]
    assert seen == []


@pytest.mark.parametrize("kind", [b"tEXt", b"IDAT"])
def test_more_chunks_than_an_encoder_makes_are_refused(kind: bytes) -> None:
    whole = png((1, 1), b"\0" + bytes(4))
    header = len(SIGNATURE) + 25
    data = whole[:header] + chunk(kind, b"") * 100_001 + whole[header:]
    with pytest.raises(ValueError, match="too many chunks"):
        brightness_mask(data)
