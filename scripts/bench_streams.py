"""`make bench-streams`: what many streams at once in one process cost, and how late their tokens are.

The chat function runs as on Lambda Managed Instances, on the runtime with AWS_LAMBDA_MAX_CONCURRENCY, with Lambda's
side of the Runtime API in this process. Beside it runs a plain FastAPI+httpx proxy under uvicorn, which authenticates
and translates nothing. Both relay streams of 20 tokens a second of a stand-in for the vendor in a third process. Each
token tells when it left there, so that its age here is what it was delayed; directly, without anything in between, that
is what the benchmark itself adds. Memory is the resident memory's peak. Linux only.
"""

import asyncio
import gc
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from scripts.benchmark import SHORT, table, whole_number
from scripts.emulator import ROOT, cpu_seconds, free_port, peak_megabytes
from scripts.paced_vendor import TOKENS_A_SECOND
from scripts.serving import isolated
from shared.schemas.caller import Caller, Permission

STREAMS = (
    [whole_number("STREAMS", usual=1000, short=20)] if SHORT or os.environ.get("STREAMS") else [100, 250, 500, 1000]
)
SECONDS = whole_number("SECONDS", usual=8, short=1)
"""How long tokens are measured once all streams run."""
LATE = 0.050
_STREAMS_A_SECOND = 100
"""How fast streams begin."""
_SETTLE_SECONDS = 0.5 if SHORT else 3.0
"""For what has piled up while streams began."""
_PATIENCE_SECONDS = 30.0
_MODEL = "mistral-medium-latest"
_STAMP = re.compile(rb"@(\d+)@")
_BODY = json.dumps(
    {"model": _MODEL, "stream": True, "messages": [{"role": "user", "content": "What can be seen at night? " * 20}]}
)


@dataclass
class Tokens:
    """What has arrived: the moments in seconds at which tokens were sent, and how old they were here."""

    streams: int = 0
    sent: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        now = time.monotonic()
        for stamp in _STAMP.findall(data):
            sent = int(stamp) / 1e6
            self.sent.append(sent)
            self.ages.append(now - sent)


@dataclass(frozen=True)
class Result:
    """Of one subject with so many streams: MB idle and at most, CPU seconds a second, and ages of tokens in seconds."""

    idle: float
    peak: float
    cpu: float
    ages: list[float]
    expected: int


class Reader(asyncio.Protocol):
    """A client's connection, which sends one request and takes the tokens of its stream."""

    def __init__(self, tokens: Tokens, request: bytes) -> None:
        self._tokens = tokens
        self._request = request
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            self._tokens.streams += 1
            if not data.startswith(b"HTTP/1.1 200"):
                sys.exit(f"a stream was refused: {data[:1000]!r}")
        self._tokens.take(data)


class Lambda(asyncio.Protocol):
    """A connection of the runtime with Lambda, which gives it events and takes the tokens of its responses."""

    def __init__(self, tokens: Tokens, events: "asyncio.Queue[bytes]") -> None:
        self._tokens = tokens
        self._events = events
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            self._waiting = asyncio.create_task(self._give())
            return
        if data.startswith(b"POST "):
            self._tokens.streams += 1
            if b"/response" not in data.split(b"\r\n", 1)[0]:
                sys.exit(f"an invocation failed: {data[:1000]!r}")
        self._tokens.take(data)
        if data.endswith(b"\r\n0\r\n\r\n") and self._transport is not None:
            self._transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    async def _give(self) -> None:
        event = await self._events.get()
        assert self._transport is not None
        deadline = int((time.time() + 300) * 1000)
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(event)}\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {id(event)}\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n\r\n"
        )
        self._transport.write(head.encode() + event)


@dataclass(frozen=True)
class Subject:
    """What streams go through. `begin` begins one, `pid` is the process that is measured."""

    begin: Callable[[], None]
    pid: int


@asynccontextmanager
async def direct(tokens: Tokens, vendor: int, streams: int) -> AsyncIterator[Subject]:
    """Nothing: this very process asks the vendor."""
    async with _clients(tokens, vendor, "none") as begin:
        yield Subject(begin, os.getpid())


@asynccontextmanager
async def plain(tokens: Tokens, vendor: int, streams: int) -> AsyncIterator[Subject]:
    """The plain proxy."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "scripts.bench_proxy:app", "--port", str(port), "--no-access-log"]
    command += ["--log-level", "critical", "--lifespan", "off", "--backlog", "4096"]
    environment = {"OPENAI_BASE_URL": _url(vendor), "OPENAI_API_KEY": "bench", "PROXY_KEY": "bench"}
    # Its client has httpx's own limit of 100 connections unless it is told otherwise.
    async with _process(command, {**environment, "MAX_CONNECTIONS": str(streams)}) as pid:
        await _until(lambda: _listens(port))
        async with _clients(tokens, port, "bench") as begin:
            yield Subject(begin, pid)


@asynccontextmanager
async def gateway(tokens: Tokens, vendor: int, streams: int) -> AsyncIterator[Subject]:
    """The chat function on the runtime."""
    events: asyncio.Queue[bytes] = asyncio.Queue()
    connections = 0

    def connected() -> Lambda:
        nonlocal connections
        connections += 1
        return Lambda(tokens, events)

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0, backlog=4096)
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "AWS_LAMBDA_MAX_CONCURRENCY": str(streams),
        "_HANDLER": "functions.chat.app.app",
        "GATEWAY_TRUST_AUTHORIZER": "on",
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        "MISTRAL_BASE_URL": _url(vendor),
        "MISTRAL_API_KEY": "bench",
    }
    event = _event()
    async with server, _process([sys.executable, "-m", "shared.runtime"], environment) as pid:
        await _until(lambda: connections >= streams)
        yield Subject(lambda: events.put_nowait(event), pid)


def main() -> None:
    """Prints the table. Exits with one line when a stream fails."""
    gc.disable()  # a collection here would be seen as lateness there
    columns = ["streams at once", "through", "memory, MB", "of that, idle", "of a processor", "a token, µs"]
    columns += ["late: median, ms", "99 %", "most", f"under {LATE * 1000:.0f} ms"]
    rows = []
    for streams in STREAMS:
        for name, subject in (("directly", direct), ("FastAPI+httpx", plain), ("gateway", gateway)):
            result = asyncio.run(_measured(subject, streams))
            gc.collect()
            rows.append([str(streams), name, *_cells(result, has_process=subject is not direct)])
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    print(table(columns, rows, names=2))


def _cells(result: Result, *, has_process: bool) -> list[str]:
    ages = sorted(result.ages)
    missing = max(0, result.expected - len(ages))  # those that had not arrived when the measurement ended
    in_time = sum(age < LATE for age in ages) / (len(ages) + missing)
    figures = [f"{_percentile(ages, share) * 1000:.0f}" for share in (0.5, 0.99, 1.0)]
    figures.append(f"{in_time:.1%}")
    if not has_process:
        return ["", "", "", "", *figures]
    a_token = result.cpu * SECONDS / max(1, len(ages))
    return [f"{result.peak:.0f}", f"{result.idle:.0f}", f"{result.cpu:.0%}", f"{a_token * 1e6:.0f}", *figures]


def _percentile(values: list[float], share: float) -> float:
    return values[math.ceil(share * len(values)) - 1] if values else math.nan


async def _measured(subject: Callable[..., object], streams: int) -> Result:
    tokens = Tokens()
    port = free_port()
    ramp = streams / _STREAMS_A_SECOND
    length = int((ramp + _PATIENCE_SECONDS + _SETTLE_SECONDS + SECONDS) * TOKENS_A_SECOND)
    command = [sys.executable, "-m", "scripts.paced_vendor", str(port), str(length)]
    async with _process(command, {}):
        await _until(lambda: _listens(port))
        async with subject(tokens, port, streams) as measured:  # type: ignore[attr-defined]
            idle = peak_megabytes(measured.pid)
            for _ in range(streams):
                measured.begin()
                await asyncio.sleep(ramp / streams)
            # Those that have not begun by then count as late.
            await _is_soon(lambda: tokens.streams >= streams)
            await asyncio.sleep(_SETTLE_SECONDS)
            begun, cpu = time.monotonic(), cpu_seconds(measured.pid)
            await asyncio.sleep(SECONDS)
            used = (cpu_seconds(measured.pid) - cpu) / (time.monotonic() - begun)
            peak = peak_megabytes(measured.pid)
    kept = [age for sent, age in zip(tokens.sent, tokens.ages, strict=True) if begun <= sent < begun + SECONDS - LATE]
    expected = int(streams * TOKENS_A_SECOND * (SECONDS - LATE) * 0.99)
    return Result(idle, peak, used, kept, expected)


@asynccontextmanager
async def _clients(tokens: Tokens, port: int, key: str) -> AsyncIterator[Callable[[], None]]:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[tuple[asyncio.Transport, Reader]]] = set()

    def begin() -> None:
        reader = Reader(tokens, (head + _BODY).encode())
        tasks.add(loop.create_task(loop.create_connection(lambda: reader, "127.0.0.1", port)))

    yield begin
    for transport, _ in await asyncio.gather(*tasks):
        transport.abort()


@asynccontextmanager
async def _process(command: list[str], environment: Mapping[str, str]) -> AsyncIterator[int]:
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own words; it returns at once
        command, cwd=ROOT, env=isolated(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _event() -> bytes:
    """A request of API Gateway, whose authorizer has admitted a caller without limits."""
    caller = Caller(key_id="bench", tenant="bench", permissions=frozenset(Permission))
    headers = {"Content-Type": "application/json"}
    context = {
        "domainName": "bench.execute-api.us-east-1.amazonaws.com",
        "identity": {"sourceIp": "203.0.113.7"},
        "requestId": "bench",
        "authorizer": {"caller": caller.model_dump_json()},
    }
    event = {
        "resource": "/v1/chat/completions",
        "path": "/v1/chat/completions",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": context,
        "body": _BODY,
        "isBase64Encoded": False,
    }
    return json.dumps(event).encode()


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


async def _until(is_so: Callable[[], object]) -> None:
    if not await _is_soon(is_so):
        sys.exit("a process did not come up")


async def _is_soon(is_so: Callable[[], object]) -> bool:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        found = is_so()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return True
        await asyncio.sleep(0.05)
    return False


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    main()
