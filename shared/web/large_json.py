"""A JSON answer that may be very large: it leaves in pieces, so that it never lies whole beside what it is made of."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.responses import StreamingResponse

from shared.json_text import pieces

_PIECE = 64 * 1024


class LargeJson(StreamingResponse):
    """Takes dicts with names of type str, lists, and what JSON has besides."""

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
