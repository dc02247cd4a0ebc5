"""Converts images to what their vendor accepts: a GIF's first frame to PNG, a mask's transparency to brightness.

The conversions run in threads, since they may take a second.
"""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace

from shared.errors import InvalidRequest
from shared.gateway.chat_images import first_frame, still_image
from shared.media import decoded
from shared.schemas.content import Inline
from shared.schemas.model import Model
from shared.schemas.upload import Upload

_GIF = "image/gif"


async def still_uploads(images: Sequence[Upload], model: Model) -> tuple[Upload, ...]:
    """Uploaded images as the model accepts them. Raises InvalidRequest for a GIF that cannot be read."""
    return tuple([await _still_upload(image) if _is_refused(image.media_type, model) else image for image in images])


async def still_inlines(images: Sequence[Inline], model: Model) -> tuple[Inline, ...]:
    """The same for inline images; the error names the image by its index."""
    return tuple(
        [
            await _still_inline(image, f"images[{at}]") if _is_refused(image.media_type, model) else image
            for at, image in enumerate(images)
        ]
    )


async def readable_mask(mask: Upload, model: Model) -> Upload:
    """A mask as the model reads it. Raises InvalidRequest for a PNG with transparency that cannot be converted.

    Other types are left to the adapter.
    """
    if mask.media_type != "image/png" or "brightness_mask" not in model.quirks:
        return mask
    from shared import png_mask

    def converted() -> bytes | None:
        data = mask.read()
        return png_mask.brightness_mask(data) if png_mask.has_alpha(data) else None

    try:
        png = await asyncio.to_thread(converted)
    except ValueError as error:
        raise InvalidRequest.field("mask", str(error)) from None
    return mask if png is None else replace(mask, file=io.BytesIO(png), size=len(png))


def _is_refused(media_type: str, model: Model) -> bool:
    return media_type == _GIF and "no_gif" in model.quirks


async def _still_upload(image: Upload) -> Upload:
    png = await first_frame(image.read(), "image")
    return Upload(io.BytesIO(png), f"{image.filename}.png", "image/png", len(png))


async def _still_inline(image: Inline, field: str) -> Inline:
    return await still_image(await asyncio.to_thread(decoded, image.data), field)
