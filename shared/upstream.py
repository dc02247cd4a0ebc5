"""The one place that does HTTP with providers: connections, time-outs and what can go wrong on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, BinaryIO, Protocol

import httpx

from shared.errors import UpstreamError, UpstreamIncomplete, UpstreamTimeout
from shared.schemas.upload import Upload

# Sandboxes freeze between invocations: a connection that idled longer than this may be dead without our knowing.
_KEEP_ALIVE_SECONDS = 20.0
# A stream's last event is usually followed by nothing but the end of the body, which has come with it.
_DRAIN_SECONDS = 0.05
_DRAIN_BYTES = 1024
MAX_ANSWER_BYTES = 128 * 1024 * 1024


class InProcessAnswer(Protocol):
    """What a provider inside the gateway answers: body bytes, or pauses in seconds as floats."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def chunks(self) -> Any: ...


InProcess = Callable[[str, bytes], InProcessAnswer]


class Upstream:
    """One HTTP client for the life of the process, on one event loop, made when it is first needed."""

    def __init__(
        self,
        *,
        connect_timeout: float,
        in_process: Mapping[str, InProcess],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._in_process = in_process
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=self._transport
                or httpx.AsyncHTTPTransport(
                    retries=1, limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS)
                ),
                mounts={f"{scheme}://": _InProcessTransport(answer) for scheme, answer in self._in_process.items()},
                trust_env=False,
                follow_redirects=False,
            )
        return self._client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

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
        """Sends a request and gives the answer once its head has come; the body is read from the answer.

        `auth` authenticates the request, `content` is a JSON body, or `form` the fields and files of a multipart one,
        `deadline` is on the event loop's clock. Raises UpstreamTimeout and UpstreamError.
        """
        client = self._http()
        request = client.build_request(
            method,
            url,
            headers=headers if content is None else {"content-type": "application/json", **headers},
            content=content,
            files=None if form is None else [(name, _part(value)) for name, value in form],
            # The deadline below bounds every phase but connecting, which has its own, shorter limit.
            timeout=httpx.Timeout(None, connect=self._connect_timeout),
        )
        try:
            async with asyncio.timeout_at(deadline):
                response = await client.send(request, stream=True, auth=auth)
        except _FAILURES as error:
            raise _failure(error) from None
        try:
            yield Answer(response, deadline)
        finally:
            await response.aclose()


class Answer:
    """A provider's answer of which the head has come; iterating gives the body as it comes.

    Iteration raises UpstreamTimeout past the deadline and UpstreamError for a connection that breaks.
    """

    def __init__(self, response: httpx.Response, deadline: float) -> None:
        self._body = response.aiter_bytes()
        self._deadline = deadline
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        # Once a chunk: nothing but what it takes.
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(self._body)
        except _FAILURES as error:
            raise _failure(error) from None

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
                raise UpstreamError("The provider's answer is too large.")
        return body.getvalue()  # no copy, which that of a bytearray would be

    async def drain(self) -> None:
        """Reads what little may follow the last event of a stream, so that the connection can be used again."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while len(await anext(self._body, b"")) in range(1, _DRAIN_BYTES):
                    pass
        except (TimeoutError, httpx.HTTPError, httpx.StreamError):
            return


def _part(value: str | Upload) -> tuple[str | None, str | BinaryIO, str | None]:
    """A part of a multipart body as httpx takes it: without a file name it is a plain field."""
    if isinstance(value, str):
        return None, value, None
    return value.filename, value.open(), value.media_type


_FAILURES = (TimeoutError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


# What goes wrong before the whole request is out.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.WriteError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


def _failure(error: Exception) -> UpstreamIncomplete | UpstreamTimeout:
    """What the network does as our errors. Their texts name no host."""
    failure: UpstreamIncomplete | UpstreamTimeout
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        failure = UpstreamTimeout("The provider did not answer in time.")
    else:
        failure = UpstreamIncomplete("The provider could not be reached, or broke off.")
    failure.unsent = isinstance(error, _UNSENT)
    return failure


class _InProcessTransport(httpx.AsyncBaseTransport):
    """Gives an in-process provider the same door as the others."""

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
