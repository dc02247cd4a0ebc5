"""Streams leave as they are made: chunk by chunk, kept alive in silence, closed when the client has gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from functions.chat.app import app
from shared.gateway.services import process_services
from shared.stores.keys import KeyStore
from tests.client import TOKEN, Handler, make_services

pytestmark = pytest.mark.anyio
OPENAI = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://vendor.test/v1"}
BODY = {"model": "openai/gpt-5.6-luna", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


class Client:
    """A client of the chat function that sees every ASGI message at once, and can leave."""

    def __init__(self, keys: KeyStore, upstream: Handler, **settings: str) -> None:
        self.services = make_services(keys, {**OPENAI, **settings}, upstream)
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sent = False

    async def __aenter__(self) -> "Client":
        app.services = lambda: self.services
        body = json.dumps(BODY).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
            "client": ("127.0.0.1", 1),
            "server": ("gateway", 80),
        }

        async def receive() -> dict[str, Any]:
            if not self._sent:
                self._sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await self.messages.put(message)

        self._task = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._task is not None
        self.gone.set()
        await asyncio.wait_for(self._task, 5)
        app.services = process_services
        await self.services.aclose()

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.messages.get(), 5)

    async def rest(self) -> bytes:
        body = b""
        while True:
            message = await self.next()
            body += message.get("body", b"")
            if message["type"] == "http.response.body" and not message["more_body"]:
                return body


async def test_a_chunk_leaves_before_the_next_one_has_come(keys: KeyStore) -> None:
    second = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield chunk({"role": "assistant", "content": "one"})
        await second.wait()
        yield chunk({"content": "two"}) + chunk({}, "stop") + b"data: [DONE]\n\n"

    async with Client(keys, lambda request: httpx.Response(200, content=body())) as client:
        assert (await client.next())["status"] == 200
        first = (await client.next())["body"]
        assert b'"one"' in first
        assert b'"two"' not in first
        second.set()
        rest = await client.rest()
        assert b'"two"' in rest
        assert rest.endswith(b"data: [DONE]\n\n")


async def test_an_error_before_the_first_event_keeps_its_status(keys: KeyStore) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'data: {"error": {"message": "failed", "type": "server_error"}}\n\n'

    async with Client(keys, lambda request: httpx.Response(200, content=body())) as client:
        start = await client.next()
        assert start["status"] == 502
        assert (b"content-type", b"application/json") in start["headers"]


async def test_a_late_first_event_lets_the_status_out_and_silence_is_filled_with_comments(keys: KeyStore) -> None:
    go = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await go.wait()
        yield chunk({"content": "late"}) + chunk({}, "stop") + b"data: [DONE]\n\n"

    settings = {"GATEWAY_FIRST_EVENT_WAIT": "0.01", "GATEWAY_KEEP_ALIVE": "0.01"}
    async with Client(keys, lambda request: httpx.Response(200, content=body()), **settings) as client:
        assert (await client.next())["status"] == 200
        for _ in range(3):
            assert (await client.next())["body"] == b": keep-alive\n\n"
        go.set()
        assert b'"late"' in await client.rest()


async def test_an_error_after_the_status_is_told_in_the_stream(keys: KeyStore) -> None:
    go = asyncio.Event()

    async def upstream(request: httpx.Request) -> httpx.Response:
        await go.wait()
        return httpx.Response(500)

    async with Client(keys, upstream, GATEWAY_FIRST_EVENT_WAIT="0.01") as client:
        assert (await client.next())["status"] == 200
        go.set()
        body = await client.rest()
        assert b'data: {"error":{' in body
        assert b"[DONE]" not in body


async def test_a_client_that_leaves_closes_the_call_of_the_provider(keys: KeyStore) -> None:
    closed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield chunk({"content": "word "})
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with Client(keys, lambda request: httpx.Response(200, content=body())) as client:
        await client.next()
        await client.next()
        client.gone.set()
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_provider_that_goes_silent_for_too_long_ends_the_stream_with_a_time_out(keys: KeyStore) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield chunk({"content": "one"})
        await asyncio.sleep(3600)

    settings = {"GATEWAY_UPSTREAM_TIMEOUT": "0.1"}
    async with Client(keys, lambda request: httpx.Response(200, content=body()), **settings) as client:
        await client.next()
        body_bytes = await client.rest()
        assert b'"upstream_timeout"' in body_bytes
        assert b"[DONE]" not in body_bytes


async def test_events_that_a_dialect_does_not_show_do_not_count_against_silence(keys: KeyStore) -> None:
    stop = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield chunk({"content": "one"})
        while not stop.is_set():
            yield chunk({})
            await asyncio.sleep(0.001)
        yield chunk({}, "stop") + b"data: [DONE]\n\n"

    async with Client(keys, lambda request: httpx.Response(200, content=body()), GATEWAY_KEEP_ALIVE="0.02") as client:
        assert (await client.next())["status"] == 200
        while (await client.next())["body"] != b": keep-alive\n\n":
            pass
        stop.set()
        assert (await client.rest()).endswith(b"data: [DONE]\n\n")
