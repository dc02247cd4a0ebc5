"""An HTTP/1.1 client beneath httpx's requests and responses: asyncio's sockets, llhttp as the parser.

It takes a fifth of the CPU time of httpx's own client, which goes through httpcore, anyio and a parser in Python. In a
stream, every token is a chunk.
"""

import asyncio
import select
import ssl
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from shared.tls import tls_context

_MAX_HEAD_BYTES = 64 * 1024
_MAX_WAITING_BYTES = 256 * 1024
"""How much of a body waits for its reader until the socket is no longer read."""
_JOINED_BYTES = 64 * 1024
"""A body up to this size is sent with the request's head, in one call of the system."""
# Seconds until the next of a host's addresses is tried beside the first (RFC 8305).
_EYEBALLS_SECONDS = 0.25

Origin: TypeAlias = tuple[str, str, int | None]


@lru_cache(maxsize=256)
def _target(url: str) -> tuple[httpx.URL, str]:
    """A URL and its Host header, made once: there are few, and parsing takes as long as the rest of a request."""
    parsed = httpx.URL(url)
    return parsed, parsed.netloc.decode("ascii")


def request_to(
    url: str,
    method: str,
    headers: Mapping[str, str],
    content: bytes | AsyncIterable[bytes] | None,
    extensions: Mapping[str, Any],
    *,
    files: Sequence[Any] | None = None,
) -> httpx.Request:
    """A request with a body of bytes, of chunks or of `files`. The names of `headers` are in lower case.

    One of bytes is made in half of httpx's time, which looks for the headers that it has to add. Raises
    httpx.InvalidURL.
    """
    target, host = _target(url)
    if not isinstance(content, bytes):
        return httpx.Request(method, target, headers=headers, content=content, files=files, extensions=extensions)
    length = {"content-length": str(len(content))} if content or method in ("POST", "PUT", "PATCH") else {}
    whole = {"host": host, **length, **headers}
    request = httpx.Request(method, target, headers=whole, stream=httpx.ByteStream(content), extensions=extensions)
    request.read()
    return request


class HttpTransport(httpx.AsyncBaseTransport):
    """A connection pool for one event loop. Raises httpx's TransportErrors.

    A connection that has been idle for `keepalive_expiry` seconds is not used again. Connecting is tried again
    `retries` times. Of a request's time-outs `connect` and `read` are kept, each chunk of the body being a read.
    `tls` replaces the trusted certificates.
    """

    def __init__(self, *, retries: int, keepalive_expiry: float, tls: ssl.SSLContext | None = None) -> None:
        self._retries = retries
        self._keepalive_expiry = keepalive_expiry
        self._tls = tls
        self._idle: dict[Origin, deque[_Connection]] = {}
        self._open: set[_Connection] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url, timeout = request.url, request.extensions.get("timeout", {})
        origin = url.scheme, url.host, url.port
        connection = self._idle_connection(origin) or await self._connect(origin, timeout.get("connect"))
        try:
            status, headers = await connection.send(request, timeout.get("read"))
        except BaseException:
            connection.abort()
            raise
        return httpx.Response(status, headers=headers, stream=_Body(self, origin, connection, timeout.get("read")))

    def _idle_connection(self, origin: Origin) -> "_Connection | None":
        idle = self._idle.get(origin)
        if not idle:
            return None
        oldest = time.monotonic() - self._keepalive_expiry
        while idle and idle[0].idle_since <= oldest:
            idle.popleft().abort()
        while idle:
            connection = idle.pop()
            if connection.is_usable and not connection.has_news():
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin, seconds: float | None) -> "_Connection":
        for attempt in range(self._retries + 1):
            try:
                async with asyncio.timeout(seconds):
                    return await self._connection(*origin)
            except TimeoutError:
                failure: httpx.TransportError = httpx.ConnectTimeout("the connection was not made in time")
            except OSError as error:  # ssl.SSLError among them
                failure = httpx.ConnectError(str(error))
            if attempt == self._retries:
                raise failure
        raise AssertionError("unreachable")

    async def _connection(self, scheme: str, host: str, port: int | None) -> "_Connection":
        loop = asyncio.get_running_loop()
        tls = (self._tls or tls_context()) if scheme == "https" else None
        options: dict[str, Any] = {}
        # uvloop does not know this option, and an address has no others beside it.
        if isinstance(loop, asyncio.BaseEventLoop) and not _is_address(host):
            options["happy_eyeballs_delay"] = _EYEBALLS_SECONDS
        connected = await loop.create_connection(
            partial(_Connection, loop, self._open),
            host,
            port or (80 if tls is None else 443),
            ssl=tls,
            server_hostname=None if tls is None else host,
            **options,
        )
        connection: _Connection = connected[1]
        return connection

    def keep(self, origin: Origin, connection: "_Connection") -> None:
        """Takes back a connection whose response has been read to its end."""
        if connection.is_usable:
            connection.idle_since = time.monotonic()
            self._idle.setdefault(origin, deque()).append(connection)
        else:
            connection.abort()

    async def aclose(self) -> None:
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # until the event loop has closed them


class _Body(httpx.AsyncByteStream):
    """A response's body, whose pieces that arrived together come together. Its connection goes back at the end."""

    def __init__(self, pool: HttpTransport, origin: Origin, connection: "_Connection", timeout: float | None) -> None:
        self._pool = pool
        self._origin = origin
        self._connection: _Connection | None = connection
        self._timeout = timeout

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        connection = self._connection
        if connection is None:
            raise StopAsyncIteration
        if chunk := await connection.read(self._timeout):
            return chunk
        self._connection = None
        self._pool.keep(self._origin, connection)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.is_at_end:
            self._pool.keep(self._origin, connection)
        else:
            connection.abort()


class _Connection(asyncio.Protocol):
    """One connection: at most one request at a time. `idle_since` is on the monotonic clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, open_connections: "set[_Connection]") -> None:
        self.idle_since = 0.0
        self._loop = loop
        self._all = open_connections
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_sending_held = False
        self._is_closed = False
        self._poll: select.poll | None = None
        self._clear("GET")

    def _clear(self, method: str) -> None:
        """Forgets the last response."""
        self._parser: HttpResponseParser | None = None
        self._method = method
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._has_length = False
        self._has_head = False
        self._is_complete = False
        self._may_go_on = False
        self._error: httpx.TransportError | None = None
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_reading_paused = False

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return not self._is_closed and self._error is None and self._parser is None

    def has_news(self) -> bool:
        """Whether the other side has closed the idle connection, or said something, unseen by the event loop yet.

        It has not seen it if the process was frozen since, as Lambda does between invocations.
        """
        if self._poll is None:
            assert self._transport is not None
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    @property
    def is_at_end(self) -> bool:
        """Whether the whole response has been read."""
        return self._is_complete and not self._chunks

    # ---- The request -------------------------------------------------------------------------------------------------

    async def send(self, request: httpx.Request, timeout: float | None) -> tuple[int, list[tuple[bytes, bytes]]]:  # noqa: ASYNC109
        """Sends a request, and returns the status and headers of its response. Raises httpx.TransportError."""
        head = _head(request)
        self._clear(request.method)
        self._parser = HttpResponseParser(self)
        content = request.stream
        assert isinstance(content, AsyncIterable)
        is_chunked = "transfer-encoding" in request.headers
        async for piece in content:
            if not piece:
                continue
            if is_chunked:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            if head and len(piece) <= _JOINED_BYTES:
                head, piece = b"", head + piece
            await self._write(timeout, head, piece)
            head = b""
            if self._has_head:  # the server did not wait for the rest
                self._may_go_on = False
                break
        else:
            await self._write(timeout, head, b"0\r\n\r\n" if is_chunked else b"")
        while not self._has_head:
            await self._wait(timeout)
        return self._status, self._headers

    async def _write(self, timeout: float | None, *pieces: bytes) -> None:  # noqa: ASYNC109
        assert self._transport is not None
        for piece in pieces:
            if piece and not self._is_closed:
                self._transport.write(piece)
        while self._is_sending_held and not self._has_head:
            await self._wait(timeout, httpx.WriteTimeout)

    # ---- The response ------------------------------------------------------------------------------------------------

    async def read(self, timeout: float | None) -> bytes:  # noqa: ASYNC109
        """What has arrived of the body, or b"" at its end. Raises httpx.TransportError."""
        while not self._chunks and not self._is_complete:
            await self._wait(timeout)
        chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._waiting_bytes = 0
        if self._is_reading_paused:
            self._is_reading_paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        return chunk

    async def _wait(self, seconds: float | None, failure: type[httpx.TimeoutException] = httpx.ReadTimeout) -> None:
        """Waits for something to happen. Raises the connection's error, and `failure` after so many seconds."""
        # There is a wait for each token: a future and a timer cost less than asyncio.timeout.
        if self._error is not None:
            raise self._error
        self._waiter = waiter = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, _expire, waiter, failure)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        if self._error is not None and not self._chunks:
            raise self._error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: httpx.TransportError) -> None:
        self._error = self._error or error
        self._wake()

    def abort(self) -> None:
        """Closes the connection at once: there is nothing to flush or to wait for."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    # ---- Called by asyncio -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._all.add(self)
        # Sending is held while anything is left to send, so that it is known whether all of a request has left.
        self._transport.set_write_buffer_limits(high=1)

    def pause_writing(self) -> None:
        self._is_sending_held = True

    def resume_writing(self) -> None:
        self._is_sending_held = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self._parser is None:  # nothing was asked for
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._may_go_on = False
            if not self._is_complete:
                self._fail(httpx.RemoteProtocolError("the server's response is not HTTP"))
                self.abort()
        if self._is_complete:
            self._parser = None
            if not self._may_go_on or self._is_sending_held:
                self.abort()
        self._wake()

    def eof_received(self) -> None:
        if self._has_head and not self._has_length and not self._is_complete and self._error is None:
            self._is_complete = True  # the end of the connection is that of the body
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        self._all.discard(self)
        if self._parser is None or self._is_complete:
            return
        if self._is_sending_held and not self._has_head:
            self._fail(httpx.WriteError("the connection was closed before the request was sent"))
        elif exc is None:
            self._fail(httpx.RemoteProtocolError("the server closed the connection within its response"))
        else:
            self._fail(httpx.ReadError(str(exc)))

    # ---- Called by the parser ----------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_complete:
            raise ValueError("a response that was not asked for")
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the head is too large")
        self._headers.append((name, value))
        self._has_length |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        if self._is_complete:
            raise ValueError("a response that was not asked for")
        self._status = self._parser.get_status_code()
        if self._status < 200:  # an interim response: the one that counts follows
            return
        self._has_head = True
        if self._method == "HEAD" or self._status in (204, 304):
            self._may_go_on = self._parser.should_keep_alive()
            self._is_complete = True

    def on_body(self, data: bytes) -> None:
        if self._is_complete:
            raise ValueError("a body where there is none")
        self._chunks.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _MAX_WAITING_BYTES and not self._is_reading_paused and not self._is_closed:
            self._is_reading_paused = True
            assert self._transport is not None
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._status < 200:
            self._headers, self._has_length = [], False
        elif not self._is_complete:
            self._may_go_on = self._parser.should_keep_alive()
            self._is_complete = True


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _head(request: httpx.Request) -> bytes:
    """The request line and headers. Raises httpx.LocalProtocolError for a header with a line break."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    head = b"\r\n".join([*lines, b"", b""])
    if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1 or b"\0" in head:
        raise httpx.LocalProtocolError("a header with a line break")
    return head


def _expire(waiter: asyncio.Future[None], failure: type[httpx.TimeoutException]) -> None:
    if not waiter.done():
        waiter.set_exception(failure("the other side did nothing in time"))
