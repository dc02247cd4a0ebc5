"""Media inside requests: type detection, base64 in all variants, data URIs.

The messages of the ValueErrors raised here quote nothing of the input and may be shown to a caller.
"""

import binascii
import re
from base64 import b64encode
from io import BytesIO
from urllib.parse import unquote_to_bytes

# The largest image, recording or document, in decoded bytes (not base64).
MAX_MEDIA_BYTES = 20 * 1024 * 1024

# The image types that a request may have.
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

# How many of a file's first bytes `sniff` needs; a WebM is recognisable only after some 30 of them.
SNIFF_BYTES = 64

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)

# What may stand at offset 8 of a RIFF file, as four characters.
_RIFF_FORMS = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}

# MP4 brands of audio and video. The brands of still images (avif, heic, mif1) share the container and are left out.
_MP4_BRANDS = re.compile(rb"M4[ABPV] |mp4[12]|iso[m2-9]|avc1|dash|MSNV|f4[av] |3g[p2].", re.DOTALL)

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")

# The look-behinds say which characters leave no bits over before one and two signs of padding. Matching allocates
# nothing and, at 1.4 GB/s, is faster than decoding.
_STANDARD = re.compile(r"[A-Za-z0-9+/]*+(?:(?<=[AQgw])==|(?<=[AEIMQUYcgkosw048])=)?")

_ALPHABET = re.compile(r"[A-Za-z0-9+/]*+")

# Of a large text so many characters at a time: one call of C for all of them would hold up every other thread.
_STEP = 1024 * 1024

_TO_STANDARD = str.maketrans("-_", "+/", " \t\r\n\f\v")

# What is escaped in base64 inside of URIs, in both cases; other escapes are rare, and take long to undo.
_ESCAPED = tuple(
    (spelling, character)
    for escape, character in (("%2B", "+"), ("%2F", "/"), ("%3D", "="), ("%20", ""), ("%0A", ""), ("%0D", ""))
    for spelling in {escape, escape.lower()}
)
_MAX_ESCAPES = 100_000

_NOT_BASE64 = "is not valid base64"

_MAX_DATA_URI_HEAD = 1024


def sniff(data: bytes) -> str | None:
    """The media type of a file by its first `SNIFF_BYTES` bytes, None if it is not supported.

    Detects image/png, image/jpeg, image/gif, image/webp, application/pdf, audio/wav, audio/mpeg, audio/mp4,
    audio/webm, audio/ogg, audio/flac and audio/aac. A container for audio and video gets its audio type, since the
    gateway only uses the audio.
    """
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    if data.startswith(b"RIFF"):
        return _RIFF_FORMS.get(data[8:12])
    if data[4:8] == b"ftyp":
        return "audio/mp4" if _MP4_BRANDS.fullmatch(data, 8, 12) else None
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "audio/webm" if b"webm" in data[:SNIFF_BYTES] else None
    return _sniff_frame(data)


def _sniff_frame(data: bytes) -> str | None:
    """The type of bare MPEG audio, which has no magic number but starts with a frame header.

    Checks every field that has forbidden values, since the sync bits alone also match a UTF-16 byte order mark.
    """
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    if layer == 0:
        rate_index = data[2] >> 2 & 15
        return "audio/aac" if version >= 2 and rate_index <= 12 else None
    bitrate_index, rate_index = data[2] >> 4, data[2] >> 2 & 3
    is_mpeg = version != 1 and layer != 3 and bitrate_index not in (0, 15) and rate_index != 3
    return "audio/mpeg" if is_mpeg else None


def standard_base64(text: str) -> str:
    """Base64 in the standard alphabet with padding; the same object if `text` already is that.

    Reads the standard and the URL-safe alphabet (RFC 4648 sections 4 and 5), with all of its padding or none, with
    ASCII white space anywhere, as MIME breaks lines. Raises ValueError on everything else, and on bits left over at
    the end that are not zero (RFC 4648 section 3.5): those come from text that was cut off or altered.
    """
    if _is_standard(text):
        return text
    text = "".join(text[at : at + _STEP].translate(_TO_STANDARD) for at in range(0, len(text), _STEP))
    if not text.endswith("="):
        text += "=" * (-len(text) % 4)
    if not _is_standard(text):
        raise ValueError(_NOT_BASE64)
    return text


def _is_standard(text: str) -> bool:
    if len(text) % 4:
        return False
    last = max(0, len(text) - 4)
    starts = range(0, last, _STEP)
    return all(_ALPHABET.fullmatch(text, at, min(at + _STEP, last)) for at in starts) and (
        _STANDARD.fullmatch(text, last) is not None
    )


def head_bytes(base64_text: str, n: int = SNIFF_BYTES) -> bytes:
    """The first `n` bytes (fewer where there are no more) of standard, padded base64. Decodes only those.

    Raises ValueError if that part is not standard base64; the rest is not checked.
    """
    quads = -(-n // 3)
    try:
        return binascii.a2b_base64(base64_text[: quads * 4], strict_mode=True)[:n]
    except ValueError:
        raise ValueError(_NOT_BASE64) from None


def parse_data_uri(uri: str) -> tuple[str | None, str]:
    """The declared media type (lower case, None where it is left out) and the content in standard base64.

    Follows RFC 2397: the scheme in any case, parameters such as `charset` dropped, content that is percent-encoded
    instead of base64 converted. Raises ValueError on anything that is not a data URI.
    """
    if uri[:5].lower() != "data:":
        raise ValueError("is not a data URI")
    comma = uri.find(",", 5, _MAX_DATA_URI_HEAD)
    if comma < 0:
        raise ValueError("is not a data URI: it has no comma")
    media_type, *parameters = (part.strip().lower() for part in uri[5:comma].split(";"))
    if media_type and not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError("is a data URI without a valid media type")
    content = uri[comma + 1 :]
    is_base64 = bool(parameters) and parameters[-1] == "base64"
    return media_type or None, _base64_of(content, is_base64)


def decoded(base64_text: str) -> bytes:
    """The bytes that standard, padded base64 stands for. Raises ValueError."""
    data = BytesIO()
    for at in range(0, len(base64_text), _STEP):
        data.write(binascii.a2b_base64(base64_text[at : at + _STEP]))
    return data.getvalue()  # no copy, unlike joining pieces


def encoded(data: bytes) -> str:
    """Bytes in standard base64 with padding."""
    step = _STEP // 4 * 3
    steps = (binascii.b2a_base64(data[at : at + step], newline=False) for at in range(0, len(data), step))
    return b"".join(steps).decode("ascii")


def _base64_of(content: str, is_base64: bool) -> str:
    escapes = content.count("%")
    if is_base64 and not escapes:
        return standard_base64(content)
    if is_base64 and escapes <= len(content) // 16:
        for escape, character in _ESCAPED:
            content = content.replace(escape, character)
        if "%" not in content:
            return standard_base64(content)
        escapes = content.count("%")
    if escapes > _MAX_ESCAPES:
        raise ValueError("is a data URI with too many escapes; send base64")
    try:
        plain = unquote_to_bytes(content)
        return standard_base64(plain.decode("ascii")) if is_base64 else b64encode(plain).decode("ascii")
    except UnicodeError:
        raise ValueError("is not a valid data URI") from None
