"""Splits an input into chunks, each a byte range, and validates every line before any is answered."""

import asyncio

from shared.batches.endpoints import URLS
from shared.batches.lines import BadLine, CustomIds, InputRejected, RawLine, raw_lines, read_line
from shared.batches.object_keys import input_key
from shared.schemas.batch import Batch, ChunkMessage
from shared.settings import Settings
from shared.stores.objects import ObjectNotFound, ObjectStore

CHUNK_BYTES = 4 * 1024 * 1024
"""A chunk ends at the latest with the line that exceeds this. It is held in memory while its lines are answered."""
_LINES_AT_ONCE = 500


async def split(batch: Batch, objects: ObjectStore, settings: Settings) -> tuple[tuple[ChunkMessage, ...], int]:
    """The chunks of a batch's input and their number of lines. Raises InputRejected, and AwsError."""
    splitter = _Splitter(batch, max(1, settings.batch_chunk_lines), max(1, settings.batch_lanes))
    try:
        async with objects.stream(input_key(batch.submission)) as content:
            async for raw in raw_lines(content):
                splitter.add(raw)
                if splitter.total > settings.batch_max_lines:
                    raise InputRejected(
                        "too_many_lines", f"A batch can have at most {settings.batch_max_lines} lines.", raw.number
                    )
                if not splitter.total % _LINES_AT_ONCE:
                    await asyncio.sleep(0)  # lets other tasks run
    except ObjectNotFound:
        raise InputRejected("no_input", "The input is no longer stored.") from None
    return splitter.end(), splitter.total


class _Splitter:
    def __init__(self, batch: Batch, chunk_lines: int, lanes: int) -> None:
        self._batch = batch
        self._chunk_lines = chunk_lines
        self._lanes = lanes
        self._ids = CustomIds()
        self._chunks: list[ChunkMessage] = []
        self._raw: list[tuple[int, int, int]] = []
        self._duplicates: dict[int, int] = {}
        self._readable = False
        self._first_error: InputRejected | None = None
        self.total = 0

    def add(self, raw: RawLine) -> None:
        """Adds the next line."""
        self.total += 1
        self._check(raw)
        self._raw.append((raw.number, raw.first, raw.size))
        first = self._raw[0][1]
        if len(self._raw) == self._chunk_lines or raw.first + raw.size - first >= CHUNK_BYTES:
            self._cut()

    def _check(self, raw: RawLine) -> None:
        try:
            custom_id: str | None = read_line(raw.number, raw.text, URLS, self._batch.submission.endpoint).custom_id
            self._readable = True
        except BadLine as bad:
            custom_id = bad.custom_id
            self._readable = self._readable or bad.readable
            if self._first_error is None:
                self._first_error = InputRejected(bad.code, bad.message, raw.number)
        if custom_id is not None and (owner := self._ids.claim(custom_id, raw.number)) != raw.number:
            self._duplicates[raw.number] = owner

    def _cut(self) -> None:
        """Makes a chunk of the lines added since the last one."""
        line, first, _ = self._raw[0]
        _, begin, size = self._raw[-1]
        self._chunks.append(
            ChunkMessage(
                tenant=self._batch.tenant,
                batch=self._batch.id,
                chunk=len(self._chunks) + 1,
                first=first,
                last=begin + size - 1,
                line=line,
                duplicates=self._duplicates,
                stride=self._lanes,
            )
        )
        self._raw = []
        self._duplicates = {}

    def end(self) -> tuple[ChunkMessage, ...]:
        """All chunks. Raises InputRejected if the input has no lines, or none that is JSON."""
        if self._raw:
            self._cut()
        if not self._chunks:
            raise InputRejected("empty_file", "The input has no lines.")
        if not self._readable:
            assert self._first_error is not None
            raise self._first_error
        return tuple(self._chunks)
