"""The two ways in which an answer reaches Lambda: streamed as it is made, or whole in one proxy response."""

import json
from collections.abc import Iterable
from typing import Protocol

from mangum.types import LambdaHandler

from shared.runtime.api import Invocation, RuntimeApi
from shared.runtime.failure import Failure

Headers = Iterable[tuple[bytes, bytes]]

_END_OF_PRELUDE = bytes(8)


class Output(Protocol):
    """Where an answer goes: `start`, any number of `body`, and in the end `finish`.

    `started` and `ended` stay true to what has left when a call is cancelled half-way.
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
        """Ends an answer that has not ended, as a failure of its own where nothing of it has left."""
        ...

    async def finish(self) -> None:
        """Waits until Lambda has taken the answer."""
        ...


class StreamedOutput:
    """Every chunk leaves at once, in API Gateway's format for streams.

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
    """The answer is kept until it is whole, then posted as one proxy response, binary bodies in base64."""

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
    """What comes before a streamed body: status and headers in JSON, with eight NULs as their end.

    A header that is repeated is in `multiValueHeaders` alone; `cookies` are the values of Set-Cookie.
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
    """Headers and a body in which clients of every dialect find what they look for."""
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
    return headers, json.dumps(body).encode()
