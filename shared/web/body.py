"""Reads a request's JSON body up to a size limit."""

from collections.abc import Callable
from io import BytesIO
from typing import TypeVar

from shared.dialects.base import JsonObject, read_request
from shared.errors import MalformedRequest, PayloadTooLarge
from shared.json_text import TooComplex
from shared.offload import HEAVY_BYTES, off_loop
from shared.web.http import Request

T = TypeVar("T")

# Both spellings of what references in JSON schemas begin with. A few of them stand for schemas of any size.
_REFERENCES = (b"$", b"\\u0024")


async def json_body(request: Request, limit: int, parse: Callable[[JsonObject], T], way_around: str) -> T:
    """What `parse` makes of the body, a JSON object; off the event loop where that may take long.

    Raises MalformedRequest, PayloadTooLarge past `limit` bytes and for what would take many times its size, and what
    `parse` raises. `way_around` ends the messages of PayloadTooLarge.
    """
    _check_content_type(request.headers.get("content-type", ""))
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MalformedRequest("Send the request body without a Content-Encoding.")
    too_large = PayloadTooLarge(f"The request body is larger than {size_text(limit)}. {way_around}")
    data = await read_body(request, limit, too_large)
    is_heavy = len(data) > HEAVY_BYTES or any(reference in data for reference in _REFERENCES)
    request.scope["state"]["meter"].is_heavy = is_heavy
    return await off_loop(is_heavy, lambda: parse(_read(data, way_around)))


def _read(data: bytes, way_around: str) -> JsonObject:
    try:
        return read_request(data)
    except TooComplex as error:
        raise PayloadTooLarge(f"The request body holds {error}. {way_around}") from None


async def read_body(request: Request, limit: int, too_large: PayloadTooLarge) -> bytes:
    """The body of a request; raises `too_large` past `limit` bytes."""
    if declared_length(request) > limit:
        raise too_large
    body = BytesIO()
    async for chunk in request.stream():
        body.write(chunk)
        if body.tell() > limit:
            raise too_large
    return body.getvalue()  # no copy, unlike bytes(bytearray)


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
