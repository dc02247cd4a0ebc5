"""Batches: what a caller submits, what becomes of it, and the messages by which its work is handed on."""

import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from shared.schemas.base import Frozen
from shared.schemas.caller import Caller

Window: TypeAlias = Literal["24h", "4h", "1h"]
WINDOW_SECONDS: dict[Window, int] = {"24h": 24 * 3600, "4h": 4 * 3600, "1h": 3600}
_ID = re.compile(r"batch_[0-9a-f]{11}[0-9a-f]{16}")


def new_batch_id(now: float) -> str:
    """Ids sort by the Unix time at which they were made."""
    return f"batch_{int(now * 1000):011x}{secrets.token_hex(8)}"


def is_batch_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


class BatchStatus(StrEnum):
    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the batch stays as it is from now on."""
        return self in (BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class InlineInput:
    """Lines that came with the request."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UrlInput:
    """Lines behind an https URL, or an `s3://` reference to a file of the caller's; `field` names it in errors."""

    url: str = field(repr=False)
    field: str


@dataclass(frozen=True, slots=True)
class FileInput:
    """Lines in a file of the caller's."""

    file_id: str


BatchInput: TypeAlias = InlineInput | UrlInput | FileInput


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """A parsed request for a batch. `endpoint` is the only URL that its lines may have, None for any."""

    input: BatchInput
    window: Window
    metadata: dict[str, Any] | None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """Which batches a list has: `limit` of those after the id `after`, of one status where one is given."""

    after: str | None
    limit: int
    status: BatchStatus | None = None


ResultUrls: TypeAlias = tuple[str | None, str | None]
"""URLs that open a batch's output file and error file, where there are such files."""


class Submission(Frozen):
    """What of a batch never changes; times are in Unix seconds. `token_hash` leads to the key that submitted it."""

    id: str
    caller: Caller
    token_hash: str = Field(repr=False)
    window: Window
    metadata: dict[str, Any] | None
    endpoint: str | None
    input_file_id: str | None
    created_at: int
    expires_at: int


class InputError(Frozen):
    """Why an input cannot be used as a whole, and the line that shows it, counted from 1."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How the lines of a chunk, or of a batch so far, ended. `expired` ones are among the `failed`."""

    completed: int = 0
    failed: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands. `chunks` is None until its input has been split, `done` are those that are counted.

    `output_key` and `error_key` are the places of the result files; None where there is no such file.
    """

    submission: Submission
    status: BatchStatus
    total: int = 0
    tally: Tally = Tally()
    chunks: int | None = None
    done: frozenset[int] = frozenset()
    output_key: str | None = None
    error_key: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[InputError, ...] = ()
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None

    @property
    def id(self) -> str:
        return self.submission.id

    @property
    def tenant(self) -> str:
        return self.submission.caller.tenant

    @property
    def all_done(self) -> bool:
        """Whether every chunk is counted."""
        return self.chunks is not None and len(self.done) == self.chunks


class _Message(Frozen):
    """`failures` counts how often AWS has failed in the message's step."""

    tenant: str
    batch: str
    failures: int = 0


class SplitMessage(_Message):
    """Read the input and hand out its chunks; later, hand out anew those that are not done."""

    kind: Literal["split"] = "split"


class ChunkMessage(_Message):
    """Answer the lines in the input's bytes from `first` to `last`, both included.

    `line` is the number of the first of them, from 1; `duplicates` says of lines whose custom_id is not their own
    which line has it. `round` counts the times that the chunk had to wait in vain, `not_before` is the Unix time until
    which it has to wait now.
    """

    kind: Literal["chunk"] = "chunk"
    chunk: int
    first: int
    last: int
    line: int
    duplicates: dict[int, int] = Field(default_factory=dict)
    round: int = 0
    not_before: float = 0.0


class FinishMessage(_Message):
    """Put the result files together."""

    kind: Literal["finish"] = "finish"


class WatchMessage(_Message):
    """See to it that the batch ends, should another of its messages have been lost."""

    kind: Literal["watch"] = "watch"


BatchMessage: TypeAlias = Annotated[
    SplitMessage | ChunkMessage | FinishMessage | WatchMessage, Field(discriminator="kind")
]
_messages: TypeAdapter[BatchMessage] = TypeAdapter(BatchMessage)
_plan: TypeAdapter[tuple[ChunkMessage, ...]] = TypeAdapter(tuple[ChunkMessage, ...])


def read_message(text: str) -> BatchMessage:
    """Raises ValueError for text that is no message."""
    return _messages.validate_json(text)


def write_plan(chunks: tuple[ChunkMessage, ...]) -> bytes:
    """All chunks of a batch as JSON."""
    return _plan.dump_json(chunks)


def read_plan(content: bytes) -> tuple[ChunkMessage, ...]:
    return _plan.validate_json(content)
