"""Converts a request's images to what its model's provider accepts: URLs fetched if it fetches none, GIFs to PNG.

Documents by URL are left to the provider; their URLs are checked all the same.

Images stored by the gateway are read from the store, including those linked in the markdown of earlier responses.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from shared.errors import InvalidRequest
from shared.gateway.aws_failures import unavailable
from shared.media import IMAGE_TYPES, decoded, encoded
from shared.offload import off_loop
from shared.pump import gather_or_cancel
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Audio, File, Image, Inline, Message, Part, Remote, Source, Text, ToolResult
from shared.schemas.model import Capability, Model
from shared.stores.aws_calls import AwsError

if TYPE_CHECKING:
    from shared.fetch import RemoteFetcher
    from shared.stores.images import ImageStore

MAX_CHANGED_IMAGES = 20
MAX_FETCHED_BYTES = 50 * 2**20
_MAX_LINKS = 1000
_AT_ONCE = 4
_PartT = TypeVar("_PartT")


# An image in markdown, as the gateway writes it. The parts exclude each other's opening characters, and their
# quantifiers are possessive, so that a search takes linear time on any text.
_MARKDOWN = re.compile(r"!\[[^\[\]\n]{0,200}+\]\((https?://[^()\s]{1,8000}+)\)")
_LONGEST_MARKDOWN = 8300
_WINDOW = 256 * 1024


class Inputs:
    """Prepares requests for their models, with a fetcher and a store that are created on first use."""

    def __init__(self, fetcher: "Callable[[], RemoteFetcher]", images: "Callable[[], ImageStore]") -> None:
        self._fetcher = fetcher
        self._images = images

    async def prepared(self, request: ChatRequest, model: Model, tenant: str, *, is_heavy: bool = False) -> ChatRequest:
        """The request as the model's provider accepts it; the same object if there is nothing to do.

        A request that `is_heavy` is processed in a thread. Raises InvalidRequest naming the image that cannot be
        fetched, ModelUnavailable if the store cannot be read.
        """
        if Capability.VISION in model.capabilities:
            request = await self._with_stored_images(request, tenant, is_heavy)
        fields = await off_loop(is_heavy, _image_fields, request)
        own = {source for source in fields if isinstance(source, Remote) and await self._is_own(source.url, tenant)}
        foreign = [(source, field) for source, field in fields.items() if source not in own]
        await off_loop(is_heavy, self._check, [*foreign, *_document_fields(request)])
        wanted = [source for source in fields if source in own or _must_change(source, model)]
        if not wanted:
            return request
        if len(wanted) > MAX_CHANGED_IMAGES:
            raise InvalidRequest.field(
                fields[wanted[MAX_CHANGED_IMAGES]],
                f"at most {MAX_CHANGED_IMAGES} images can be fetched or converted for one request",
            )
        budget = _Budget()
        results = await gather_or_cancel(
            self._acceptable(source, fields[source], model, budget, tenant if source in own else None)
            for source in wanted
        )
        changed = dict(zip(wanted, results, strict=True))
        messages = tuple(_replaced(message, changed) for message in request.messages)
        return request.model_copy(update={"messages": messages})

    def _check(self, media: Iterable[tuple[Source, str]]) -> None:
        """Raises InvalidRequest that names the field of a URL which nothing may be fetched from."""
        for source, field in media:
            if isinstance(source, Remote):
                self._fetcher().check(source.url, field=field)

    async def _is_own(self, url: str, tenant: str) -> bool:
        try:
            return await self._images().owns(tenant, url)
        except AwsError:
            raise unavailable("The store of images") from None

    async def _with_stored_images(self, request: ChatRequest, tenant: str, is_heavy: bool) -> ChatRequest:
        """The request with stored images in place of the markdown links in earlier responses.

        If there are more than a request may have, the newest are replaced and the others stay links.
        """
        linked = await off_loop(is_heavy, _linked, request)
        room = max(0, MAX_CHANGED_IMAGES - len(await off_loop(is_heavy, _image_fields, request)))
        shown: set[str] = set()
        for url in linked:
            if len(shown) == room:
                break
            if await self._is_own(url, tenant):
                shown.add(url)
        if not shown:
            return request
        return await off_loop(is_heavy, _with_images, request, shown)

    async def _content(self, source: Remote, field: str, tenant: str | None) -> tuple[str, bytes] | None:
        """The media type and bytes at a URL: from the store for a `tenant`'s own image, otherwise fetched.

        None for a stored image that has been deleted.
        """
        if tenant is None:
            return await self._fetcher().get(source.url, field=field, accept=IMAGE_TYPES)
        try:
            return await self._images().get(tenant, source.url)
        except AwsError:
            raise unavailable("The store of images") from None

    async def _acceptable(
        self, source: Source, field: str, model: Model, budget: "_Budget", tenant: str | None
    ) -> Inline | None:
        async with budget.turn:
            if isinstance(source, Remote):
                found = await self._content(source, field, tenant)
                if found is None:
                    return None
                media_type, data = found
                budget.spend(len(data), field)
                if media_type != "image/gif" or "no_gif" not in model.quirks:
                    return Inline(media_type=media_type, data=await asyncio.to_thread(encoded, data))
            else:
                data = await asyncio.to_thread(decoded, source.data)
            return await still_image(data, field)


class _Budget:
    """Bounds for all images of one request: how many are processed at a time, and their total size."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._left = MAX_FETCHED_BYTES

    def spend(self, size: int, field: str) -> None:
        self._left -= size
        if self._left < 0:
            raise InvalidRequest.field(field, f"the images exceed {MAX_FETCHED_BYTES // 2**20} MB in total")


def may_hold_media(request: ChatRequest) -> bool:
    """Whether a request has parts that are not text, or may link to images."""
    if any(isinstance(piece, Image | File | Audio) for piece in _pieces(request)):
        return True
    return any(_has_markdown(part, message) for message in request.messages for part in message.parts)


def _has_markdown(part: Part, message: Message) -> TypeGuard[Text]:
    return message.role == "assistant" and isinstance(part, Text) and "![" in part.text


def _linked(request: ChatRequest) -> list[str]:
    """The URLs of images in the markdown of earlier responses, the newest first."""
    newest: list[str] = []
    for message in reversed(request.messages):
        for part in reversed(message.parts):
            if _has_markdown(part, message):
                newest += reversed([found[1] for found in _markdown(part.text)])
                if len(newest) >= _MAX_LINKS:
                    return newest[:_MAX_LINKS]
    return newest


def _markdown(text: str) -> Iterator[re.Match[str]]:
    """The images in a text. A long one is searched in steps: a search is one call of C that nothing interrupts."""
    at = 0
    while at < len(text):
        if found := _MARKDOWN.search(text, at, at + _WINDOW):
            yield found
            at = found.end()
        else:
            at += _WINDOW - _LONGEST_MARKDOWN


def _with_images(request: ChatRequest, shown: Set[str]) -> ChatRequest:
    messages = tuple(
        message.model_copy(update={"parts": tuple(_unfolded(message, shown))}) for message in request.messages
    )
    return request.model_copy(update={"messages": messages})


def _unfolded(message: Message, shown: Set[str]) -> Iterator[Part]:
    """The message's parts, with images in place of the links in `shown`."""
    for part in message.parts:
        if not _has_markdown(part, message):
            yield part
            continue
        end = 0
        for found in _markdown(part.text):
            if found[1] in shown:
                if before := part.text[end : found.start()].strip():
                    yield Text(text=before)
                yield Image(source=Remote(url=found[1]))
                end = found.end()
        if not end:
            yield part
        elif after := part.text[end:].strip():
            yield Text(text=after)


def _image_fields(request: ChatRequest) -> dict[Source, str]:
    """The images of a request, each with the first field that has it."""
    fields: dict[Source, str] = {}
    for part in _pieces(request):
        if isinstance(part, Image):
            fields.setdefault(part.source, part.field)
    return fields


def _document_fields(request: ChatRequest) -> Iterator[tuple[Source, str]]:
    return ((part.source, part.field) for part in _pieces(request) if isinstance(part, File))


def _pieces(request: ChatRequest) -> Iterator[Part]:
    """All parts of all messages, those of tool results in the place of the results."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolResult):
                yield from part.content
            else:
                yield part


def _must_change(source: Source, model: Model) -> bool:
    if isinstance(source, Remote):
        return "inline_images" in model.quirks
    return source.media_type == "image/gif" and "no_gif" in model.quirks


async def still_image(gif: bytes, field: str) -> Inline:
    """A GIF's first frame as an inline PNG. Raises InvalidRequest."""
    png = await first_frame(gif, field)
    return Inline(media_type="image/png", data=await asyncio.to_thread(encoded, png))


async def first_frame(gif: bytes, field: str) -> bytes:
    """A GIF's first frame as PNG, converted in a thread since it may take a second. Raises InvalidRequest."""
    from shared.gif import first_frame_png

    try:
        return await asyncio.to_thread(first_frame_png, gif)
    except ValueError:
        raise InvalidRequest.field(field, "is not a readable GIF") from None


def _replaced(message: Message, changed: Mapping[Source, Inline | None]) -> Message:
    parts = tuple(_replaced_part(part, changed, message.role) for part in message.parts)
    return message.model_copy(update={"parts": parts})


def _replaced_part(part: _PartT, changed: Mapping[Source, Inline | None], role: str) -> _PartT | Text:
    if isinstance(part, Image) and part.source in changed:
        source = changed[part.source]
        if source is not None:
            return part.model_copy(update={"source": source})
        if role == "assistant":  # stored images may expire before the conversation ends
            return Text(text="[an image that is no longer stored]")
        raise InvalidRequest.field(part.field, "is a stored image that has been deleted")
    if isinstance(part, ToolResult):
        content = tuple(_replaced_part(piece, changed, role) for piece in part.content)
        return part.model_copy(update={"content": content})
    return part
