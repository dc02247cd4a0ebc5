"""Media types by their bytes, base64 in every spelling, data URIs."""

import base64
import binascii
import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.media import (
    SNIFF_BYTES,
    decoded,
    encoded,
    head_bytes,
    parse_data_uri,
    sniff,
    standard_base64,
)


def picture(file_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (200, 10, 90)).save(file, file_format)
    return file.getvalue()


def recording() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(b"\0\0" * 40)
    return file.getvalue()


EBML_FIELDS = bytes.fromhex("4286810142f7810142f2810442f38108")
WEBM = b"\x1aE\xdf\xa3\x9f" + EBML_FIELDS + b"\x42\x82\x84webm"  # as MediaRecorder writes it
WEBM_LONG = b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1f" + EBML_FIELDS + b"\x42\x82\x84webm"  # as FFmpeg does
MATROSKA = b"\x1aE\xdf\xa3\xa3" + EBML_FIELDS + b"\x42\x82\x88matroska"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (picture("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("GIF"), "image/gif"),
        (b"GIF87a\1\0\1\0", "image/gif"),
        (picture("WEBP"), "image/webp"),
        (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
        (recording(), "audio/wav"),
        (b"ID3\x04\0\0\0\0\0\x23TSSE", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0\0", "audio/mpeg"),
        (b"\xff\xf3\x84\xc4\0\0", "audio/mpeg"),  # MPEG-2, as speech at 24 kHz is
        (b"\xff\xfd\xa0\x04\0\0", "audio/mpeg"),  # layer II
        (b"\0\0\0\x20ftypM4A \0\0\2\0", "audio/mp4"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "audio/mp4"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "audio/mp4"),
        (b"\0\0\0\x18ftypiso6\0\0\0\0", "audio/mp4"),
        (b"\0\0\0\x18ftyp3gp4\0\0\0\0", "audio/mp4"),
        (WEBM, "audio/webm"),
        (WEBM_LONG, "audio/webm"),
        (b"OggS\0\2\0\0\0\0\0\0\0\0", "audio/ogg"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc", "audio/aac"),
        (b"\xff\xf9\x4c\x80\x02\x1f\xfc", "audio/aac"),
    ],
)
def test_the_first_bytes_tell_the_media_type(data: bytes, media_type: str) -> None:
    assert sniff(data[:SNIFF_BYTES]) == media_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"<!doctype html><html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b'{"error":"not found"}',
        picture("BMP"),
        picture("TIFF"),
        b"RIFF\0\0\0\0AVI LIST",
        b"\0\0\0\x1cftypavif\0\0\0\0",
        b"\0\0\0\x18ftypheic\0\0\0\0",
        b"\0\0\0\x14ftypqt  \0\0\0\0",
        MATROSKA,
        "Text with a byte order mark".encode("utf-16"),
        b"\xff\xfb\xf0\x64",  # a bit rate that cannot be
        b"\xff\xfb\x9c\x64",  # a sampling rate that cannot be
        b"\xff\xeb\x90\x64",  # a version that cannot be
        b"\xff\xff\x90\x64",  # layer I, which nobody uses
        b"\xff\xf1\x74\x80",  # AAC at a sampling rate that cannot be
        b" GIF89a",
        b"GIF90a",
    ],
)
def test_anything_else_has_no_media_type(data: bytes) -> None:
    assert sniff(data) is None


@given(st.binary(max_size=80))
def test_sniffing_takes_any_bytes(data: bytes) -> None:
    assert sniff(data) == sniff(data[:SNIFF_BYTES])


@given(st.binary(max_size=200))
def test_standard_base64_is_returned_as_the_same_object(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert standard_base64(text) is text


@given(
    data=st.binary(max_size=200),
    url_safe=st.booleans(),
    padded=st.booleans(),
    width=st.integers(1, 80),
    newline=st.sampled_from(["", "\n", "\r\n", " ", "\t", " \v\f"]),
)
def test_every_spelling_of_base64_becomes_the_standard_one(
    data: bytes, url_safe: bool, padded: bool, width: int, newline: str
) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    if not padded:
        text = text.rstrip("=")
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    spelled = newline + newline.join(lines) + newline
    assert standard_base64(spelled) == base64.b64encode(data).decode()


def test_both_alphabets_may_be_mixed() -> None:
    assert standard_base64("+_-/") == "+/+/"


@pytest.mark.parametrize(
    "text",
    [
        "Q",
        "QUJDR",
        "QQ=",
        "QQ===",
        "QUI==",
        "=",
        "====",
        "QQ==QQ==",
        "QQ=Q",
        "QU*C",
        "QUJ\0",
        "QUJD\u00a0",
        "QUJD\u2028",
        "QUJ\u00e9",
        "QUJ\uff21",
        "\ud800AAA",
        "data:image/png;base64,QUJD",
        "QR==",  # four bits left over, and not zero
        "QUJ=",  # two bits left over, and not zero
        "QR",
    ],
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not valid base64"):
        standard_base64(text)


@given(st.text(alphabet="AQgwZ+/-_= \n*", max_size=12))
def test_what_is_accepted_decodes_strictly_and_encodes_back(text: str) -> None:
    try:
        standard = standard_base64(text)
    except ValueError:
        return
    assert base64.b64encode(binascii.a2b_base64(standard, strict_mode=True)).decode() == standard


@given(data=st.binary(max_size=200), n=st.integers(0, 80))
def test_first_bytes_are_known_without_decoding_the_rest(data: bytes, n: int) -> None:
    text = base64.b64encode(data).decode()
    assert head_bytes(text, n) == data[:n]


@pytest.mark.parametrize("text", ["QU*C", "Q", "QUJ\u00e9", "QU-_"])
def test_first_bytes_of_what_is_not_base64_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not valid base64"):
        head_bytes(text)


@pytest.mark.parametrize(
    ("uri", "media_type", "data"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "image/png", b"\x89PNG\r\n\x1a\n"),
        ("DATA:Image/PNG;BASE64,iVBORw0KGgo", "image/png", b"\x89PNG\r\n\x1a\n"),
        ("data:text/plain;charset=utf-8;base64,aMOp", "text/plain", "hé".encode()),
        ("data:text/plain;charset=utf-8; base64,aMOp", "text/plain", "hé".encode()),
        ("data:image/svg+xml;base64,PHN2Zy8-", "image/svg+xml", b"<svg/>"),
        ("data:;base64,QUJD", None, b"ABC"),
        ("data:image/png;base64,QUI%3D", "image/png", b"AB"),
        ("data:image/png;base64,%2B%2F%2b%2f", "image/png", b"\xfb\xff\xbf"),
        ("data:image/png;base64,QU\nJD", "image/png", b"ABC"),
        ("data:image/png;base64,", "image/png", b""),
        ("data:,A%20brief%20note", None, b"A brief note"),
        ("data:text/plain;charset=utf-8,h%C3%A9,+", "text/plain", "hé,+".encode()),
        ("data:text/plain,hé", "text/plain", "hé".encode()),
        ("data:text/plain;base64;charset=x,QUJD", "text/plain", b"QUJD"),
    ],
)
def test_data_uris_give_their_type_and_content(uri: str, media_type: str | None, data: bytes) -> None:
    assert parse_data_uri(uri) == (media_type, base64.b64encode(data).decode())


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "data:",
        "data:image/png;base64",
        "https://example.com/a,b",
        " data:,x",
        "data:image;base64,QUJD",
        "data:image/;base64,QUJD",
        "data:image/p ng;base64,QUJD",
        "data:image/png;base64,QU*C",
        "data:image/png;base64,%FF%FF%FF%FF",
        "data:text/plain,\ud800",
        "data:" + "x" * 2000 + ",",
    ],
)
def test_what_is_not_a_data_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        parse_data_uri(uri)


STEP = 2**20  # what is gone through at a time


@pytest.mark.parametrize("size", [STEP - 4, STEP, STEP + 4, 3 * STEP, 3 * STEP + 8])
@pytest.mark.parametrize("ending", ["QUJD", "QUI=", "QQ=="])
def test_long_base64_is_read_as_short(size: int, ending: str) -> None:
    text = "A+/z" * (size // 4) + ending
    assert standard_base64(text) is text
    assert standard_base64(text.replace("+", "-").replace("/", "_").rstrip("=")) == text
    data = base64.b64decode(text)
    assert decoded(text) == data
    assert encoded(data) == text


@pytest.mark.parametrize("at", [0, STEP - 1, STEP, STEP + 1, 2 * STEP + 4])
@pytest.mark.parametrize("wrong", ["=", "!", "é"])
def test_one_wrong_character_is_found_wherever_it_is(at: int, wrong: str) -> None:
    text = "A" * at + wrong + "A" * (3 * STEP - at - 1)
    with pytest.raises(ValueError, match="base64"):
        standard_base64(text)


@pytest.mark.parametrize("uri", ["data:image/png;base64," + "%41" * 200_000, "data:image/png," + "%41" * 200_000])
def test_a_uri_of_escapes_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="escapes"):
        parse_data_uri(uri)


def test_what_browsers_escape_in_base64_is_read() -> None:
    data = bytes(range(256)) * 2_000
    for escape in (str.upper, str.lower):
        text = base64.b64encode(data).decode()
        for character in "+/=":
            text = text.replace(character, escape(f"%{ord(character):02x}"))
        assert parse_data_uri(f"data:image/png;base64,{text}") == ("image/png", base64.b64encode(data).decode())
