"""`make bench-hostile`: how long the event loop stands still, and how much memory grows, for each hostile request.

Each request is sent several times, each time to a fresh copy of a process that has answered a plain one, with vendors
and AWS that answer at once from memory. The longest stall of the event loop is told of the quickest of these rounds,
since other processes of this machine delay the others; memory is the peak above what the process had, in sizes of the
body. SHORT=on makes one round of a tenth of the shapes, which shows that they work. Words on the command line choose
the shapes whose names hold them. Linux only.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from functions.__main__ import AllFunctions
from scripts.benchmark import SHORT
from scripts.hostile_shapes import MB, PNG, Shape, plain, shapes
from shared.gateway.services import Services, process_services
from shared.schemas.caller import Caller, Permission
from shared.schemas.limits import Limits
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore

MOST_MILLISECONDS = 50
MOST_GROWTH = 10
_ROUNDS = 1 if SHORT else 3
_SMALL = MB
"""Below this a body's size says nothing: importing a module takes more."""
_CHUNK = 64 * 1024
_SECONDS = 120
_BEAT = 0.001
_VENDOR = "https://vendor.test"
_ENVIRONMENT = {
    "GATEWAY_TRUST_AUTHORIZER": "on",
    "GATEWAY_LIMITS_TABLE": "limits",
    "OPENAI_API_KEY": "bench-hostile-key",
    "OPENAI_BASE_URL": _VENDOR,
    "ANTHROPIC_API_KEY": "bench-hostile-key",
    "ANTHROPIC_BASE_URL": _VENDOR,
    "GEMINI_API_KEY": "bench-hostile-key",
    "GEMINI_BASE_URL": _VENDOR,
    "STABILITY_API_KEY": "bench-hostile-key",
    "STABILITY_BASE_URL": _VENDOR,
}
_CALLER = Caller(
    key_id="bench",
    tenant="bench",
    permissions=frozenset(Permission),
    limits=Limits(tokens_per_minute=10**12, budget_day=10**15),
)
_OF_AWS = {"Attributes": {"id": {"S": "key#bench#0"}}, "SecretString": "bench", "QueueUrl": "https://queue/"}
_ANSWERS: dict[str, Any] = {
    "chat/completions": {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    "messages": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "generateContent": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
    },
    "embeddings": {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}},
    "transcriptions": {"text": "Hi"},
    "images/generations": {"data": [{"b64_json": PNG}]},
    "images/edits": {"data": [{"b64_json": PNG}]},
}


@dataclass(frozen=True)
class Measured:
    """What one request did. `stall` is in seconds, `growth` in sizes of the body."""

    status: int
    stall: float
    seconds: float
    growth: float


def main() -> None:
    """Prints the table. Exits with status 1 if a request holds the loop or memory for more than it may."""
    logging.disable(logging.CRITICAL)
    for shape in plain():
        for model in shape.models:
            asyncio.run(_send(shape, shape.body(model)))
    gc.freeze()  # else a collection would copy all of this process into each fork
    failed = 0
    print("| request | body, MB | status | longest stall, ms | seconds | memory, in bodies |")
    print("|---|---:|---:|---:|---:|---:|")
    chosen = [shape for shape in shapes() if all(word in shape.name for word in sys.argv[1:])]
    for shape in chosen[:: 10 if SHORT else 1]:
        for model in shape.models[: 1 if SHORT else None]:
            body = shape.body(model)
            rounds = [_in_a_copy(shape, body) for _ in range(_ROUNDS)]
            best = min(rounds, key=lambda measured: measured.stall)
            growth = min(measured.growth for measured in rounds)
            small = len(body) < _SMALL
            slow, large = best.stall * 1000 > MOST_MILLISECONDS, growth > MOST_GROWTH and not small
            failed += slow or large
            name = shape.name if len(shape.models) == 1 else f"{shape.name} ({model})"
            print(
                f"| {name} | {len(body) / MB:.1f} | {best.status} | {best.stall * 1000:.0f}{' !' if slow else ''} "
                f"| {best.seconds:.2f} | {'' if small else f'{growth:.1f}'}{' !' if large else ''} |",
                flush=True,
            )
    if failed and not SHORT:
        sys.exit(f"{failed} requests take more than {MOST_MILLISECONDS} ms or {MOST_GROWTH} times their size")


def _in_a_copy(shape: Shape, body: bytes) -> Measured:
    """What the request does to a fork of this process."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            with os.fdopen(writing, "w") as pipe:
                json.dump(vars(asyncio.run(_send(shape, body))), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return Measured(**json.loads(told)) if told else Measured(0, float("inf"), 0, 0)


async def _send(shape: Shape, body: bytes) -> Measured:
    with _gateway(shape) as app:
        usual = next(plain())
        await _status(app, usual, usual.body(usual.models[0]))
        before = _memory("VmRSS")
        _reset_peak()
        beat = _Heartbeat()
        beating = asyncio.create_task(beat.run())
        await asyncio.sleep(0.05)
        beat.longest, began = 0.0, time.perf_counter()
        status = await _status(app, shape, body)
        await asyncio.sleep(2 * _BEAT)
        seconds = time.perf_counter() - began
        beating.cancel()
        growth = (_memory("VmHWM") - before) / max(1, len(body))
    return Measured(status, beat.longest, seconds, growth)


class _Vendor(httpx.AsyncBaseTransport):
    """Takes requests piece by piece, as a socket does."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for _ in request.stream:
            await asyncio.sleep(0)
        return self._answer(request)


class _Heartbeat:
    """Wakes up each millisecond, and keeps by how much it was late at most, in seconds.

    No more is counted than this process has computed meanwhile: other processes make it late too.
    """

    longest = 0.0

    async def run(self) -> None:
        while True:
            began, computed = time.perf_counter(), time.process_time()
            await asyncio.sleep(_BEAT)
            late = min(time.perf_counter() - began - _BEAT, time.process_time() - computed)
            self.longest = max(self.longest, late)


async def _status(app: AllFunctions, shape: Shape, body: bytes) -> int:
    """The status of the answer to a body that comes in chunks, as from a socket."""
    statuses: list[int] = []
    chunks = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)] or [b""]
    left = iter(chunks)
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        await asyncio.sleep(0)
        if sent == len(chunks):
            await asyncio.Event().wait()
        sent += 1
        return {"type": "http.request", "body": next(left), "more_body": sent < len(chunks)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": shape.path,
        "raw_path": shape.path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", shape.media_type.encode()), (b"authorization", b"Bearer bench")],
        "aws.event": {"requestContext": {"authorizer": {"caller": _CALLER.model_dump_json()}}},
        "state": {},
    }
    async with asyncio.timeout(_SECONDS):
        await app(scope, receive, send)
    return statuses[0]


@contextmanager
def _gateway(shape: Shape) -> Iterator[AllFunctions]:
    def vendor(request: httpx.Request) -> httpx.Response:
        if shape.vendor is not None:
            status, content = shape.vendor()
            return httpx.Response(status, content=_in_chunks(content))
        found = next((answer for end, answer in _ANSWERS.items() if request.url.path.endswith(end)), {})
        return httpx.Response(200, json=found)

    def aws(request: httpx.Request) -> httpx.Response:
        if "x-amz-target" in request.headers:
            entries = json.loads(request.content).get("Entries", ())
            sent = [{"Id": entry["Id"]} for entry in entries]
            return httpx.Response(200, json={**_OF_AWS, "Successful": sent})
        return httpx.Response(200, headers={"etag": '"e"'})

    cloud = Aws(
        {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
        transport=httpx.MockTransport(aws),
    )
    settings = Settings.from_environment({**_ENVIRONMENT, **shape.environment})
    services = Services(settings, KeyStore(cloud, "keys"), aws=cloud, transport=_Vendor(vendor))
    functions = AllFunctions()
    for app in functions.apps.values():
        app.services = lambda: services
    try:
        yield functions
    finally:
        for app in functions.apps.values():
            app.services = process_services


async def _in_chunks(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), _CHUNK):
        await asyncio.sleep(0)
        yield content[at : at + _CHUNK]


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _memory(name: str) -> int:
    """A figure of the kernel's, in bytes: VmRSS is what is resident now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
