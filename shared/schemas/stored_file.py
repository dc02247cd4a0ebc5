"""A file that a caller has uploaded for later requests."""

from typing import Literal, TypeAlias

from shared.dataclass import dataclass

MAX_FILE_BYTES = 512 * 1024 * 1024
"""What may be uploaded to a presigned URL, as OpenAI allows."""

FilePurpose: TypeAlias = Literal["assistants", "batch", "batch_output", "evals", "fine-tune", "user_data", "vision"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`size` is in bytes, `created` and `expires` in Unix seconds. `key` is its key in the bucket."""

    id: str
    filename: str
    purpose: str
    size: int
    created: int
    expires: int
    key: str
