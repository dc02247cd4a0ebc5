"""What callers do with batches: submit, get, list, cancel. The workers do the rest."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from shared.batches.endpoints import ENDPOINTS
from shared.batches.object_keys import input_key
from shared.errors import BatchNotFound, Conflict, InvalidRequest, NotFound
from shared.gateway.services import Services
from shared.gateway.unmetered import stored_until
from shared.schemas.batch import (
    WINDOW_SECONDS,
    Batch,
    BatchOrder,
    BatchStatus,
    FileInput,
    InlineInput,
    ResultUrls,
    SplitMessage,
    Submission,
    UrlInput,
    WatchMessage,
    new_batch_id,
)
from shared.schemas.caller import Caller
from shared.schemas.stored_file import StoredFile
from shared.stores.keys import hash_token
from shared.stores.objects import ObjectNotFound
from shared.stores.queue import MAX_DELAY_SECONDS, Outgoing

INPUT_KEPT_DAYS = 7
"""The lifetime of an input by the bucket's lifecycle rule for `batches/`."""
_MEDIA_TYPE = "application/jsonl"
_FILE_ID = re.compile(r"files/[^/]+/([^/]+)/")
# The message is sent before the row is written, so that every row has its message. The delay, in seconds, lets the row
# be written before a worker looks for it.
_HEAD_START = 1


class BatchService:
    """The batches of one process; `clock` is Unix time. Every method raises AwsError."""

    def __init__(self, services: Services, *, clock: Callable[[], float] = time.time) -> None:
        self._services = services
        self._clock = clock

    async def submit(self, order: BatchOrder, caller: Caller, token: str) -> Batch:
        """Accepts a batch. Raises InvalidRequest for an unknown endpoint and for an input that cannot be fetched.

        The key of `token` is looked up again whenever lines are answered.
        """
        if order.endpoint not in (None, *ENDPOINTS):
            raise InvalidRequest.field("endpoint", f"must be one of {', '.join(ENDPOINTS)}")
        now = self._clock()
        submission = Submission(
            id=new_batch_id(now),
            caller=Caller(**{name: getattr(caller, name) for name in Caller.model_fields}),
            token_hash=hash_token(token),
            window=order.window,
            metadata=order.metadata,
            endpoint=order.endpoint,
            input_file_id=order.input.file_id if isinstance(order.input, FileInput) else None,
            created_at=int(now),
            expires_at=int(now) + WINDOW_SECONDS[order.window],
        )
        await self._store_input(order, submission)
        begin = SplitMessage(tenant=caller.tenant, batch=submission.id)
        watch = WatchMessage(tenant=caller.tenant, batch=submission.id)
        await self._services.batch_queue.send(
            [
                Outgoing(begin.model_dump_json(), _HEAD_START, begin.group),
                Outgoing(watch.model_dump_json(), MAX_DELAY_SECONDS, watch.group),
            ]
        )
        await self._services.batches.add(submission)
        return Batch(submission, BatchStatus.VALIDATING)

    async def find(self, caller: Caller, batch_id: str) -> Batch:
        """One batch. Raises BatchNotFound, also for another tenant's batch."""
        batch = await self._services.batches.find(caller.tenant, batch_id)
        if batch is None:
            raise BatchNotFound(f"The batch '{batch_id[:100]}' does not exist.")
        return batch

    async def list(
        self, caller: Caller, *, status: BatchStatus | None = None, after: str | None, limit: int
    ) -> tuple[list[Batch], bool]:
        """The batches, newest first, starting after the id `after`, and whether there are more."""
        found = await self._services.batches.list(caller.tenant, status=status, after=after, limit=limit + 1)
        return found[:limit], len(found) > limit

    async def cancel(self, caller: Caller, batch_id: str) -> Batch:
        """Stops the workers from starting more lines. Raises BatchNotFound, and Conflict for a batch that has ended."""
        batch = await self.find(caller, batch_id)
        if not batch.status.ended:
            batch = await self._services.batches.cancel(batch) or batch
        if batch.status.ended:
            raise Conflict(f"The batch is {batch.status} and can no longer be cancelled.")
        return batch

    async def result_urls(self, batch: Batch) -> ResultUrls:
        """Presigned URLs of the output file and the error file; None for a file that the batch does not have."""
        return (
            await self._url(batch.output_key if batch.output_file_id else None),
            await self._url(batch.error_key if batch.error_file_id else None),
        )

    async def _url(self, key: str | None) -> str | None:
        if key is None:
            return None
        seconds = self._services.settings.batch_url_lifetime
        name = key.rpartition("/")[2]
        return await self._services.objects.presigned("GET", key, seconds, media_type=_MEDIA_TYPE, download_name=name)

    async def _store_input(self, order: BatchOrder, submission: Submission) -> None:
        """Copies the input to an object of the batch's own, so that the caller can no longer change it."""
        match order.input:
            case InlineInput(content):
                await self._put(submission, content)
            case FileInput(file_id):
                await self._copy(await self._file(submission.caller, file_id), submission, "input_file_id")
            case UrlInput(url, field) if url.startswith("s3://"):
                await self._copy(await self._referenced(submission.caller, url, field), submission, field)
            case UrlInput(url, field):
                from shared.fetch import ANY_TYPE

                _, content = await self._services.fetcher.get(url, field=field, accept=frozenset({ANY_TYPE}))
                await self._put(submission, content)

    def _room(self, submission: Submission, size: int) -> AbstractAsyncContextManager[None]:
        expires = submission.created_at + INPUT_KEPT_DAYS * 24 * 3600
        return stored_until(self._services, submission.caller.tenant, size, expires)

    async def _put(self, submission: Submission, content: bytes) -> None:
        async with self._room(submission, len(content)):
            await self._services.objects.put(input_key(submission), content, _MEDIA_TYPE)

    async def _file(self, caller: Caller, file_id: str) -> StoredFile:
        try:
            file = await self._services.files.find(caller.tenant, file_id)
        except NotFound:
            raise InvalidRequest.field("input_file_id", "no such file") from None
        if file.purpose != "batch":
            raise InvalidRequest.field("input_file_id", "must be a file with the purpose 'batch'")
        return file

    async def _referenced(self, caller: Caller, url: str, field: str) -> StoredFile:
        """The caller's own file at an `s3://` URL. Every other reference raises the same InvalidRequest."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        named = _FILE_ID.match(key)
        try:
            file = await self._services.files.find(caller.tenant, named[1] if named else "")
        except NotFound:
            file = None
        if file is None or (bucket, key) != (self._services.objects.bucket, file.key):
            raise InvalidRequest.field(field, "does not refer to one of your files")
        return file

    async def _copy(self, file: StoredFile, submission: Submission, field: str) -> None:
        limit = self._services.settings.batch_max_bytes
        if file.size > limit:
            raise InvalidRequest.field(field, f"is larger than {limit // 2**20} MB")
        objects, key = self._services.objects, input_key(submission)
        async with self._room(submission, file.size):
            upload = await objects.begin_upload(key, _MEDIA_TYPE)
            try:
                part = await objects.copy_part(key, upload, 1, file.key)
                await objects.complete_upload(key, upload, [part])
            except ObjectNotFound:
                await objects.abort_upload(key, upload)
                raise InvalidRequest.field(field, "no such file") from None
