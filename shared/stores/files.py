"""Callers' files in the private bucket. A file's attributes are in its key, so that no table is needed.

    files/<keyed hash of the tenant>/<file id>/<purpose>/<filename>

File ids begin with the time left until a distant date, so that S3, which lists by name, lists the newest first.
"""

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from shared.errors import InvalidRequest, NotFound, PayloadTooLarge
from shared.media import SNIFF_BYTES, sniff
from shared.schemas.stored_file import FilePurpose, StoredFile
from shared.schemas.upload import Upload
from shared.stores.objects import ListedObject, ObjectNotFound, ObjectStore
from shared.stores.tenants import TenantFolders

KEPT_DAYS = 30
"""The lifetime of a file by the bucket's lifecycle rule for `files/`."""
_UPLOAD_SECONDS = 3600
_PREFIX = "files/"
_FAR_DAY = 2**43  # in Unix milliseconds, the year 2248
_ID = re.compile(r"file-[0-9a-f]{11}[0-9a-f]{16}")
_MOST_SORTED = 100_000
_SPOOLED_BYTES = 1024 * 1024
_UNKNOWN = "application/octet-stream"


class FileStore:
    """One tenant never sees another's files: the tenant is part of every key. Every method raises AwsError."""

    def __init__(self, objects: ObjectStore, folders: TenantFolders, *, clock: Callable[[], float] = time.time) -> None:
        self._objects = objects
        self._folders = folders
        self._clock = clock

    async def put(self, tenant: str, purpose: FilePurpose, filename: str, content: bytes) -> StoredFile:
        """Stores a file."""
        key = await self.new_key(tenant, purpose, filename)
        await self._objects.put(key, content, sniff(content[:SNIFF_BYTES]) or _UNKNOWN)
        return _described(key, len(content))

    async def begin(self, tenant: str, purpose: FilePurpose, filename: str, size: int) -> tuple[StoredFile, str, int]:
        """A new file, the URL to which its `size` bytes must be PUT, and when the URL expires, in Unix seconds."""
        key = await self.new_key(tenant, purpose, filename)
        url = await self._objects.presigned("PUT", key, _UPLOAD_SECONDS, size=size)
        return _described(key, size), url, int(self._clock()) + _UPLOAD_SECONDS

    async def find(self, tenant: str, file_id: str) -> StoredFile:
        """A file. Raises NotFound, also for another tenant's file and for one that has not been uploaded yet."""
        listed = await self._listed(tenant, file_id)
        return _described(listed.key, listed.size)

    async def list(
        self,
        tenant: str,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int,
        oldest_first: bool = False,
    ) -> tuple[StoredFile, ...]:
        """The files, newest or oldest first, of one purpose if given, starting after the id `after`.

        That file may have been deleted. Raises InvalidRequest for an `after` that is not a file id.
        """
        if after is not None and not _ID.fullmatch(after):
            raise InvalidRequest.field("after", "must be the id of a file")
        folder = await self._folder(tenant)
        found: list[StoredFile] = []
        # "0" follows "/", so that the listing starts after the file's folder. Oldest first needs the whole listing.
        start = f"{folder}{after}0" if after and not oldest_first else None
        while len(found) < (_MOST_SORTED if oldest_first else limit):
            page = await self._objects.list(folder, after=start, limit=1000)
            files = [_described(listed.key, listed.size) for listed in page]
            found += [file for file in files if purpose in (None, file.purpose)]
            if len(page) < 1000:
                break
            start = page[-1].key
        if oldest_first:
            found = [file for file in reversed(found) if after is None or file.id < after]
        return tuple(found[:limit])

    async def delete(self, tenant: str, file_id: str) -> StoredFile | None:
        """Deletes a file. Raises NotFound as `find` does.

        Describes the file where it was certainly this call that deleted it: of several that delete it at once, one gets
        the description, or none where S3's answer was lost. The others get None. A file that is uploaded again to its
        presigned URL can be deleted again, and is described again.
        """
        listed = await self._listed(tenant, file_id)
        return _described(listed.key, listed.size) if await self._objects.delete_listed(listed) else None

    def expires(self) -> int:
        """When a file expires that is stored now, in Unix seconds."""
        return int(self._clock()) + KEPT_DAYS * 24 * 3600

    def content(self, file: StoredFile) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The file's bytes, in chunks as they arrive."""
        return self._objects.stream(file.key)

    async def fetch(self, tenant: str, reference: str, limit: int) -> Upload:
        """The file with an id or an `s3://` URL in this bucket, as if it had been uploaded with the request.

        The caller must close its `file`. Raises InvalidRequest for a reference to anything but one of the tenant's
        files, and PayloadTooLarge past `limit` bytes.
        """
        file = await self._referred(tenant, reference)
        if file.size > limit:
            raise PayloadTooLarge(f"The file is larger than {limit // 2**20} MB.")
        spooled = SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 - the request's end closes it
        try:
            async with self._objects.stream(file.key) as chunks:
                async for chunk in chunks:
                    spooled.write(chunk)
            size = spooled.tell()
            spooled.seek(0)
            media_type = sniff(spooled.read(SNIFF_BYTES)) or _UNKNOWN
        except ObjectNotFound:
            spooled.close()
            raise _no_such_file() from None
        except BaseException:
            spooled.close()
            raise
        return Upload(cast(BinaryIO, spooled), file.filename, media_type, size)

    async def _listed(self, tenant: str, file_id: str) -> ListedObject:
        """A file's object. Raises NotFound as `find` does."""
        if _ID.fullmatch(file_id):
            for listed in await self._objects.list(f"{await self._folder(tenant)}{file_id}/", after=None, limit=1):
                return listed
        raise NotFound(f"The file '{file_id[:100]}' does not exist.")

    async def _referred(self, tenant: str, reference: str) -> StoredFile:
        """The file of a reference. Text from the caller never becomes part of a key."""
        bucket = f"s3://{self._objects.bucket}/"
        file_id = reference.removeprefix(bucket + await self._folder(tenant)).partition("/")[0]
        try:
            file = await self.find(tenant, file_id)
        except NotFound:
            raise _no_such_file() from None
        if reference not in (file.id, bucket + file.key):
            raise _no_such_file()
        return file

    async def new_key(self, tenant: str, purpose: FilePurpose, filename: str) -> str:
        """The key for a file that will be written later; it contains the file's id."""
        left = _FAR_DAY - int(self._clock() * 1000)
        name = filename if filename.strip(".") else "upload"  # no key may lead through . or ..
        return f"{await self._folder(tenant)}file-{left:011x}{secrets.token_hex(8)}/{purpose}/{name}"

    async def _folder(self, tenant: str) -> str:
        return f"{_PREFIX}{await self._folders.of(tenant)}/"


def file_id_of(key: str) -> str:
    """The id of the file with a key."""
    return key.split("/", 3)[2]


def _described(key: str, size: int) -> StoredFile:
    _, _, file_id, purpose, filename = key.split("/", 4)
    left = int(file_id.removeprefix("file-")[:11], 16)
    created = (_FAR_DAY - left) // 1000
    return StoredFile(file_id, filename, purpose, size, created, created + KEPT_DAYS * 24 * 3600, key)


def _no_such_file() -> InvalidRequest:
    return InvalidRequest.field("file_id", "no such file")
