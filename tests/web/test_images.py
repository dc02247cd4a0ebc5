"""A client that leaves while its image is made ends the work; one that leaves amidst the answer breaks nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from functions.images.app import app
from shared.gateway.services import process_services
from shared.stores.keys import KeyStore
from tests.client import TOKEN, Handler, make_services
from tests.contract.image_vendors import ENVIRONMENT, GEMINI, PNG, gemini_content, inline

pytestmark = pytest.mark.anyio

ROUTES = ["/v1/image/generation/stable", "/v1/images/generations", "/v1/inference/images/generate"]
on_each_route = pytest.mark.parametrize("path", ROUTES)


class Client:
    """A client of the images function that sees every ASGI message, and can leave."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self._sent = False

    async def post(self, path: str) -> None:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
        scope |= {"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}
        await app({**scope, "asgi": {"version": "3.0", "spec_version": "2.3"}}, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": json.dumps({"prompt": "a cat", "model": GEMINI}).encode()}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.messages.append(message)
        await asyncio.sleep(0)


@asynccontextmanager
async def behind(keys: KeyStore, upstream: Handler) -> AsyncIterator[Client]:
    services = make_services(keys, ENVIRONMENT, upstream)
    app.services = lambda: services
    try:
        yield Client()
    finally:
        app.services = process_services
        await services.aclose()


@on_each_route
async def test_work_is_ended_when_the_client_leaves_before_it_is_done(keys: KeyStore, path: str) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def vendor(request: httpx.Request) -> httpx.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with behind(keys, vendor) as client, asyncio.timeout(5):
        posting = asyncio.create_task(client.post(path))
        await begun.wait()
        client.gone.set()
        await posting
        assert ended.is_set()
        assert client.messages == []


@on_each_route
async def test_a_client_that_waits_gets_a_large_answer_in_pieces(keys: KeyStore, path: str) -> None:
    image = PNG + bytes(2**20)

    def vendor(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=gemini_content(inline(image)))

    async with behind(keys, vendor) as client, asyncio.timeout(5):
        await client.post(path)
    start, *pieces = client.messages
    assert start["status"] == 200
    json.loads(b"".join(piece["body"] for piece in pieces))
    if path == ROUTES[0]:
        assert len(pieces) > 10
