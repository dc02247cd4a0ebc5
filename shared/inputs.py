"""Makes a request's images such that its model's provider takes them: fetched where it does not fetch, GIFs as PNG."""

import asyncio
import base64
from typing import TypeVar

from shared import gif
from shared.errors import InvalidRequest
from shared.fetch import RemoteFetcher
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Image, Inline, Message, Remote, Text, ToolResult
from shared.schemas.model import Model

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
MAX_REMOTE_IMAGES = 20
_FIELD = "image_url"
_PartT = TypeVar("_PartT")


async def prepared(request: ChatRequest, model: Model, fetcher: RemoteFetcher) -> ChatRequest:
    """The request as the model's provider takes it; the very same object where there is nothing to do.

    Raises InvalidRequest naming the image that cannot be had.
    """
    sources = [
        part.source
        for message in request.messages
        for whole in message.parts
        for part in (whole.content if isinstance(whole, ToolResult) else (whole,))
        if isinstance(part, Image)
    ]
    for source in sources:
        if isinstance(source, Remote):
            fetcher.check(source.url, field=_FIELD)
    wanted = {source for source in sources if _must_change(source, model)}
    if not wanted:
        return request
    if sum(isinstance(source, Remote) for source in wanted) > MAX_REMOTE_IMAGES:
        raise InvalidRequest.field("messages", f"at most {MAX_REMOTE_IMAGES} images can be fetched for one request")
    ordered = list(wanted)
    results = await asyncio.gather(*(_acceptable(source, model, fetcher) for source in ordered))
    changed = dict(zip(ordered, results, strict=True))
    return request.model_copy(update={"messages": tuple(_replaced(message, changed) for message in request.messages)})


def _must_change(source: Inline | Remote, model: Model) -> bool:
    if isinstance(source, Remote):
        return "inline_images" in model.rules
    return source.media_type == "image/gif" and "no_gif" in model.rules


async def _acceptable(source: Inline | Remote, model: Model, fetcher: RemoteFetcher) -> Inline:
    if isinstance(source, Remote):
        media_type, data = await fetcher.get(source.url, field=_FIELD, accept=IMAGE_TYPES)
        if media_type != "image/gif" or "no_gif" not in model.rules:
            return Inline(media_type=media_type, data=base64.b64encode(data).decode("ascii"))
    else:
        data = base64.b64decode(source.data)
    return await asyncio.to_thread(_still_image, data)


def _still_image(data: bytes) -> Inline:
    try:
        png = gif.first_frame_png(data)
    except ValueError:
        raise InvalidRequest.field(_FIELD, "is not a readable GIF") from None
    return Inline(media_type="image/png", data=base64.b64encode(png).decode("ascii"))


def _replaced(message: Message, changed: dict[Inline | Remote, Inline]) -> Message:
    return message.model_copy(update={"parts": tuple(_replaced_part(part, changed) for part in message.parts)})


def _replaced_part(part: _PartT, changed: dict[Inline | Remote, Inline]) -> _PartT:
    if isinstance(part, Image) and part.source in changed:
        return part.model_copy(update={"source": changed[part.source]})
    if isinstance(part, ToolResult):
        content: tuple[Text | Image, ...] = tuple(_replaced_part(piece, changed) for piece in part.content)
        return part.model_copy(update={"content": content})
    return part
