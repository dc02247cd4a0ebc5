"""Images in chat answers as markdown: each is put into the image store, and a link to it into the text."""

import asyncio
import base64
from typing import TYPE_CHECKING

from shared.errors import UpstreamTimeout
from shared.schemas.events import CitationDelta, ImageDelta, TextDelta

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt


class ImageLinks:
    """Fed a call's text and images, gives text alone."""

    def __init__(self, attempt: "Attempt") -> None:
        self._attempt = attempt
        self._ends_line: dict[int, bool] = {}
        self._after_image: set[int] = set()
        self._linked: set[int] = set()

    def text(self, event: TextDelta) -> TextDelta:
        """The text, in a paragraph of its own behind an image."""
        if event.text:
            if event.index in self._after_image:
                self._after_image.discard(event.index)
                if not event.text.startswith("\n"):
                    event.text = "\n\n" + event.text
            self._ends_line[event.index] = event.text.endswith("\n")
        return event

    def citation(self, event: CitationDelta) -> CitationDelta:
        """The source; of all of the text, once a link has moved what the vendor points to."""
        if event.index in self._linked:
            event.citation = event.citation.model_copy(update={"start": 0, "end": 0})
        return event

    async def image(self, event: ImageDelta) -> TextDelta:
        """A link to the stored image. Raises UpstreamError and UpstreamTimeout where it cannot be stored."""
        from shared.gateway.storing import stored  # with the object store, which most requests do not need

        attempt = self._attempt
        try:
            async with asyncio.timeout_at(attempt.deadline):
                url = await stored(base64.b64decode(event.data), attempt.services.images, attempt.context.caller.tenant)
        except TimeoutError:
            raise UpstreamTimeout("The image was made, but could not be stored in time.") from None
        opening = "" if self._ends_line.get(event.index, True) else "\n\n"
        self._ends_line[event.index] = False
        self._after_image.add(event.index)
        self._linked.add(event.index)
        return TextDelta(f"{opening}![image]({url})", event.index)
