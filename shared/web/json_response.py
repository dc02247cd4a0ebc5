"""JSON responses: in one piece, or in chunks so that a large one is not held in memory beside its source."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from shared.json_text import pieces

_PIECE = 64 * 1024


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(body, inf_nan_mode="null"), status, headers, "application/json")


class LargeJson(StreamingResponse):
    """A JSON response in chunks. Takes dicts with str keys, lists, tuples and scalars."""

    def __init__(self, body: Any) -> None:
        super().__init__(_joined(pieces(body)), media_type="application/json")


async def _joined(tokens: Iterator[bytes]) -> AsyncIterator[bytes]:
    piece = bytearray()
    for token in tokens:
        piece += token
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
