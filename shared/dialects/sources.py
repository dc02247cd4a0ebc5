"""Media in JSON bodies: URLs, data URIs and base64, checked by their bytes."""

from collections.abc import Callable

from shared import media
from shared.errors import InvalidRequest
from shared.schemas.content import Inline, Remote

_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def image_source(url: str, field: str) -> Inline | Remote:
    """An image at a URL or in a data URI. Raises InvalidRequest naming the field."""
    if is_web_url(url):
        return Remote(url=url)
    if not is_data_uri(url):
        raise InvalidRequest.field(field, "must be an https URL or a data URI")
    data = data_uri_content(url, field)
    media_type = sniffed(data)
    if media_type not in media.IMAGE_TYPES:
        raise InvalidRequest.field(field, "is not a PNG, JPEG, GIF or WebP image")
    return Inline(media_type=media_type, data=data)


def pdf_source(uri: str, field: str) -> Inline | Remote:
    """A PDF at a URL, in a data URI or in base64. Raises InvalidRequest naming the field."""
    if is_web_url(uri):
        return Remote(url=uri)
    data = content(uri, field)
    if sniffed(data) != "application/pdf":
        raise InvalidRequest.field(field, "is not a PDF")
    return Inline(media_type="application/pdf", data=data)


def audio_content(encoded: str, audio_format: str, field: str) -> str:
    """Sound in base64, as standard base64. Raises InvalidRequest naming the field."""
    data = _decodable(lambda: media.standard_base64(encoded), field)
    if sniffed(data) != _AUDIO_TYPES[audio_format]:
        raise InvalidRequest.field(field, f"is not {audio_format} audio")
    return data


def content(text: str, field: str) -> str:
    """What a data URI or base64 holds, as standard base64. Raises InvalidRequest naming the field."""
    if is_data_uri(text):
        return data_uri_content(text, field)
    return _decodable(lambda: media.standard_base64(text), field)


def data_uri_content(uri: str, field: str) -> str:
    """What a data URI holds, as standard base64. Raises InvalidRequest naming the field."""
    return _decodable(lambda: media.parse_data_uri(uri)[1], field)


def is_web_url(url: str) -> bool:
    return url[:8].lower().startswith(("https://", "http://"))


def is_data_uri(url: str) -> bool:
    return url[:5].lower() == "data:"


def sniffed(data: str) -> str | None:
    """The media type of what is in base64, by its first bytes."""
    return media.sniff(media.head_bytes(data, media.SNIFF_BYTES))


def _decodable(decode: Callable[[], str], field: str) -> str:
    try:
        return decode()
    except ValueError:
        raise InvalidRequest.field(field, "is not valid base64") from None
