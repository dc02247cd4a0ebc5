"""JSON responses: in one piece, or in chunks so that a large one is not held in memory beside its source."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

_PIECE = 64 * 1024


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(body, inf_nan_mode="null"), status, headers, "application/json")


class LargeJson(StreamingResponse):
    """A JSON response in chunks. Takes dicts with str keys, lists, tuples and scalars."""

    def __init__(self, body: Any) -> None:
        super().__init__(_joined(_tokens(body)), media_type="application/json")


async def _joined(tokens: Iterator[bytes]) -> AsyncIterator[bytes]:
    piece = bytearray()
    for token in tokens:
        piece += token
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _tokens(value: Any) -> Iterator[bytes]:
    match value:
        case dict():
            opening = b"{"
            for name, item in value.items():
                yield opening + to_json(name) + b":"
                yield from _tokens(item)
                opening = b","
            yield b"}" if value else b"{}"
        case list() | tuple():
            opening = b"["
            for item in value:
                yield opening
                yield from _tokens(item)
                opening = b","
            yield b"]" if value else b"[]"
        case str() if len(value) > _PIECE:
            yield b'"'
            for start in range(0, len(value), _PIECE):
                yield to_json(value[start : start + _PIECE])[1:-1]
            yield b'"'
        case _:
            yield to_json(value, inf_nan_mode="null")
