"""Requests and responses of ASGI, as endpoints need them.

In place of Starlette's, which bring forms, cookies and threads along: every function would import them, and spend a
tenth of its cold start on that.
https://asgi.readthedocs.io/en/stable/specs/www.html
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientDisconnect(Exception):
    """The client left before its request was complete, or before it had its response."""


class Request:
    """An HTTP request: its scope, and its body as it arrives."""

    __slots__ = ("headers", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])
        }
        """By name in lower case; of a repeated one the first."""

    @property
    def path_params(self) -> Mapping[str, str]:
        """The parameters of the route's path."""
        params: Mapping[str, str] = self.scope["path_params"]
        return params

    @property
    def query_params(self) -> Mapping[str, str]:
        """The parameters of the query; of a repeated one the last."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives, once. Raises ClientDisconnect."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            if body := message.get("body", b""):
                yield body
            if not message.get("more_body", False):
                return


class Response:
    """An HTTP response with a body in one piece, or with None one that a subclass sends.

    `headers` are by name in lower case.
    """

    def __init__(
        self,
        body: bytes | None = b"",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        if body is not None and status != 204:
            self.headers.setdefault("content-length", str(len(body)))
        if media_type is not None:
            is_text = media_type.startswith("text/")
            self.headers["content-type"] = f"{media_type}; charset=utf-8" if is_text else media_type
        self._body = body

    @property
    def start(self) -> Message:
        """The message with which the response starts."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        return {"type": "http.response.start", "status": self.status, "headers": headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(self.start)
        await send({"type": "http.response.body", "body": self._body or b"", "more_body": False})
