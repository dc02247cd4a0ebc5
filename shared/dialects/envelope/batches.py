"""Batches in the envelope dialect: submitted by URL, in base64 or inline, and listed by cursor."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_core import to_json

from shared.dialects.base import FormWire, JsonObject, Wire, read
from shared.dialects.envelope import enveloped
from shared.dialects.openai.batches import counts_body
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.media import decoded, standard_base64
from shared.schemas.batch import (
    Batch,
    BatchInput,
    BatchOrder,
    BatchQuery,
    BatchStatus,
    FileInput,
    InlineInput,
    ResultUrls,
    UrlInput,
    Window,
    is_batch_id,
)
from shared.schemas.context import RequestContext

MAX_BASE64_BYTES = 10 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024
WAY_AROUND = "Send input_file_url, or upload the file with POST /v1/files and send its id as input_file_id."
SHOWS_RESULT_URLS = True
_INPUTS = ("input_file_url", "input_file_base64", "input_file_id", "requests")


class EnvelopeBatch(Wire):
    """The body of POST /v1/inference/batch: one of the four inputs, `input_file_id` being a file of /v1/files."""

    input_file_url: Annotated[str, Field(min_length=1)] | None = None
    input_file_base64: Annotated[str, Field(min_length=1)] | None = None
    input_file_id: Annotated[str, Field(min_length=1)] | None = None
    requests: Annotated[list[Any], Field(min_length=1)] | None = None
    endpoint_completion_window: Window = "24h"
    metadata: dict[str, Any] | None = None


class EnvelopeQuery(FormWire):
    """The query of a listing."""

    status: BatchStatus | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: str | None = None

    @field_validator("cursor")
    @classmethod
    def _given_out(cls, value: str | None) -> str | None:
        if value is not None and not is_batch_id(value):
            raise ValueError("is not a cursor of this list")
        return value


def order(body: JsonObject) -> BatchOrder:
    """POST /v1/inference/batch. Raises InvalidRequest, and PayloadTooLarge."""
    fields = read(EnvelopeBatch, body)
    if fields.metadata is not None and len(to_json(fields.metadata)) > MAX_METADATA_BYTES:
        raise InvalidRequest.field("metadata", f"is larger than {MAX_METADATA_BYTES // 2**10} KB")
    return BatchOrder(_input(fields), fields.endpoint_completion_window, fields.metadata)


def _input(fields: EnvelopeBatch) -> BatchInput:
    given = [name for name in _INPUTS if getattr(fields, name) is not None]
    if len(given) != 1:
        message = "one of " + ", ".join(_INPUTS) + (" is required" if not given else " is enough")
        raise InvalidRequest.field(given[1] if given else _INPUTS[0], message)
    if fields.input_file_url is not None:
        return UrlInput(fields.input_file_url, "input_file_url")
    if fields.input_file_base64 is not None:
        return InlineInput(_decoded(fields.input_file_base64))
    if fields.input_file_id is not None:
        return FileInput(fields.input_file_id)
    assert fields.requests is not None
    return InlineInput(b"".join(to_json(request) + b"\n" for request in fields.requests))


def _decoded(text: str) -> bytes:
    try:
        content = decoded(standard_base64(text))
    except ValueError as error:
        raise InvalidRequest.field("input_file_base64", str(error)) from None
    if len(content) > MAX_BASE64_BYTES:
        raise PayloadTooLarge(f"input_file_base64 is larger than {MAX_BASE64_BYTES // 2**20} MB. {WAY_AROUND}")
    return content


def query(parameters: Mapping[str, str]) -> BatchQuery:
    """GET /v1/inference/batch."""
    fields = read(EnvelopeQuery, dict(parameters))
    return BatchQuery(fields.cursor, fields.limit, fields.status)


def batch_body(batch: Batch, urls: ResultUrls, context: RequestContext) -> JsonObject:
    """One batch."""
    return enveloped(_data(batch, urls), context)


def list_body(rows: Sequence[tuple[Batch, ResultUrls]], *, has_more: bool, context: RequestContext) -> JsonObject:
    """A page of batches, each with the URLs of its results."""
    body = enveloped({"items": [_data(*row) for row in rows]}, context)
    cursor = rows[-1][0].id if has_more else None
    return {**body, "pagination": {"has_more": has_more, "next_cursor": cursor}}


def _data(batch: Batch, urls: ResultUrls) -> JsonObject:
    submission = batch.submission
    output_url, error_url = urls
    data: JsonObject = {
        "id": batch.id,
        "batch_id": batch.id,
        "object": "batch",
        "status": batch.status,
        "endpoint_completion_window": submission.window,
        "created_at": _iso(submission.created_at),
        "in_progress_at": _iso(batch.in_progress_at),
        "completed_at": _iso(batch.completed_at),
        "cancelled_at": _iso(batch.cancelled_at),
        "expires_at": _iso(submission.expires_at),
        "request_counts": counts_body(batch),
        "output_file_url": output_url,
        "error_file_url": error_url,
        "metadata": submission.metadata,
    }
    if batch.errors:
        data["errors"] = [error.model_dump() for error in batch.errors]
    return data


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
