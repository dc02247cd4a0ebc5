"""Joins the chunks' results into the two result files, in the order of the chunks.

Large objects are copied inside S3; what is below the minimum part size is read and joined in memory.
"""

from dataclasses import field

from shared.batches.object_keys import result_key
from shared.batches.results import MEDIA_TYPE, output_bytes
from shared.dataclass import dataclass
from shared.pump import gather_or_cancel
from shared.schemas.batch import Batch
from shared.stores.objects import MIN_PART_BYTES, ObjectStore, Part, StoredObject

_AT_ONCE = 8


async def compose(batch: Batch, objects: ObjectStore) -> tuple[bool, bool]:
    """Writes the result files that have lines; returns whether there are outputs, and errors. Raises AwsError."""
    assert batch.chunks is not None
    assert batch.output_key is not None
    assert batch.error_key is not None
    outputs, errors = _Target(objects, batch.output_key), _Target(objects, batch.error_key)
    try:
        for start in range(1, batch.chunks + 1, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, batch.chunks + 1))
            keys = [result_key(batch, number) for number in numbers]
            beginnings = await gather_or_cancel(objects.get(key, first=0, last=MIN_PART_BYTES - 1) for key in keys)
            for key, beginning in zip(keys, beginnings, strict=True):
                middle = output_bytes(beginning.metadata)
                await outputs.append(key, beginning, 0, middle)
                await errors.append(key, beginning, middle, beginning.size)
        return await outputs.finish(), await errors.finish()
    except Exception:
        await outputs.abort()
        await errors.abort()
        raise


@dataclass(slots=True)
class _Target:
    """A result file being written."""

    objects: ObjectStore
    key: str
    rest: bytearray = field(default_factory=bytearray)
    parts: list[Part] = field(default_factory=list)
    upload: str | None = None

    async def append(self, source: str, beginning: StoredObject, first: int, end: int) -> None:
        """Appends the bytes `first` to `end` (exclusive) of an object whose `beginning` has already been read."""
        known = len(beginning.content)
        if first < known:
            self.rest += memoryview(beginning.content)[first : min(end, known)]
            first = min(end, known)
        if len(self.rest) >= MIN_PART_BYTES:
            await self._send()
        # A copied part must have the minimum part size, and so must every part before it.
        while end - first >= 2 * MIN_PART_BYTES:
            if not self.rest:
                part = await self.objects.copy_part(
                    self.key, await self._upload(), len(self.parts) + 1, source, first=first, last=end - 1
                )
                self.parts.append(part)
                return
            first = await self._read(source, first, first + MIN_PART_BYTES - len(self.rest))
        if first < end:
            await self._read(source, first, end)

    async def _read(self, source: str, first: int, end: int) -> int:
        self.rest += (await self.objects.get(source, first=first, last=end - 1)).content
        if len(self.rest) >= MIN_PART_BYTES:
            await self._send()
        return end

    async def _send(self) -> None:
        content = bytes(self.rest)
        self.rest.clear()
        self.parts.append(await self.objects.upload_part(self.key, await self._upload(), len(self.parts) + 1, content))

    async def _upload(self) -> str:
        if self.upload is None:
            self.upload = await self.objects.begin_upload(self.key, MEDIA_TYPE)
        return self.upload

    async def finish(self) -> bool:
        """Completes the file. Returns False if it has no content and was not written."""
        if self.upload is None:
            if self.rest:
                await self.objects.put(self.key, bytes(self.rest), MEDIA_TYPE)
            return bool(self.rest)
        if self.rest:
            await self._send()
        await self.objects.complete_upload(self.key, self.upload, self.parts)
        self.upload = None
        return True

    async def abort(self) -> None:
        if self.upload is not None:
            await self.objects.abort_upload(self.key, self.upload)
