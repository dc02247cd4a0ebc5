"""Reads a request's JSON body up to a size limit."""

from io import BytesIO

from fastapi import Request

from shared.dialects.base import JsonObject, read_json
from shared.errors import MalformedRequest, PayloadTooLarge


async def json_body(request: Request, limit: int, way_around: str) -> JsonObject:
    """The body as a JSON object.

    Raises MalformedRequest, and PayloadTooLarge past `limit` bytes; that error ends with `way_around`.
    """
    _check_content_type(request.headers.get("content-type", ""))
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MalformedRequest("Send the request body without a Content-Encoding.")
    too_large = PayloadTooLarge(f"The request body is larger than {size_text(limit)}. {way_around}")
    if declared_length(request) > limit:
        raise too_large
    body = BytesIO()
    async for chunk in request.stream():
        body.write(chunk)
        if body.tell() > limit:
            raise too_large
    return read_json(body.getvalue())  # no copy, unlike bytes(bytearray)


def _check_content_type(value: str) -> None:
    media_type = value.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise MalformedRequest("The request's Content-Type must be application/json.")


def declared_length(request: Request) -> int:
    """The request's Content-Length, 0 if it has none."""
    declared = request.headers.get("content-length", "")
    return int(declared[:20]) if declared.isascii() and declared.isdigit() else 0


def size_text(limit: int) -> str:
    return f"{limit // 2**20} MB" if limit >= 2**20 else f"{limit} bytes"
