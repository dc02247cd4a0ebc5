"""Images in chat answers as markdown: each is put into the image store, and a link to it into the text."""

import asyncio
from typing import TYPE_CHECKING

from shared.errors import UpstreamTimeout
from shared.media import decoded
from shared.offload import HEAVY_BYTES, off_loop
from shared.schemas.events import ImageDelta, TextDelta

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt


class ImageLinks:
    """Fed a call's text and images, gives text alone."""

    def __init__(self, attempt: "Attempt") -> None:
        self._attempt = attempt
        self._ends_line: dict[int, bool] = {}
        self._after_image: set[int] = set()

    def text(self, event: TextDelta) -> TextDelta:
        """The text, in a paragraph of its own behind an image."""
        if event.text:
            if event.index in self._after_image:
                self._after_image.discard(event.index)
                if not event.text.startswith("\n"):
                    event.text = "\n\n" + event.text
            self._ends_line[event.index] = event.text.endswith("\n")
        return event

    async def image(self, event: ImageDelta) -> TextDelta:
        """A link to the stored image. Raises UpstreamError and UpstreamTimeout where it cannot be stored."""
        from shared.gateway.storing import stored  # with the object store, which most requests do not need

        attempt = self._attempt
        try:
            async with asyncio.timeout_at(attempt.deadline):
                data = await off_loop(len(event.data) > HEAVY_BYTES, decoded, event.data)
                url = await stored(data, attempt.services.images, attempt.context.caller.tenant)
        except TimeoutError:
            raise UpstreamTimeout("The image was made, but could not be stored in time.") from None
        opening = "" if self._ends_line.get(event.index, True) else "\n\n"
        self._ends_line[event.index] = False
        self._after_image.add(event.index)
        return TextDelta(f"{opening}![image]({url})", event.index)
