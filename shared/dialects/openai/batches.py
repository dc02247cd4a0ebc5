"""Batches as OpenAI's SDKs submit and read them: https://developers.openai.com/api/reference/resources/batches."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from shared.dialects.base import FormWire, JsonObject, Wire, read
from shared.schemas.batch import Batch, BatchOrder, BatchQuery, FileInput, ResultUrls, Window, is_batch_id
from shared.schemas.context import RequestContext

MAX_METADATA = 16
WAY_AROUND = "Upload the requests with POST /v1/files and send the file's id as input_file_id."
SHOWS_RESULT_URLS = False
# What a batch of mixed endpoints, which OpenAI does not know, shows in the place of one.
_ANY_ENDPOINT = "/v1/inference/batch"


class OpenAIBatch(Wire):
    """The body of POST /v1/batches."""

    input_file_id: Annotated[str, Field(min_length=1, max_length=200)]
    endpoint: str
    completion_window: Window
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
            Field(max_length=MAX_METADATA),
        ]
        | None
    ) = None


class OpenAIQuery(FormWire):
    """The query of a listing."""

    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20

    @field_validator("after")
    @classmethod
    def _given_out(cls, value: str | None) -> str | None:
        if value is not None and not is_batch_id(value):
            raise ValueError("is not a batch id")
        return value


def order(body: JsonObject) -> BatchOrder:
    """POST /v1/batches."""
    fields = read(OpenAIBatch, body)
    return BatchOrder(FileInput(fields.input_file_id), fields.completion_window, fields.metadata, fields.endpoint)


def query(parameters: Mapping[str, str]) -> BatchQuery:
    """GET /v1/batches."""
    fields = read(OpenAIQuery, dict(parameters))
    return BatchQuery(fields.after, fields.limit)


def batch_body(batch: Batch, urls: ResultUrls, context: RequestContext) -> JsonObject:
    """OpenAI's batch object, which has the ids of the result files and no URLs."""
    return _data(batch)


def _data(batch: Batch) -> JsonObject:
    submission = batch.submission
    errors = [{**error.model_dump(), "param": None} for error in batch.errors]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": submission.endpoint or _ANY_ENDPOINT,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": submission.input_file_id or "",
        "completion_window": submission.window,
        "status": batch.status,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": submission.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": submission.expires_at,
        "finalizing_at": batch.finalizing_at,
        "completed_at": batch.completed_at,
        "failed_at": batch.failed_at,
        "expired_at": batch.expired_at,
        "cancelling_at": batch.cancelling_at,
        "cancelled_at": batch.cancelled_at,
        "request_counts": counts_body(batch),
        "metadata": submission.metadata,
    }


def counts_body(batch: Batch) -> JsonObject:
    return {"total": batch.total, "completed": batch.tally.completed, "failed": batch.tally.failed}


def list_body(rows: Sequence[tuple[Batch, ResultUrls]], *, has_more: bool, context: RequestContext) -> JsonObject:
    batches = [batch for batch, _ in rows]
    return {
        "object": "list",
        "data": [_data(batch) for batch in batches],
        "first_id": batches[0].id if batches else None,
        "last_id": batches[-1].id if batches else None,
        "has_more": has_more,
    }
