"""Where a batch's objects lie in the bucket. All but the result files, which are files of the caller's."""

from shared.schemas.batch import Batch, Submission
from shared.stores.batches import tenant_hash


def input_key(submission: Submission) -> str:
    return f"{_folder(submission)}input.jsonl"


def plan_key(batch: Batch) -> str:
    """The chunks, once the input has been split."""
    return f"{_folder(batch.submission)}chunks.json"


def result_key(batch: Batch, chunk: int) -> str:
    """The results of all lines of a chunk."""
    return f"{_folder(batch.submission)}results/{chunk:05d}.jsonl"


def partial_key(batch: Batch, chunk: int) -> str:
    """The results of a chunk that has to wait for the rest."""
    return f"{_folder(batch.submission)}partial/{chunk:05d}.jsonl"


def _folder(submission: Submission) -> str:
    return f"batches/{tenant_hash(submission.caller.tenant)}/{submission.id}/"
