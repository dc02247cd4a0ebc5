"""Puts what a provider has made into the image store, all of an answer or none of it."""

from shared.errors import UpstreamError
from shared.stores.aws import AwsError
from shared.stores.images import ImageStore


async def stored(data: bytes, images: ImageStore, tenant: str) -> str:
    """The URL of an image that is now in the store. Raises UpstreamError."""
    try:
        return await images.put(tenant, data)
    except ValueError:
        raise UpstreamError("The provider's image is in a format that the gateway does not know.") from None
    except AwsError:
        raise UpstreamError("The image was made, but could not be stored.") from None


class Markdown:
    """One candidate's text with links to its images in it, each a paragraph of its own."""

    def __init__(self) -> None:
        self._ends_line = True
        self._ends_image = False

    def text(self, text: str) -> str:
        """More text, as it goes into the answer."""
        if not text:
            return text
        opening = "\n\n" if self._ends_image and not text.startswith("\n") else ""
        self._ends_line, self._ends_image = text.endswith("\n"), False
        return opening + text

    def image(self, url: str) -> str:
        """A link to the image at a URL."""
        opening = "" if self._ends_line else "\n\n"
        self._ends_line, self._ends_image = False, True
        return f"{opening}![image]({url})"
