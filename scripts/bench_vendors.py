"""OpenAI, Anthropic and Gemini for `make bench`: an ASGI application that answers every call of an API alike.

A token of a stream is sent once the client has received the one before, so that nothing on its way ever handles several
at once, however slow the machine is. The client says so with a datagram to PERMIT_PORT. There is one stream at a time.
"""

import asyncio
import base64
import json
import os
import random
import re
from array import array
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

WORD = "lighthouse"
TOKENS = 256
"""An answer, whole or streamed, is so many times the word."""
DIMENSIONS = 1536
_LONGEST_SECONDS = 0.1
"""How long a token waits for its datagram."""
_TOKEN = f" {WORD}"
_WORD = WORD.encode()
_USAGE = {"prompt_tokens": 220, "completion_tokens": TOKENS, "total_tokens": 220 + TOKENS}
_STREAMED = re.compile(rb'"stream":\s*true')
_BASE64 = re.compile(rb'"encoding_format":\s*"base64"')
_Json = dict[str, Any]


async def app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Answers one request."""
    body = await _body(receive)
    path: str = scope["path"]
    if "streamGenerateContent" in path:
        await _stream(send, _GEMINI_FRAMES)
    elif "generateContent" in path:
        await _whole(send, _GEMINI)
    elif path == "/v1/messages":
        await (_stream(send, _ANTHROPIC_FRAMES) if _STREAMED.search(body) else _whole(send, _ANTHROPIC))
    elif path == "/v1/chat/completions":
        await (_stream(send, _OPENAI_FRAMES) if _STREAMED.search(body) else _whole(send, _OPENAI))
    elif path == "/v1/embeddings":
        await _whole(send, _EMBEDDING_BASE64 if _BASE64.search(body) else _EMBEDDING)
    else:
        await _whole(send, b'{"error":{"message":"unknown path"}}', status=404)


async def _body(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _whole(send: Callable[[Mapping[str, Any]], Awaitable[None]], body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Callable[[Mapping[str, Any]], Awaitable[None]], frames: list[bytes]) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await _permits.begin()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for frame in frames:
        await send({"type": "http.response.body", "body": frame, "more_body": True})
        if _WORD in frame:
            await _permits.wait()
    await send({"type": "http.response.body", "body": b""})


class _Permits(asyncio.DatagramProtocol):
    """Lets one token out for each datagram."""

    def __init__(self) -> None:
        self._listening = False
        self._arrived = asyncio.Event()

    async def begin(self) -> None:
        """Forgets what was said of an earlier stream."""
        if not self._listening:
            self._listening = True
            address = "127.0.0.1", int(os.environ["PERMIT_PORT"])
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=address)
        self._arrived.clear()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._arrived.set()

    async def wait(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), _LONGEST_SECONDS)
        self._arrived.clear()


_permits = _Permits()


def _frame(value: _Json, event: str | None = None) -> bytes:
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


# https://developers.openai.com/api/reference/resources/chat
def _openai() -> bytes:
    message: _Json = {"role": "assistant", "content": _TOKEN * TOKENS, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps(_openai_body("chat.completion", [choice], _USAGE)).encode()


def _openai_frames() -> list[bytes]:
    def chunk(delta: _Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _frame(_openai_body("chat.completion.chunk", [choice], None) | {"obfuscation": "k3Bq9x"})

    return [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        *[chunk({"content": _TOKEN})] * TOKENS,
        chunk({}, "stop"),
        _frame(_openai_body("chat.completion.chunk", [], _USAGE)),
        b"data: [DONE]\n\n",
    ]


def _openai_body(kind: str, choices: list[_Json], usage: _Json | None) -> _Json:
    return {
        "id": "chatcmpl-CdPq8mUWvD0xWJ1hJmBzT7yZ3sQ2a",
        "object": kind,
        "created": 1795262400,
        "model": "bench",
        "choices": choices,
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
    }


# https://developers.openai.com/api/reference/resources/embeddings/methods/create
def _embedding(*, as_base64: bool) -> bytes:
    chance = random.Random(1)  # noqa: S311 - the same vector each time
    vector = array("f", (chance.uniform(-0.05, 0.05) for _ in range(DIMENSIONS)))
    embedding = base64.b64encode(vector.tobytes()).decode() if as_base64 else [round(value, 9) for value in vector]
    data = [{"object": "embedding", "index": 0, "embedding": embedding}]
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    return json.dumps({"object": "list", "data": data, "model": "bench", "usage": usage}).encode()


# https://platform.claude.com/docs/en/build-with-claude/streaming
def _anthropic_message(content: list[_Json], stop_reason: str | None, output_tokens: int) -> _Json:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "bench",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 220, "output_tokens": output_tokens},
    }


def _anthropic() -> bytes:
    content = [{"type": "text", "text": _TOKEN * TOKENS}]
    return json.dumps(_anthropic_message(content, "end_turn", TOKENS)).encode()


def _anthropic_frames() -> list[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        return _frame({"type": kind, **fields}, kind)

    return [
        event("message_start", message=_anthropic_message([], None, 1)),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        *[event("content_block_delta", index=0, delta={"type": "text_delta", "text": _TOKEN})] * TOKENS,
        event("content_block_stop", index=0),
        event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": TOKENS},
        ),
        event("message_stop"),
    ]


# https://ai.google.dev/api/generate-content
def _gemini_body(text: str, output_tokens: int, finish_reason: str | None) -> _Json:
    candidate: _Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish_reason:
        candidate["finishReason"] = finish_reason
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": 220,
            "candidatesTokenCount": output_tokens,
            "totalTokenCount": 220 + output_tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 220}],
        },
        "modelVersion": "bench",
        "responseId": "QUVVadTSNJ6_qtsPvN7J8Q0",
    }


def _gemini_frames() -> list[bytes]:
    bodies = [_gemini_body(_TOKEN, number + 1, None) for number in range(TOKENS)]
    return [_frame(body).replace(b"\n", b"\r\n") for body in (*bodies, _gemini_body("", TOKENS, "STOP"))]


_OPENAI, _OPENAI_FRAMES = _openai(), _openai_frames()
_EMBEDDING, _EMBEDDING_BASE64 = _embedding(as_base64=False), _embedding(as_base64=True)
_ANTHROPIC, _ANTHROPIC_FRAMES = _anthropic(), _anthropic_frames()
_GEMINI, _GEMINI_FRAMES = json.dumps(_gemini_body(_TOKEN * TOKENS, TOKENS, "STOP")).encode(), _gemini_frames()
