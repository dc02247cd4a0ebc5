"""Lambda's side of the Runtime API on a loopback socket: it hands out events and takes answers apart as they come."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from shared.runtime.loop import Runtime

_PATIENCE = 10.0
_ROOT = "/2018-06-01/runtime"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat:live"


class Answer:
    """What the runtime has posted so far for one invocation."""

    def __init__(self, request_id: str = "") -> None:
        self.request_id = request_id
        self.kind = ""
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self._posted = asyncio.Event()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()

    async def chunk(self, *, patience: float = _PATIENCE) -> bytes:
        """The next HTTP chunk as it was cut; empty when the body has ended."""
        return await asyncio.wait_for(self._chunks.get(), patience)

    async def prelude(self, *, patience: float = _PATIENCE) -> dict[str, Any]:
        """The first chunk, read as the prelude of a streamed answer."""
        first = await self.chunk(patience=patience)
        content, nuls = first[:-8], first[-8:]
        assert nuls == bytes(8)
        assert b"\0" not in content
        prelude: dict[str, Any] = json.loads(content)
        return prelude

    async def rest(self) -> bytes:
        """What is left of the body."""
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return body

    async def json(self) -> Any:
        return json.loads(await self.rest())

    async def posted(self) -> str:
        """Waits until the runtime begins to post; `response` or `error`."""
        await asyncio.wait_for(self._posted.wait(), _PATIENCE)
        return self.kind

    def _begin(self, kind: str, headers: dict[str, str]) -> None:
        self.kind = kind
        self.headers = headers
        self._posted.set()


class Platform:
    """The API. `calls` are methods and paths in the order of their arrival, `used` the numbers of the connections that
    they came on, `reports` the errors of no invocation.

    It can be made to go wrong once: `closes` closes the connection after the next answer, `drops` instead of the next
    answer; `breaks` is amidst how many of the next bodies; `refuses` are statuses to answer with, by the last word of
    the path. While `reads` is cleared it reads no body. `chunks` makes it send events in chunked encoding.
    """

    def __init__(self) -> None:
        self.address = ""
        self.calls: list[str] = []
        self.reports: list[tuple[dict[str, str], Any]] = []
        self.connections = 0
        self.used: list[int] = []
        self.closes = False
        self.drops = False
        self.breaks = 0
        self.chunks = False
        self.refuses: dict[str, int] = {}
        self.reads = asyncio.Event()
        self.reads.set()
        self._events: asyncio.Queue[tuple[bytes, dict[str, str]]] = asyncio.Queue()
        self._answers: dict[str, Answer] = {}
        self._invoked = 0
        self._idle = asyncio.Event()

    def invoke(self, event: Any, *, seconds: float = 60.0, headers: Mapping[str, str] | None = None) -> Answer:
        """Puts an event in line that has to be answered in `seconds`."""
        self._invoked += 1
        request_id = f"id-{self._invoked}"
        answer = self._answers[request_id] = Answer(request_id)
        deadline = str(int((time.time() + seconds) * 1000))
        given = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": deadline,
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            **(headers or {}),
        }
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self._events.put_nowait((body, given))
        return answer

    def forget(self) -> None:
        """Forgets the calls and answers so far, of which there may be many."""
        self.calls.clear()
        self.used.clear()
        self._answers.clear()

    async def idle(self) -> None:
        """Waits until the runtime asks for an event that there is not."""
        await asyncio.wait_for(self._idle.wait(), _PATIENCE)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections = self.connections + 1
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split()
                assert path.startswith(_ROOT)
                call = f"{method} {path.removeprefix(_ROOT)}"
                self.calls.append(call)
                self.used.append(number)
                headers = await _read_headers(reader)
                if self.drops:
                    self.drops = False
                    return
                if self.breaks and method == "POST":
                    self.breaks -= 1
                    writer.transport.abort()
                    return
                writer.write(await self._answer(call, headers, reader))
                await writer.drain()
                if self.closes:
                    self.closes = False
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the runtime has been stopped
        finally:
            writer.close()

    async def _answer(self, call: str, headers: dict[str, str], reader: asyncio.StreamReader) -> bytes:
        word = call.rpartition("/")[2]
        if call == "GET /invocation/next" and word not in self.refuses:
            return await self._next()
        if call.startswith("POST"):
            known = call.startswith("POST /invocation/")
            answer = self._answers[call.split("/")[2]] if known else Answer()
            answer._begin(word, headers)
            await self.reads.wait()
            await _read_body(reader, answer)
            if not known:
                self.reports.append((headers, await answer.json()))
        status = self.refuses.pop(word, 202 if call.startswith("POST") else 200)
        return b'HTTP/1.1 %d Done\r\nContent-Length: 15\r\n\r\n{"status":"OK"}' % status

    async def _next(self) -> bytes:
        if self._events.empty():
            self._idle.set()
        body, headers = await self._events.get()
        self._idle.clear()
        if self.chunks:
            pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            body = b"".join(b"%x;extension\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        assert name.lower() not in headers
        headers[name.lower()] = value.strip()
    return headers


async def _read_body(reader: asyncio.StreamReader, answer: Answer) -> None:
    """Gives the answer its chunks as they arrive."""
    if answer.headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            answer._chunks.put_nowait(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        answer.trailers = await _read_headers(reader)
    elif length := int(answer.headers.get("content-length", "0")):
        answer._chunks.put_nowait(await reader.readexactly(length))
    answer._chunks.put_nowait(b"")


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """The API without a runtime that asks it."""
    lambda_ = Platform()
    server = await asyncio.start_server(lambda_.connected, "127.0.0.1", 0, backlog=1000)
    lambda_.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield lambda_
    finally:
        server.close()


@asynccontextmanager
async def serving(app: Any, environment: dict[str, str] | None = None) -> AsyncIterator[Platform]:
    """The API with a runtime, in this very process, that serves `app`."""
    async with platform() as lambda_:
        runtime = Runtime(lambda_.address, app, {} if environment is None else environment)
        loop = asyncio.create_task(runtime.serve())
        try:
            yield lambda_
        finally:
            if not loop.done():
                loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop
