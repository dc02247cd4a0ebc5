"""Batches: what a caller submits, a batch's state, and the messages that drive its processing."""

import hashlib
import re
import secrets
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from shared.dataclass import dataclass
from shared.schemas.base import Frozen
from shared.schemas.caller import Caller

Window: TypeAlias = Literal["24h", "4h", "1h"]
WINDOW_SECONDS: dict[Window, int] = {"24h": 24 * 3600, "4h": 4 * 3600, "1h": 3600}
_ID = re.compile(r"batch_[0-9a-f]{11}[0-9a-f]{16}")


def new_batch_id(now: float) -> str:
    """A new id; ids sort by the Unix time of their creation."""
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
        """Whether the status is final."""
        return self in (BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class InlineInput:
    """Lines that came with the request."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UrlInput:
    """Lines at an https URL, or at an `s3://` URL of a file of the caller's; `field` names it in errors."""

    url: str = field(repr=False)
    field: str


@dataclass(frozen=True, slots=True)
class FileInput:
    """Lines in a file of the caller's."""

    file_id: str


BatchInput: TypeAlias = InlineInput | UrlInput | FileInput


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """A parsed batch submission. `endpoint` is the only URL that its lines may have, None for any."""

    input: BatchInput
    window: Window
    metadata: dict[str, Any] | None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """Which batches to list: up to `limit` after the id `after`, of one status if given."""

    after: str | None
    limit: int
    status: BatchStatus | None = None


ResultUrls: TypeAlias = tuple[str | None, str | None]
"""Presigned URLs of a batch's output file and error file; None for a file that does not exist."""


class Submission(Frozen):
    """The immutable part of a batch; times are in Unix seconds. `token_hash` identifies the key that submitted it."""

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
    """Why an input cannot be used at all, and the number of the line at fault, from 1."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of the finished lines of a chunk or batch. `expired` lines are included in `failed`."""

    completed: int = 0
    failed: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's state. `chunks` is None until its input has been split, `done` are the chunks that were counted.

    `handed_on` are chunks that were sent when the one before them in their lane was through. `rests_until` is the Unix
    time until which the key's limits are known to let no line through. `output_key` and `error_key` are the keys of the
    result files; None if there is no such file.
    """

    submission: Submission
    status: BatchStatus
    total: int = 0
    tally: Tally = Tally()
    chunks: int | None = None
    done: frozenset[int] = frozenset()
    handed_on: frozenset[int] = frozenset()
    rests_until: int = 0
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
    """`failures` is how often AWS failed while the message was processed."""

    tenant: str
    batch: str
    failures: int = 0

    @property
    def group(self) -> str:
        """Whose message it is for SQS, which prefers those of tenants that keep the workers less busy."""
        return hashlib.sha256(self.tenant.encode()).hexdigest()[:32]


class SplitMessage(_Message):
    """Split the input and send the first chunk of each lane; if it was split before, the first unfinished ones."""

    kind: Literal["split"] = "split"

    @property
    def group(self) -> str:
        """A new batch does not wait for what its tenant has under way."""
        return self.batch


class ChunkMessage(_Message):
    """Answer the lines in the input's bytes `first` to `last`, inclusive.

    `line` is the number of the first line, from 1; `duplicates` maps lines with a duplicate custom_id to the line that
    used it first. `stride` is the number of lanes: the chunk after this one in its lane is so many further (0 in
    messages of releases that sent all chunks at once). `round` counts consecutive attempts without progress; the chunk
    waits until the Unix time `not_before`. `unanswered` are lines that were asked once, and charged, without an answer.
    """

    kind: Literal["chunk"] = "chunk"
    chunk: int
    first: int
    last: int
    line: int
    duplicates: dict[int, int] = Field(default_factory=dict)
    stride: int = 0
    round: int = 0
    not_before: float = 0.0
    unanswered: frozenset[int] = frozenset()

    @property
    def lane(self) -> int:
        """The number of its lane, from 0."""
        return (self.chunk - 1) % self.stride if self.stride else 0


class FinishMessage(_Message):
    """Write the result files."""

    kind: Literal["finish"] = "finish"


class WatchMessage(_Message):
    """Make sure that the batch ends even if another of its messages was lost."""

    kind: Literal["watch"] = "watch"


BatchMessage: TypeAlias = Annotated[
    SplitMessage | ChunkMessage | FinishMessage | WatchMessage, Field(discriminator="kind")
]
_messages: TypeAdapter[BatchMessage] = TypeAdapter(BatchMessage)
_plan: TypeAdapter[tuple[ChunkMessage, ...]] = TypeAdapter(tuple[ChunkMessage, ...])


def read_message(text: str) -> BatchMessage:
    """Parses a message. Raises ValueError if it is invalid."""
    return _messages.validate_json(text)


def write_plan(chunks: tuple[ChunkMessage, ...]) -> bytes:
    """All chunks of a batch as JSON."""
    return _plan.dump_json(chunks)


def read_plan(content: bytes) -> tuple[ChunkMessage, ...]:
    return _plan.validate_json(content)
