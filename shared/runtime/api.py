"""Lambda's Runtime API: gets invocations and posts responses and errors.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and, for streamed responses,
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import json
from base64 import b64encode
from collections.abc import Mapping

from shared.dataclass import dataclass
from shared.runtime.connection import Connection, Response
from shared.runtime.failure import Failure

_ROOT = "/2018-06-01/runtime"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_INVOCATION_ID = "Lambda-Runtime-Invocation-Id"
_JSON = {"Content-Type": "application/json"}
_STREAMED = {
    "Content-Type": "application/vnd.awslambda.http-integration-response",
    "Lambda-Runtime-Function-Response-Mode": "streaming",
    "Transfer-Encoding": "chunked",
    "Trailer": f"{_ERROR_TYPE}, {_ERROR_BODY}",
}


class RuntimeApiError(Exception):
    """The Runtime API rejected a call."""

    def __init__(self, path: str, response: Response) -> None:
        super().__init__(f"{path}: status {response.status}: {response.body[:500].decode(errors='replace')}")
        self.status = response.status


@dataclass(slots=True)
class Invocation:
    """One event to respond to. `deadline_ms` is Unix time in milliseconds; `headers` have lower-case names."""

    request_id: str
    deadline_ms: int
    event: bytes
    headers: Mapping[str, str]

    def take_event(self) -> bytes:
        """The event, which is kept no longer: it may have megabytes, and waiting for a model takes long."""
        event, self.event = self.event, b""
        return event

    @property
    def path(self) -> str:
        return f"{_ROOT}/invocation/{self.request_id}"

    @property
    def attempt(self) -> dict[str, str]:
        """The header that ties a response to this attempt of the invocation, if Lambda sent one."""
        given = self.headers.get(_INVOCATION_ID.lower())
        return {_INVOCATION_ID: given} if given else {}


class RuntimeApi:
    """The API at an address, `host:port`. Every method may raise RuntimeApiError, OSError, EOFError or ValueError."""

    def __init__(self, address: str) -> None:
        self._connection = Connection(address)

    async def next_invocation(self) -> Invocation:
        """Waits for the next event, however long that takes."""
        path = f"{_ROOT}/invocation/next"
        response = await self._connection.request("GET", path, {})
        if response.status != 200:
            raise RuntimeApiError(path, response)
        headers = response.headers
        request_id = headers["lambda-runtime-aws-request-id"]
        return Invocation(request_id, int(headers["lambda-runtime-deadline-ms"]), response.body, headers)

    async def restore(self) -> None:
        """Reports that the process is ready for its snapshot; returns in each process restored from it."""
        path = f"{_ROOT}/restore/next"
        response = await self._connection.request("GET", path, {})
        self._connection.close()
        if response.status != 200:
            raise RuntimeApiError(path, response)

    async def init_error(self, failure: Failure) -> None:
        await self._report(f"{_ROOT}/init/error", failure, {})

    async def restore_error(self, failure: Failure) -> None:
        await self._report(f"{_ROOT}/restore/error", failure, {})

    async def invocation_error(self, invocation: Invocation, failure: Failure) -> None:
        await self._report(f"{invocation.path}/error", failure, invocation.attempt)

    async def respond(self, invocation: Invocation, body: bytes) -> None:
        """Responds to an invocation with one JSON document of at most 6 MB."""
        await self._post(f"{invocation.path}/response", {**_JSON, **invocation.attempt}, body)

    def stream(self, invocation: Invocation) -> "ResponseStream":
        """Responds to an invocation in chunks."""
        return ResponseStream(self._connection, invocation)

    def close(self) -> None:
        self._connection.close()

    async def _report(self, path: str, failure: Failure, headers: Mapping[str, str]) -> None:
        body = {"errorMessage": failure.message, "errorType": failure.type, "stackTrace": failure.stack}
        await self._post(path, {**_JSON, **headers, _ERROR_TYPE: failure.type}, json.dumps(body).encode())

    async def _post(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        response = await self._connection.request("POST", path, headers, body)
        if response.status >= 300:
            raise RuntimeApiError(path, response)


class ResponseStream:
    """A streamed response to an invocation; each chunk is sent immediately as one HTTP chunk.

    `begun` is whether any of it has been sent, `ended` whether all of it has.
    """

    def __init__(self, connection: Connection, invocation: Invocation) -> None:
        self._connection = connection
        self._path = f"{invocation.path}/response"
        self._headers = {**_STREAMED, **invocation.attempt}
        self.begun = False
        self.ended = False

    async def send(self, *chunks: bytes, more: bool) -> None:
        """Sends chunks, and the end after them unless there are `more`. Waits while Lambda reads too slowly."""
        parts = [part for chunk in chunks if chunk for part in (b"%x\r\n" % len(chunk), chunk, b"\r\n")]
        if not self.begun:
            await self._connection.open()
            parts.insert(0, self._connection.head("POST", self._path, self._headers))
            self.begun = True
        if not more:
            parts.append(b"0\r\n\r\n")
            self.ended = True
        await self._connection.write(*parts)

    async def break_off(self, failure: Failure) -> None:
        """Ends a response with a failure that came too late for an error status."""
        body = json.dumps({"errorType": failure.type, "errorMessage": failure.message}).encode()
        self.ended = True
        trailers = f"{_ERROR_TYPE}: {failure.type}\r\n{_ERROR_BODY}: {b64encode(body).decode()}\r\n"
        await self._connection.write(f"0\r\n{trailers}\r\n".encode())

    async def accepted(self) -> None:
        """Waits until Lambda has received the whole response, then closes the connection, as Lambda requires."""
        try:
            response = await self._connection.response()
        finally:
            self._connection.close()
        if response.status >= 300:
            raise RuntimeApiError(self._path, response)
