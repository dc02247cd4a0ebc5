"""The first frame of a GIF as a PNG, with Pillow as the judge of pixels."""

import io
import random
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from shared.gif import MAX_BLOCKS, MAX_CODES_READ, MAX_PIXELS, first_frame_png

PALETTE = bytes(random.Random(7).randbytes(768))


def pixels(data: bytes) -> tuple[tuple[int, int], bytes]:
    """Size and RGBA of an image's first frame, as Pillow sees them."""
    image = Image.open(io.BytesIO(data))
    return image.size, image.convert("RGBA").tobytes()


def shown(data: bytes) -> tuple[tuple[int, int], bytes]:
    """As `pixels`, with every transparent pixel the same."""
    size, rgba = pixels(data)
    clear = (b"\0\0\0\0" if rgba[start + 3] == 0 else rgba[start : start + 4] for start in range(0, len(rgba), 4))
    return size, b"".join(clear)


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "GIF", **options)
    return file.getvalue()


def indexed(width: int, height: int, data: bytes) -> Image.Image:
    image = Image.frombytes("P", (width, height), data)
    image.putpalette(PALETTE)
    return image


def noise(width: int, height: int, colours: int = 256) -> Image.Image:
    generator = random.Random(width * height)
    return indexed(width, height, bytes(generator.randrange(colours) for _ in range(width * height)))


def drawing(width: int, height: int) -> Image.Image:
    image = indexed(width, height, bytes(width * height))
    pen = ImageDraw.Draw(image)
    for step in range(0, max(width, height), 5):
        pen.ellipse((step // 2, step // 3, width - step // 2, height - step // 4), outline=step % 256)
    return image


def lzw(data: bytes, code_bits: int = 8, *, ever_clears: bool = True) -> bytes:
    """LZW as GIF has it; with `ever_clears` off, a full table is kept to the end ("deferred clear code")."""

    def codes() -> Iterator[tuple[int, int]]:
        clear = 1 << code_bits
        table: dict[bytes, int] = {}
        known, bits = clear + 2, code_bits + 1
        yield clear, bits
        prefix = b""
        for value in data:
            longer = prefix + bytes((value,))
            if len(longer) == 1 or longer in table:
                prefix = longer
                continue
            yield table.get(prefix, prefix[0]), bits
            if known < 4096:
                table[longer] = known
                known += 1
                if known > 1 << bits and bits < 12:
                    bits += 1
            elif ever_clears:
                yield clear, bits
                table = {}
                known, bits = clear + 2, code_bits + 1
            prefix = longer[-1:]
        if prefix:
            yield table.get(prefix, prefix[0]), bits
            if known == 1 << bits and bits < 12:
                bits += 1
        yield clear + 1, bits

    number = position = 0
    for code, bits in codes():
        number |= code << position
        position += bits
    return number.to_bytes(-(-position // 8), "little")


def sub_blocks(data: bytes) -> bytes:
    blocks = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"".join(bytes((len(block),)) + block for block in blocks) + b"\0"


def gif(
    data: bytes,
    size: tuple[int, int],
    *,
    screen: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
    flags: int = 0,
    global_palette: bytes = PALETTE,
    local_palette: bytes = b"",
    transparent: int | None = None,
    code_bits: int = 8,
    codes: bytes | None = None,
    before: bytes = b"",
) -> bytes:
    """A GIF89a of one frame put together by hand."""

    def table_flags(palette: bytes) -> int:
        return 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0

    control = b"" if transparent is None else b"\x21\xf9\x04\x01\0\0" + bytes((transparent,)) + b"\0"
    return b"".join(
        (
            b"GIF89a",
            struct.pack("<HHBBB", *(screen or size), table_flags(global_palette), 0, 0),
            global_palette,
            before,
            control,
            b"\x2c",
            struct.pack("<HHHHB", *at, *size, flags | table_flags(local_palette)),
            local_palette,
            bytes((code_bits,)),
            sub_blocks(lzw(data, code_bits) if codes is None else codes),
            b"\x3b",
        )
    )


DOT = gif(b"\x05", (1, 1))


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(
    "image",
    [
        noise(1, 1),
        noise(1, 40),
        noise(40, 1),
        noise(17, 9, colours=2),
        noise(64, 33, colours=4),
        noise(64, 33, colours=16),
        noise(150, 100),
        drawing(160, 120),
        indexed(300, 200, b"\x07" * 60_000),
        Image.linear_gradient("L"),
        Image.linear_gradient("L").convert("1"),
    ],
    ids=lambda image: f"{image.width}x{image.height}",
)
def test_pixels_are_those_of_the_gif(image: Image.Image, interlace: int) -> None:
    data = saved(image, interlace=interlace)
    assert pixels(first_frame_png(data)) == pixels(data)


def test_transparent_pixels_stay_transparent() -> None:
    data = saved(noise(30, 20, colours=8), transparency=3)
    png = first_frame_png(data)
    assert pixels(png) == pixels(data)
    assert Image.open(io.BytesIO(png)).convert("RGBA").getchannel("A").getextrema() == (0, 255)


def test_an_opaque_gif_has_no_transparency() -> None:
    assert b"tRNS" not in first_frame_png(saved(noise(30, 20)))


def test_only_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [noise(20, 10), noise(20, 11).crop((0, 0, 20, 10))]
    data = saved(frames[0], save_all=True, append_images=frames[1:], loop=0, duration=100)
    assert pixels(first_frame_png(data)) == pixels(data)


def test_the_old_version_is_read() -> None:
    data = b"GIF87a" + DOT[6:]
    assert pixels(first_frame_png(data)) == pixels(data)


def test_a_full_code_table_may_be_kept() -> None:
    image = noise(200, 200)
    data = gif(b"", image.size, codes=lzw(image.tobytes(), ever_clears=False))
    assert pixels(first_frame_png(data)) == pixels(data) == (image.size, image.convert("RGBA").tobytes())


@pytest.mark.parametrize("code_bits", range(2, 9))
def test_every_code_size_is_read(code_bits: int) -> None:
    image = noise(50, 40, colours=1 << code_bits)
    data = gif(image.tobytes(), image.size, code_bits=code_bits)
    assert pixels(first_frame_png(data)) == pixels(data)


@pytest.mark.parametrize("height", range(1, 18))
def test_interlaced_rows_come_into_order(height: int) -> None:
    image = noise(3, height)
    data = gif(image.tobytes(), image.size, flags=0x40)
    assert pixels(first_frame_png(data)) == pixels(data)


def test_a_local_colour_table_comes_before_the_global_one() -> None:
    local = bytes(reversed(PALETTE))
    data = gif(bytes(range(256)), (16, 16), local_palette=local)
    assert pixels(first_frame_png(data)) == pixels(data)
    assert pixels(first_frame_png(data)) != pixels(gif(bytes(range(256)), (16, 16)))


def test_without_a_colour_table_indices_are_shades_of_grey() -> None:
    png = first_frame_png(gif(bytes(range(256)), (16, 16), global_palette=b""))
    assert Image.open(io.BytesIO(png)).convert("L").tobytes() == bytes(range(256))


def test_an_index_beyond_the_colour_table_is_black() -> None:
    data = gif(b"\x01\x09", (2, 1), global_palette=PALETTE[:12])
    assert pixels(first_frame_png(data))[1] == PALETTE[3:6] + b"\xff" + b"\0\0\0\xff"


def test_a_frame_lies_at_its_place_on_the_screen() -> None:
    image = noise(5, 4, colours=9)
    data = gif(image.tobytes(), image.size, screen=(11, 10), at=(3, 2), transparent=200)
    assert shown(first_frame_png(data)) == shown(data)


def test_what_an_opaque_frame_leaves_uncovered_is_transparent() -> None:
    image = noise(5, 4)
    size, rgba = pixels(first_frame_png(gif(image.tobytes(), image.size, screen=(11, 10), at=(3, 2))))
    drawn = Image.frombytes("RGBA", size, rgba)
    assert size == (11, 10)
    assert drawn.getchannel("A").getbbox() == (3, 2, 8, 6)
    assert drawn.crop((3, 2, 8, 6)).tobytes() == image.convert("RGBA").tobytes()


def test_a_frame_of_all_256_colours_is_never_made_transparent() -> None:
    size, rgba = pixels(first_frame_png(gif(bytes(range(256)), (16, 16), screen=(20, 16))))
    drawn = Image.frombytes("RGBA", size, rgba)
    assert drawn.getchannel("A").getextrema() == (255, 255)
    assert drawn.crop((0, 0, 16, 16)).tobytes() == indexed(16, 16, bytes(range(256))).convert("RGBA").tobytes()


def test_a_frame_larger_than_its_screen_enlarges_it() -> None:
    image = noise(6, 5)
    data = gif(image.tobytes(), image.size, screen=(2, 2), at=(1, 1), transparent=0)
    assert shown(first_frame_png(data)) == shown(data)


@pytest.mark.parametrize(
    "before",
    [
        b"\x21\xfe\x05hello\0",
        b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0",
        b"\x21\xff\x0bXMP DataXMP" + sub_blocks(b"<x:xmpmeta/>" * 50),
        b"\x21\xf9\x04\x01\0\0\x05\0" + b"\x21\xf9\x04\0\0\0\x05\0",
        b"\0\0",
    ],
)
def test_what_comes_before_the_frame_is_passed_over(before: bytes) -> None:
    data = gif(b"\x05", (1, 1), before=before)
    assert pixels(first_frame_png(data)) == ((1, 1), PALETTE[15:18] + b"\xff")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_what_is_missing_of_a_broken_off_frame_is_transparent(kept: float) -> None:
    image = noise(40, 40, colours=200)
    whole = gif(image.tobytes(), image.size)
    size, rgba = pixels(first_frame_png(whole[: int(len(whole) * kept)]))
    alphas = rgba[3::4]
    there = alphas.count(255)
    assert size == image.size
    assert 0 < there < len(alphas)
    assert alphas == b"\xff" * there + b"\0" * (len(alphas) - there)
    assert rgba[: there * 4] == image.convert("RGBA").tobytes()[: there * 4]


@pytest.mark.parametrize("codes", [lzw(b"\1\2\3")[:-1], lzw(b"\1\2\3"), lzw(b"\1\2\3") + b"garbage" * 99])
def test_data_after_the_last_pixel_is_passed_over(codes: bytes) -> None:
    assert (
        pixels(first_frame_png(gif(b"", (3, 1), codes=codes)))[1] == indexed(3, 1, b"\1\2\3").convert("RGBA").tobytes()
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF",
        b"GIF89a",
        b"GIF90a" + DOT[6:],
        b"\x89PNG\r\n\x1a\n",
        DOT[:13],
        DOT[:500],
        DOT[:13] + PALETTE + b"\x3b",
        DOT[:13] + PALETTE + b"\x21",
        DOT[:13] + PALETTE + b"\x21\xf9\x04\x01",
        DOT[:13] + PALETTE + b"junk",
        DOT[:13] + PALETTE + b"\x2c\0\0",
        gif(b"", (0, 0)),
        gif(b"", (0, 5)),
        gif(b"", (5, 5)),
        gif(b"", (5, 5), codes=b""),
        gif(b"", (5, 5), codes=b"\xff" * 50),
        gif(b"", (5, 5), code_bits=0, codes=b"\0" * 9),
        gif(b"", (5, 5), code_bits=9, codes=b"\0" * 9),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_what_is_not_a_gif_with_a_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        first_frame_png(data)


@pytest.mark.parametrize(
    ("size", "screen", "at"),
    [
        ((65535, 65535), (1, 1), (0, 0)),
        ((1, 1), (65535, 65535), (0, 0)),
        ((1, 1), (1, 1), (65535, 65535)),
        ((MAX_PIXELS // 1000 + 1, 1000), (1, 1), (0, 0)),
    ],
)
def test_more_pixels_than_the_limit_are_refused(
    size: tuple[int, int], screen: tuple[int, int], at: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="is a GIF of more than 25 million pixels"):
        first_frame_png(gif(b"\0", size, screen=screen, at=at))


def test_the_limit_is_the_callers_to_lower() -> None:
    assert first_frame_png(DOT, max_pixels=1)
    with pytest.raises(ValueError, match="pixels"):
        first_frame_png(gif(b"\1\2", (2, 1)), max_pixels=1)


def test_a_stream_of_clear_codes_ends() -> None:
    with pytest.raises(ValueError, match="is a GIF without pixels"):
        first_frame_png(gif(b"", (1, 1), code_bits=3, codes=b"\x88" * 1_000_000))


SEEDS = (
    saved(drawing(24, 18)),
    saved(noise(12, 12), transparency=3),
    gif(noise(9, 9).tobytes(), (9, 9), screen=(12, 12), at=(1, 2), flags=0x40, local_palette=PALETTE[:48]),
)


@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), max_size=6),
    kept=st.floats(0.5, 1),
)
def test_a_damaged_gif_gives_a_png_or_a_value_error(
    seed: bytes, changes: list[tuple[float, bytes]], kept: float
) -> None:
    data = bytearray(seed)
    for place, change in changes:
        start = int(place * len(data))
        data[start : start + len(change)] = change
        if not change:
            del data[start : start + 1]
    try:
        png = first_frame_png(bytes(data[: int(len(data) * kept)]), max_pixels=100_000)
    except ValueError:
        return
    Image.open(io.BytesIO(png)).load()


@given(st.binary(max_size=300))
def test_any_image_data_gives_a_png_or_a_value_error(codes: bytes) -> None:
    try:
        png = first_frame_png(gif(b"", (20, 20), codes=codes))
    except ValueError:
        return
    Image.open(io.BytesIO(png)).load()


HEAD = b"GIF89a" + struct.pack("<HHBBB", 4000, 4000, 0, 0, 0)
DESCRIPTOR = b"," + struct.pack("<HHHHB", 0, 0, 4000, 4000, 0)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\x21\xfe\x00" * (MAX_BLOCKS + 1) + DESCRIPTOR,
        HEAD + bytes(MAX_BLOCKS + 1) + DESCRIPTOR,
        HEAD + b"\x21\xfe" + b"\x01a" * (MAX_BLOCKS + 1) + b"\x00" + DESCRIPTOR,
        HEAD + DESCRIPTOR + b"\x08" + b"\x01a" * (MAX_BLOCKS + 1) + b"\x00;",
    ],
    ids=["comments", "zeros", "blocks of a comment", "blocks of a frame"],
)
def test_more_blocks_than_an_encoder_makes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="too many blocks"):
        first_frame_png(data)


def test_more_codes_than_can_be_read_in_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.gif.MAX_CODES_READ", 1000)
    assert MAX_CODES_READ > 1000
    clears = bytes([0x00, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80]) * 300  # nothing but 256, in 9 bits each
    blocks = b"".join(bytes((90,)) + clears[at : at + 90] for at in range(0, len(clears), 90))
    with pytest.raises(ValueError, match="too long"):
        first_frame_png(HEAD + DESCRIPTOR + b"\x08" + blocks + b"\x00;")
    assert pixels(first_frame_png(saved(indexed(20, 20, bytes(400)))))[0] == (20, 20)
