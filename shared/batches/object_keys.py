"""The keys of a batch's objects in the bucket, except the result files, which are stored as the caller's files."""

from shared.schemas.batch import Batch, Submission
from shared.stores.batches import tenant_hash


def input_key(submission: Submission) -> str:
    return f"{_folder(submission)}input.jsonl"


def plan_key(batch: Batch) -> str:
    """The list of chunks, written when the input has been split."""
    return f"{_folder(batch.submission)}chunks.json"


def result_key(batch: Batch, chunk: int) -> str:
    """The results of all lines of a chunk."""
    return f"{_folder(batch.submission)}results/{chunk:05d}.jsonl"


def partial_key(batch: Batch, chunk: int) -> str:
    """The results so far of a chunk whose other lines are postponed."""
    return f"{_folder(batch.submission)}partial/{chunk:05d}.jsonl"


def _folder(submission: Submission) -> str:
    return f"batches/{tenant_hash(submission.caller.tenant)}/{submission.id}/"
