"""JSON responses: in one piece, or in chunks so that a large one is not held in memory beside its source."""

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from shared.json_text import pieces
from shared.web.http import Receive, Response, Scope, Send

_PIECE = 64 * 1024


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(body, inf_nan_mode="null"), status, headers, "application/json")


class LargeJson(Response):
    """A JSON response in chunks. Takes dicts with str keys, lists, tuples and scalars."""

    def __init__(self, body: Any) -> None:
        super().__init__(None, media_type="application/json")
        self._tokens = pieces(body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(self.start)
        for chunk in _joined(self._tokens):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _joined(tokens: Iterator[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for token in tokens:
        piece += token
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
