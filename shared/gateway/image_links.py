"""Images in chat responses: each is stored, and replaced by a markdown link in the text."""

import asyncio
from typing import TYPE_CHECKING

from shared.errors import UpstreamTimeout
from shared.media import decoded
from shared.offload import HEAVY_BYTES, off_loop
from shared.pump import gather_or_cancel
from shared.schemas.events import ChatEvent, CitationDelta, ImageDelta, TextDelta

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt


class ImageLinks:
    """Takes a call's events and returns them with links in place of images.

    The events of a stream are returned immediately. Without streaming, events are held back from the first image on, so
    that all images are stored in parallel.
    """

    def __init__(self, attempt: "Attempt", *, is_streamed: bool) -> None:
        self._attempt = attempt
        self._is_streamed = is_streamed
        self._held: list[ChatEvent] = []
        self._ends_line: dict[int, bool] = {}
        self._after_image: set[int] = set()
        self._linked: set[int] = set()

    def holds(self, event: ChatEvent) -> bool:
        """Whether the event is held back until `rest`."""
        if self._is_streamed or not (self._held or isinstance(event, ImageDelta)):
            return False
        self._held.append(event)
        return True

    async def rest(self) -> list[ChatEvent]:
        """The events held back. Raises UpstreamError and UpstreamTimeout if an image cannot be stored."""
        urls = iter(
            await gather_or_cancel(self._stored(event) for event in self._held if isinstance(event, ImageDelta))
        )
        return [
            self._link(event, next(urls)) if isinstance(event, ImageDelta) else self.text(event) for event in self._held
        ]

    def text(self, event: ChatEvent) -> ChatEvent:
        """Any event but an image; text after an image starts a new paragraph.

        After a link, a citation is of all of the text: the vendor's positions no longer apply.
        """
        if isinstance(event, TextDelta) and event.text:
            if event.index in self._after_image:
                self._after_image.discard(event.index)
                if not event.text.startswith("\n"):
                    event.text = "\n\n" + event.text
            self._ends_line[event.index] = event.text.endswith("\n")
        elif isinstance(event, CitationDelta) and event.index in self._linked:
            event.citation = event.citation.model_copy(update={"start": 0, "end": 0})
        return event

    async def image(self, event: ImageDelta) -> TextDelta:
        """A link to a streamed image. Raises UpstreamError and UpstreamTimeout if it cannot be stored."""
        return self._link(event, await self._stored(event))

    def _link(self, event: ImageDelta, url: str) -> TextDelta:
        opening = "" if self._ends_line.get(event.index, True) else "\n\n"
        self._ends_line[event.index] = False
        self._after_image.add(event.index)
        self._linked.add(event.index)
        return TextDelta(f"{opening}![image]({url})", event.index)

    async def _stored(self, event: ImageDelta) -> str:
        from shared.gateway.storing import stored  # imports the object store, which most requests do not need

        attempt = self._attempt
        try:
            async with asyncio.timeout_at(attempt.deadline):
                data = await off_loop(len(event.data) > HEAVY_BYTES, decoded, event.data)
                return await stored(data, attempt.services.images, attempt.context.caller.tenant)
        except TimeoutError:
            raise UpstreamTimeout("The image was generated, but could not be stored in time.") from None
