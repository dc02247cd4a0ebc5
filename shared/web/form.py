"""Reads a multipart request body: fields as text, large files spooled to disk."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import PurePosixPath

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from shared.dialects.base import Form
from shared.errors import InvalidRequest, MalformedRequest, PayloadTooLarge
from shared.media import SNIFF_BYTES, sniff
from shared.schemas.upload import Upload
from shared.web.body import declared_length, size_text
from shared.web.http import Request

_MAX_FILES = 20
_MAX_FIELDS = 100
_MAX_FIELD_BYTES = 256 * 1024
_NOT_IN_NAMES = re.compile(r"[^\w.() -]")
_BOUNDARY = re.compile(
    r';[ \t]*boundary=(?:"([ !#-\[\]-~]{1,200})"|([!#-+\--:<-\[\]-~]{1,200}))[ \t]*(?:;|$)', re.IGNORECASE
)
_UNKNOWN = "application/octet-stream"


@asynccontextmanager
async def form_body(request: Request, limit: int, way_around: str) -> AsyncIterator[Form]:
    """The request's fields and files, which stay open until the context ends.

    Raises MalformedRequest for a body that is not a form, InvalidRequest for a field that is too large or too many of
    them, and PayloadTooLarge past `limit` bytes; that error ends with `way_around`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        raise MalformedRequest("The request's Content-Type must be multipart/form-data.")
    too_large = PayloadTooLarge(f"The request body is larger than {size_text(limit)}. {way_around}")
    if declared_length(request) > limit:
        raise too_large
    parser = _Parser(
        _boundary_alone(request.headers["content-type"]),
        _whole(_bounded(request, limit, too_large), lambda: parser.ended),
        max_files=_MAX_FILES,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    try:
        parsed = await parser.parse()
        request.scope["state"]["meter"].is_heavy = True
    except MultiPartException as error:
        # Starlette's messages do not quote the body.
        raise MalformedRequest(f"The multipart body cannot be read: {error.message}") from None
    except (UnicodeError, ValueError):
        raise MalformedRequest("The multipart body cannot be read.") from None
    try:
        form = Form()
        for name, value in parsed.multi_items():
            if isinstance(value, UploadFile):
                form.files.setdefault(name, []).append(await _upload(name, value))
            else:
                form.fields.setdefault(name, []).append(value)
        yield form
    finally:
        await parsed.close()


def _boundary_alone(content_type: str) -> Headers:
    """The Content-Type with only its boundary parameter. Raises MalformedRequest if it has none.

    Starlette would decode every field with the codec that a `charset` names, and some of Python's codecs take hours for
    a large body. Fields are UTF-8: https://datatracker.ietf.org/doc/html/rfc7578#section-4.6.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise MalformedRequest("The request's Content-Type has no valid boundary.")
    return Headers({"content-type": f'multipart/form-data; boundary="{found[1] or found[2]}"'})


class _Parser(MultiPartParser):
    """Starlette's parser, which on its own does not report whether the form was complete."""

    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _whole(chunks: AsyncGenerator[bytes, None], ended: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """The chunks of a form. Raises MalformedRequest if it is truncated: a mask, or half of a file, may be missing."""
    async for chunk in chunks:
        yield chunk
    if not ended():
        # Raised during parsing, so that the parser closes its files.
        raise MalformedRequest("The multipart body is truncated: its last boundary is missing.")


async def _bounded(request: Request, limit: int, too_large: PayloadTooLarge) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large
        yield chunk


async def _upload(name: str, value: UploadFile) -> Upload:
    size = value.size or 0
    if not size:
        raise InvalidRequest.field(name, "is an empty file")
    await value.seek(0)
    media_type = sniff(await value.read(SNIFF_BYTES)) or _UNKNOWN
    return Upload(value.file, _file_name(value.filename), media_type, size)


def _file_name(given: str | None) -> str:
    """The last part of the caller's file name, without characters that are special in a header."""
    name = PurePosixPath((given or "").replace("\\", "/")).name
    return _NOT_IN_NAMES.sub("_", name)[-100:] or "upload"
