"""Stores generated images."""

from shared.errors import UpstreamError
from shared.gateway.aws_failures import unavailable
from shared.stores.aws_calls import AwsError
from shared.stores.images import ImageStore


async def stored(data: bytes, images: ImageStore, tenant: str) -> str:
    """Stores an image and returns its URL. Raises UpstreamError and ModelUnavailable."""
    try:
        return await images.put(tenant, data)
    except ValueError:
        raise UpstreamError("The provider returned an image in an unsupported format.") from None
    except AwsError:
        raise unavailable("The store of images") from None
