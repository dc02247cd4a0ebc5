"""The results of a chunk's lines: collected, on disk if they are large, and stored as one object.

The object holds the output lines, then the error lines; its metadata hold the size of the output lines and the counts.
"""

import hashlib
from collections.abc import Iterator, Mapping
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from pydantic_core import from_json, to_json

from shared.batches.lines import BadLine, Line, raw_lines
from shared.dialects.base import JsonObject
from shared.schemas.batch import Batch, Tally
from shared.stores.objects import ObjectNotFound, ObjectStore, Part

MEDIA_TYPE = "application/jsonl"
PART_BYTES = 8 * 1024 * 1024
_OUTPUTS = "output-bytes"
_LONGEST = 1024**3


class Results:
    """The results of a chunk's lines so far. Must be closed."""

    def __init__(self, batch: Batch) -> None:
        self._batch_id = batch.id
        self._outputs = cast(BinaryIO, SpooledTemporaryFile(PART_BYTES))  # noqa: SIM115 - close() does
        self._errors = cast(BinaryIO, SpooledTemporaryFile(PART_BYTES))  # noqa: SIM115
        self._ids: set[str] = set()
        self.tally = Tally()

    def close(self) -> None:
        self._outputs.close()
        self._errors.close()

    def has(self, number: int) -> bool:
        """Whether the line with this number has a result."""
        return self._id(number) in self._ids

    def succeed(self, line: Line, request_id: str, body: JsonObject) -> None:
        """Adds the response to a line."""
        response = {"status_code": 200, "request_id": request_id, "body": body}
        self._keep(line.number, line.custom_id, response, None)

    def fail(
        self, line: Line, code: str, message: str, response: JsonObject | None = None, *, expired: bool = False
    ) -> None:
        """Adds the error of a line that was attempted, cancelled or expired."""
        error = {"code": code, "message": message, "line": line.number}
        self._keep(line.number, line.custom_id, response, error, expired=expired)

    def refuse(self, number: int, bad: BadLine) -> None:
        """Adds the error of an invalid line."""
        error = {"code": bad.code, "message": f"line {number}: {bad.message}", "line": number}
        self._keep(number, bad.custom_id, None, error)

    def _keep(
        self,
        number: int,
        custom_id: str | None,
        response: JsonObject | None,
        error: JsonObject | None,
        *,
        expired: bool = False,
    ) -> None:
        result_id = self._id(number)
        result = {"id": result_id, "custom_id": custom_id, "response": response, "error": error}
        text = to_json(result, inf_nan_mode="null")
        self._write(result_id, text, failed=error is not None, expired=expired)

    def _write(self, result_id: str, text: bytes, *, failed: bool, expired: bool = False) -> None:
        file = self._errors if failed else self._outputs
        file.write(text)
        file.write(b"\n")
        self._ids.add(result_id)
        tally = self.tally
        self.tally = Tally(tally.completed + (not failed), tally.failed + failed, tally.expired + expired)

    def _id(self, number: int) -> str:
        """The id of a line's result; deterministic, so that a retry gives the same id."""
        digest = hashlib.sha256(f"{self._batch_id}.{number}".encode()).hexdigest()
        return f"batch_req_{digest[:24]}"

    async def load(self, objects: ObjectStore, key: str) -> None:
        """Loads the results that an earlier attempt has stored, if any."""
        try:
            async with objects.stream(key) as chunks:
                async for raw in raw_lines(chunks, _LONGEST):
                    result = from_json(raw.text)
                    self._write(result["id"], raw.text, failed=result["error"] is not None)
        except ObjectNotFound:
            pass

    async def store(self, objects: ObjectStore, key: str, *, new: bool) -> None:
        """Stores the results, replacing earlier ones unless `new`. Raises AwsError, and ObjectExists if `new`."""
        metadata = {
            _OUTPUTS: str(self._outputs.tell()),
            **{name: str(getattr(self.tally, name)) for name in Tally.__dataclass_fields__},
        }
        if self._outputs.tell() + self._errors.tell() <= PART_BYTES:
            await objects.put(key, b"".join(self._parts()), MEDIA_TYPE, metadata=metadata, new=new)
        else:
            await self._upload(objects, key, metadata, new=new)

    async def _upload(self, objects: ObjectStore, key: str, metadata: Mapping[str, str], *, new: bool) -> None:
        upload = await objects.begin_upload(key, MEDIA_TYPE, metadata=metadata)
        parts: list[Part] = []
        try:
            for content in self._parts():
                part = await objects.upload_part(key, upload, len(parts) + 1, content)
                parts.append(part)
            await objects.complete_upload(key, upload, parts, new=new)
        except Exception:
            await objects.abort_upload(key, upload)
            raise

    def _parts(self) -> Iterator[bytes]:
        """Both files, one after the other, in parts of the minimum size or more, except the last."""
        for file in (self._outputs, self._errors):
            file.seek(0)
        while True:
            part = self._outputs.read(PART_BYTES)
            if len(part) < PART_BYTES:
                part += self._errors.read(PART_BYTES - len(part))
            if not part:
                return
            yield part


async def stored_tally(objects: ObjectStore, key: str) -> Tally | None:
    """The counts of a stored result, None if it is not stored."""
    info = await objects.head(key)
    return None if info is None else tally_of(info.metadata)


def tally_of(metadata: Mapping[str, str]) -> Tally:
    return Tally(**{name: int(metadata[name]) for name in Tally.__dataclass_fields__})


def output_bytes(metadata: Mapping[str, str]) -> int:
    """The size of a stored result's output lines in bytes; the rest are error lines."""
    return int(metadata[_OUTPUTS])
