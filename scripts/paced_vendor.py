"""OpenAI for `make bench-streams`: streams of a fixed pace, each of whose tokens tells when it was sent.

`python -m scripts.paced_vendor PORT TOKENS` answers every request with a stream of so many tokens. Streams take turns
within the interval between two tokens, so that tokens leave evenly. It costs as little as a server can in Python.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque

TOKENS_A_SECOND = 20
TURNS = 50
"""As many groups of streams send their tokens one after the other, within a twentieth of a second."""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Pace:
    """Sends the next token of each stream when its turn comes."""

    def __init__(self) -> None:
        self._groups: list[deque[Stream]] = [deque() for _ in range(TURNS)]
        self._next = 0

    def add(self, stream: "Stream") -> None:
        self._groups[self._next].append(stream)
        self._next = (self._next + 1) % TURNS

    async def run(self) -> None:
        """Goes through the turns for ever; one that comes late is made up for."""
        turn, begun = 0, time.monotonic()
        while True:
            turn += 1
            await asyncio.sleep(max(0.0, begun + turn / (TURNS * TOKENS_A_SECOND) - time.monotonic()))
            group = self._groups[turn % TURNS]
            token = _chunk({"content": f" @{time.monotonic_ns() // 1000}@"})
            for _ in range(len(group)):
                stream = group.popleft()
                if stream.send(token):
                    group.append(stream)


class Stream(asyncio.Protocol):
    """A connection: one request after another, each answered with a stream."""

    def __init__(self, pace: Pace, tokens: int) -> None:
        self._pace = pace
        self._tokens = tokens
        self._left = 0
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head) or self._transport is None:
            return
        self._received = b""
        self._transport.write(_HEAD + _chunk({"role": "assistant", "content": ""}))
        self._left = self._tokens
        self._pace.add(self)

    def send(self, token: bytes) -> bool:
        """Sends a token, and after the last one the end. Returns whether more are to follow."""
        if self._transport is None:
            return False
        self._left -= 1
        self._transport.write(token if self._left else token + _END)
        return self._left > 0


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-CdPq8mUWvD0xWJ1hJmBzT7yZ3sQ2a",
        "object": "chat.completion.chunk",
        "created": 1795262400,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }
    return _framed(b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_END = _chunk({}, "stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


async def main(port: int, tokens: int) -> None:
    pace = Pace()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stream(pace, tokens), "127.0.0.1", port, backlog=4096)
    async with server:
        await pace.run()


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
