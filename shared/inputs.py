"""Makes a request's images such that its model's provider takes them: fetched where it does not fetch, GIFs as PNG."""

import asyncio
import base64
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from shared.errors import InvalidRequest
from shared.media import IMAGE_TYPES
from shared.pump import together
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Image, Inline, Message, Remote, Text, ToolResult
from shared.schemas.model import Model

if TYPE_CHECKING:
    from shared.fetch import RemoteFetcher

MAX_CHANGED_IMAGES = 20
MAX_FETCHED_BYTES = 50 * 2**20
_AT_ONCE = 4
_FIELD = "image_url"
_PartT = TypeVar("_PartT")


class Inputs:
    """Prepares requests for their models. `fetch_http` allows images by plain http; `fetcher` replaces the network."""

    def __init__(self, *, fetch_http: bool, fetcher: "RemoteFetcher | None" = None) -> None:
        self._fetch_http = fetch_http
        self._given_fetcher = fetcher

    @cached_property
    def _fetcher(self) -> "RemoteFetcher":
        from shared.fetch import RemoteFetcher  # few requests have an image by URL: the others need not pay for it

        return self._given_fetcher or RemoteFetcher(allow_http=self._fetch_http)

    async def aclose(self) -> None:
        if "_fetcher" in self.__dict__:
            await self._fetcher.aclose()

    async def prepared(self, request: ChatRequest, model: Model) -> ChatRequest:
        """The request as the model's provider takes it; the very same object where there is nothing to do.

        Raises InvalidRequest naming the image that cannot be had.
        """
        sources = _image_sources(request)
        for source in sources:
            if isinstance(source, Remote):
                self._fetcher.check(source.url, field=_FIELD)
        wanted = {source for source in sources if _must_change(source, model)}
        if not wanted:
            return request
        if len(wanted) > MAX_CHANGED_IMAGES:
            raise InvalidRequest.field(
                "messages", f"at most {MAX_CHANGED_IMAGES} images can be fetched or converted for one request"
            )
        ordered = list(wanted)
        budget = _Budget()
        results = await together(self._acceptable(source, model, budget) for source in ordered)
        changed = dict(zip(ordered, results, strict=True))
        messages = tuple(_replaced(message, changed) for message in request.messages)
        return request.model_copy(update={"messages": messages})

    async def _acceptable(self, source: Inline | Remote, model: Model, budget: "_Budget") -> Inline:
        async with budget.turn:
            if isinstance(source, Remote):
                media_type, data = await self._fetcher.get(source.url, field=_FIELD, accept=IMAGE_TYPES)
                budget.spend(len(data))
                if media_type != "image/gif" or "no_gif" not in model.rules:
                    return Inline(media_type=media_type, data=base64.b64encode(data).decode("ascii"))
            else:
                data = base64.b64decode(source.data)
            return await asyncio.to_thread(_still_image, data)


class _Budget:
    """What the images of one request may cost together: few at a time, and not too many bytes."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._left = MAX_FETCHED_BYTES

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InvalidRequest.field(_FIELD, f"the images are larger than {MAX_FETCHED_BYTES // 2**20} MB together")


def _image_sources(request: ChatRequest) -> list[Inline | Remote]:
    return [
        part.source
        for message in request.messages
        for whole in message.parts
        for part in (whole.content if isinstance(whole, ToolResult) else (whole,))
        if isinstance(part, Image)
    ]


def _must_change(source: Inline | Remote, model: Model) -> bool:
    if isinstance(source, Remote):
        return "inline_images" in model.rules
    return source.media_type == "image/gif" and "no_gif" in model.rules


def _still_image(data: bytes) -> Inline:
    from shared import gif

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
