"""Stores generated images."""

from shared.errors import UpstreamError
from shared.stores.aws_calls import AwsError
from shared.stores.images import ImageStore


async def stored(data: bytes, images: ImageStore, tenant: str) -> str:
    """Stores an image and returns its URL. Raises UpstreamError."""
    try:
        return await images.put(tenant, data)
    except ValueError:
        raise UpstreamError("The provider returned an image in an unsupported format.") from None
    except AwsError:
        raise UpstreamError("The image was generated, but could not be stored.") from None
