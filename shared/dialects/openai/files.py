"""Files as OpenAI's SDKs upload and list them.

https://developers.openai.com/api/reference/resources/files. What OpenAI lacks: a JSON body with `filename`, `purpose`
and `bytes` gets a file that is still empty and `upload`, the presigned request that fills it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from shared.dialects.base import Form, FormWire, JsonObject, Wire, read, read_form
from shared.schemas.stored_file import MAX_FILE_BYTES, FilePurpose, StoredFile
from shared.schemas.upload import Upload

Purpose = Literal["assistants", "batch", "evals", "fine-tune", "user_data", "vision"]


class FileForm(FormWire):
    """The fields of an upload."""

    purpose: Purpose


class AnnouncedFile(Wire):
    """The body of POST /v1/files that asks for a place to upload to; `bytes` is the exact size."""

    filename: Annotated[str, Field(pattern=r"^[\w.() -]{1,100}$")]
    purpose: Purpose
    bytes: Annotated[int, Field(ge=1, le=MAX_FILE_BYTES)]


class FileQuery(FormWire):
    """The query of a listing."""

    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    purpose: str | None = None
    order: Literal["asc", "desc"] = "desc"


def upload(form: Form) -> tuple[FilePurpose, Upload]:
    """The purpose and the one file of an upload. Raises InvalidRequest."""
    return read_form(FileForm, form).purpose, form.only("file")


def announced(body: JsonObject) -> AnnouncedFile:
    return read(AnnouncedFile, body)


def query(parameters: Mapping[str, str]) -> FileQuery:
    return read(FileQuery, dict(parameters))


def file_body(file: StoredFile) -> JsonObject:
    """OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created,
        "expires_at": file.expires,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def announced_body(file: StoredFile, url: str, expires: int) -> JsonObject:
    """The file object of a file that is still to come, and how to bring it."""
    return {
        **file_body(file),
        "status": "uploaded",
        "upload": {"method": "PUT", "url": url, "headers": {"Content-Length": str(file.size)}, "expires_at": expires},
    }


def list_body(files: Sequence[StoredFile], *, has_more: bool) -> JsonObject:
    return {
        "object": "list",
        "data": [file_body(file) for file in files],
        "first_id": files[0].id if files else None,
        "last_id": files[-1].id if files else None,
        "has_more": has_more,
    }


def deleted_body(file_id: str) -> JsonObject:
    return {"id": file_id, "object": "file", "deleted": True}
