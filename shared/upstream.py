"""The HTTP client for providers: connections, time-outs and network errors."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from io import BytesIO
from typing import Any, BinaryIO, Protocol

import httpx

from shared.errors import UpstreamError, UpstreamIncomplete, UpstreamTimeout
from shared.http_transport import HttpTransport, request_to
from shared.schemas.upload import Upload

# Lambda freezes processes between invocations: a connection idle for longer than this may be dead unnoticed.
_KEEP_ALIVE_SECONDS = 20.0
# After a stream's last event there is usually only the end of the body, which has already arrived.
_DRAIN_SECONDS = 0.05
_DRAIN_BYTES = 1024
MAX_ANSWER_BYTES = 128 * 1024 * 1024
_HEADERS = {"accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": "inference-gateway"}
_JSON_HEADERS = {**_HEADERS, "content-type": "application/json"}


class InProcessAnswer(Protocol):
    """The response of an in-process provider; chunks are body bytes, or pauses in seconds as floats."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def chunks(self) -> Any: ...


InProcess = Callable[[str, bytes], InProcessAnswer]


class Upstream:
    """The connections of a process to its providers, on one event loop, made on first use."""

    def __init__(
        self,
        *,
        connect_timeout: float,
        in_process: Mapping[str, InProcess],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        # The deadline of a call bounds every phase but connecting, which has its own, shorter limit.
        self._extensions = {"timeout": {"connect": connect_timeout}}
        self._in_process = {scheme: _InProcessTransport(answer) for scheme, answer in in_process.items()}
        self._transport = transport or HttpTransport(retries=1, keepalive_expiry=_KEEP_ALIVE_SECONDS)

    async def aclose(self) -> None:
        await self._transport.aclose()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        auth: httpx.Auth | None,
        content: bytes | None,
        form: Sequence[tuple[str, str | Upload]] | None,
        deadline: float,
    ) -> AsyncIterator["Answer"]:
        """Sends a request and returns the response once its head has arrived; the body is read from the response.

        `auth` authenticates the request, `content` is a JSON body, or `form` the fields and files of a multipart one,
        `deadline` is on the event loop's clock. Raises UpstreamTimeout and UpstreamError.
        """
        try:
            async with asyncio.timeout_at(deadline):
                request = request_to(
                    url,
                    method,
                    {**_HEADERS, **headers} if content is None else {**_JSON_HEADERS, **headers},
                    content,
                    self._extensions,
                    files=None if form is None else [(name, _part(value)) for name, value in form],
                )
                if auth is not None:
                    await _authenticate(request, auth)
                transport = self._in_process.get(request.url.scheme, self._transport)
                response = await transport.handle_async_request(request)
        except _FAILURES as error:
            raise _failure(error) from None
        answer = Answer(response, deadline)
        try:
            yield answer
        finally:
            answer.ended()
            await response.aclose()


async def _authenticate(request: httpx.Request, auth: httpx.Auth) -> None:
    """Lets `auth` add its headers. What it may want to see of the response it does not get."""
    async with aclosing(auth.async_auth_flow(request)) as flow:
        await anext(flow)


class Answer:
    """A provider's response whose head has arrived; iterating yields the body as it arrives.

    Iteration raises UpstreamTimeout past the deadline and UpstreamError for a connection that breaks.
    """

    def __init__(self, response: httpx.Response, deadline: float) -> None:
        encoded = "content-encoding" in response.headers
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._body = response.aiter_bytes() if encoded else aiter(response.stream)
        self._reader: asyncio.Task[Any] | None = None
        self._cancelled_before = 0
        self._is_late = False
        # One timer for all chunks: asyncio.timeout costs a tenth of what a streamed token does.
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire) if deadline < math.inf else None
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        # Runs once per chunk: kept minimal.
        if self._is_late:
            raise _failure(TimeoutError())
        self._reader = reader = asyncio.current_task()
        try:
            return await anext(self._body)
        except asyncio.CancelledError:
            if self._is_late and reader is not None and reader.uncancel() <= self._cancelled_before:
                raise _failure(TimeoutError()) from None
            raise
        except _FAILURES as error:
            raise _failure(error) from None
        finally:
            self._reader = None

    def _expire(self) -> None:
        """Ends the read that is under way, as asyncio.timeout does, and every later one."""
        self._is_late = True
        if self._reader is not None:
            self._cancelled_before = self._reader.cancelling()
            self._reader.cancel()

    def ended(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()

    async def beginning(self, most: int) -> bytes:
        """As much of the body as `most` bytes, and what has come together with them."""
        body = b""
        async for chunk in self:
            body += chunk
            if len(body) >= most:
                break
        return body

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamError past MAX_ANSWER_BYTES, and what iterating raises."""
        body = BytesIO()
        async for chunk in self:
            body.write(chunk)
            if body.tell() > MAX_ANSWER_BYTES:
                raise UpstreamError("The provider's response is too large.")
        return body.getvalue()  # no copy, which that of a bytearray would be

    async def drain(self) -> None:
        """Reads the rest after a stream's last event, if it is short, so that the connection can be reused."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while len(await anext(self._body, b"")) in range(1, _DRAIN_BYTES):
                    pass
        except _FAILURES:
            return


def _part(value: str | Upload) -> tuple[str | None, str | BinaryIO, str | None]:
    """A part of a multipart body in httpx's format: without a file name it is a plain field."""
    if isinstance(value, str):
        return None, value, None
    return value.filename, value.open(), value.media_type


_FAILURES = (
    TimeoutError,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
)


# Errors that occur before the whole request has been sent.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.WriteError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


def _failure(error: Exception) -> UpstreamIncomplete | UpstreamTimeout:
    """Converts a network error to one of ours, with a message that names no host."""
    failure: UpstreamIncomplete | UpstreamTimeout
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        failure = UpstreamTimeout("The provider did not respond in time.")
    else:
        failure = UpstreamIncomplete("The provider could not be reached, or closed the connection.")
    failure.unsent = isinstance(error, _UNSENT)
    return failure


class _InProcessTransport(httpx.AsyncBaseTransport):
    """Makes an in-process provider callable like the others."""

    def __init__(self, answer: InProcess) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._answer(request.url.path, await request.aread())
        return httpx.Response(answer.status, headers=dict(answer.headers), content=_paced(answer.chunks))


async def _paced(chunks: Any) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, float):
            await asyncio.sleep(chunk)
        else:
            yield chunk
