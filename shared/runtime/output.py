"""The two ways to send a response to Lambda: streamed, or as one complete proxy response."""

import json
from collections.abc import Iterable
from typing import Protocol

from mangum.types import LambdaHandler

from shared.runtime.api import Invocation, RuntimeApi
from shared.runtime.failure import Failure

Headers = Iterable[tuple[bytes, bytes]]

_END_OF_PRELUDE = bytes(8)


class Output(Protocol):
    """Where a response goes: `start`, any number of `body`, and finally `finish`.

    `started` and `ended` stay correct if a call is cancelled half-way.
    """

    @property
    def started(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    async def start(self, status: int, headers: Headers, chunk: bytes, *, more: bool) -> None:
        """The status and headers together with the first chunk of the body."""
        ...

    async def body(self, chunk: bytes, *, more: bool) -> None: ...

    async def fail(self, failure: Failure, request_id: str) -> None:
        """Ends an incomplete response: as an error response if nothing of it has been sent yet."""
        ...

    async def finish(self) -> None:
        """Waits until Lambda has received the response."""
        ...


class StreamedOutput:
    """Sends every chunk immediately, in API Gateway's format for streams.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
    """

    def __init__(self, api: RuntimeApi, invocation: Invocation) -> None:
        self._stream = api.stream(invocation)

    @property
    def started(self) -> bool:
        return self._stream.begun

    @property
    def ended(self) -> bool:
        return self._stream.ended

    async def start(self, status: int, headers: Headers, chunk: bytes, *, more: bool) -> None:
        await self._stream.send(prelude(status, headers), chunk, more=more)

    async def body(self, chunk: bytes, *, more: bool) -> None:
        await self._stream.send(chunk, more=more)

    async def fail(self, failure: Failure, request_id: str) -> None:
        if self.started:
            await self._stream.break_off(failure)
        else:
            await self.start(failure.status, *_error_page(failure, request_id), more=False)

    async def finish(self) -> None:
        await self._stream.accepted()


class BufferedOutput:
    """Buffers the response and posts it as one proxy response, with binary bodies in base64."""

    def __init__(self, api: RuntimeApi, invocation: Invocation, handler: LambdaHandler) -> None:
        self._api = api
        self._invocation = invocation
        self._handler = handler
        self._status = 0
        self._headers: list[list[bytes]] = []
        self._chunks: list[bytes] = []
        self.started = False
        self.ended = False

    async def start(self, status: int, headers: Headers, chunk: bytes, *, more: bool) -> None:
        self._status = status
        self._headers = [[name, value] for name, value in headers]
        self._chunks.clear()
        self.started = True
        await self.body(chunk, more=more)

    async def body(self, chunk: bytes, *, more: bool) -> None:
        self._chunks.append(chunk)
        self.ended = not more

    async def fail(self, failure: Failure, request_id: str) -> None:
        await self.start(failure.status, *_error_page(failure, request_id), more=False)

    async def finish(self) -> None:
        body = b"".join(self._chunks)
        response = self._handler({"status": self._status, "headers": self._headers, "body": body})
        await self._api.respond(self._invocation, json.dumps(response).encode())


def prelude(status: int, headers: Headers) -> bytes:
    """What precedes a streamed body: status and headers as JSON, terminated by eight NULs.

    A repeated header is in `multiValueHeaders` only; `cookies` are the values of Set-Cookie.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    content: dict[str, object] = {"statusCode": status}
    if cookies := values.pop("set-cookie", None):
        content["cookies"] = cookies
    content["headers"] = {name: several[0] for name, several in values.items() if len(several) == 1}
    if repeated := {name: several for name, several in values.items() if len(several) > 1}:
        content["multiValueHeaders"] = repeated
    return json.dumps(content).encode() + _END_OF_PRELUDE


def _error_page(failure: Failure, request_id: str) -> tuple[Headers, bytes]:
    """Headers and an error body that has the fields of every dialect."""
    body = {
        "status": "error",
        "error": {
            "message": failure.message,
            "type": "server_error",
            "code": failure.code,
            "status": failure.status,
        },
        "meta": {"request_id": request_id},
    }
    headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode("ascii"))]
    if failure.retry_after is not None:
        headers.append((b"retry-after", str(failure.retry_after).encode()))
    return headers, json.dumps(body).encode()
