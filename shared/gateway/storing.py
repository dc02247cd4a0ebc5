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
