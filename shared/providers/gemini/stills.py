"""Images as Gemini takes them: GIF, which it refuses, as the PNG of its first frame."""

from shared.errors import InvalidRequest
from shared.schemas.model import Model


def is_refused(media_type: str, model: Model) -> bool:
    return media_type == "image/gif" and "no_gif" in model.rules


def still(media_type: str, data: bytes, model: Model, *, field: str) -> tuple[str, bytes]:
    """The media type and bytes to send. Raises InvalidRequest naming `field` for a GIF that cannot be read."""
    if not is_refused(media_type, model):
        return media_type, data
    from shared import gif  # few images are GIFs

    try:
        return "image/png", gif.first_frame_png(data)
    except ValueError as error:
        raise InvalidRequest.field(field, str(error)) from None
