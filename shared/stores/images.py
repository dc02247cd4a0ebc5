"""Generated images in the private bucket, under their tenant and the hash of their content.

The same image is stored once per tenant, and a URL does not reveal the tenant. The bucket's lifecycle deletes images.
"""

import hashlib

from shared.media import sniff
from shared.stores.objects import ObjectNotFound, ObjectStore
from shared.stores.tenants import TenantFolders

_PREFIX = "images/"
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
_LONGEST_LIFETIME = 7 * 24 * 3600  # S3's own limit


class ImageStore:
    """Stores images in a bucket and returns URLs that are valid for `lifetime` seconds."""

    def __init__(self, objects: ObjectStore, folders: TenantFolders, *, lifetime: int) -> None:
        self._objects = objects
        self._folders = folders
        self._lifetime = max(1, min(lifetime, _LONGEST_LIFETIME))

    async def put(self, tenant: str, data: bytes) -> str:
        """Stores an image and returns its URL. Raises ValueError for bytes that are not an image, and AwsError."""
        media_type = sniff(data)
        if media_type not in _EXTENSIONS:
            raise ValueError("not an image")
        digest = hashlib.sha256(data).hexdigest()
        key = f"{await self._folder(tenant)}{digest}.{_EXTENSIONS[media_type]}"
        await self._objects.put(key, data, media_type, sha256=digest)
        return await self._objects.presigned("GET", key, self._lifetime)

    async def owns(self, tenant: str, url: str) -> bool:
        """Whether a URL, expired or not, belongs to an image of the tenant's. Raises AwsError."""
        return await self._key(tenant, url) is not None

    async def get(self, tenant: str, url: str) -> tuple[str, bytes] | None:
        """The media type and bytes at a URL that `owns` accepts, None if it has been deleted. Raises AwsError."""
        key = await self._key(tenant, url)
        if key is None:
            return None
        try:
            stored = await self._objects.get(key)
        except ObjectNotFound:
            return None
        media_type = sniff(stored.content)
        return (media_type, stored.content) if media_type in _EXTENSIONS else None

    async def _key(self, tenant: str, url: str) -> str | None:
        """The key of the tenant's image that a URL leads to; None for every other URL."""
        key = self._objects.key_of(url)
        if key is None or not key.startswith(_PREFIX):
            return None
        return key if key.startswith(await self._folder(tenant)) else None

    async def _folder(self, tenant: str) -> str:
        return f"{_PREFIX}{await self._folders.of(tenant)}/"
