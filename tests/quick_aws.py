"""AWS for tests that are not about its stores: DynamoDB in memory, everything else by moto in this process.

moto's DynamoDB takes milliseconds for each of the writes that nearly every request makes. The stores are tested on it,
and there the one in memory is compared with it.
"""

import asyncio
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

import httpx

from functions.moto_server import Application, AtomicMoto
from scripts.memory_dynamodb import TARGET, MemoryDynamoDb


class InProcess(httpx.AsyncBaseTransport):
    """The way to a WSGI application of this process. While that waits, as moto does for messages, nothing else runs."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._inner = httpx.WSGITransport(self._called)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # others run meanwhile, as they do while a socket is waited for
        content = await request.aread()
        plain = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        response = self._inner.handle_request(plain)
        # A server adds the date, by which the gateway knows AWS's time.
        headers = {"date": formatdate(usegmt=True), **response.headers}
        return httpx.Response(response.status_code, headers=headers, content=response.read())

    def _called(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        # PEP 3333 wants a path's bytes as Latin-1, and httpx has them as the text that they are.
        return self._app(environ | {"PATH_INFO": environ["PATH_INFO"].encode().decode("latin-1")}, start_response)


class QuickAws(InProcess):
    """A transport for clients in this process, and a WSGI application for others, which meet the same tables."""

    def __init__(self) -> None:
        self._dynamodb = MemoryDynamoDb()
        self._moto = AtomicMoto()
        super().__init__(self._moto)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.headers.get("x-amz-target", "").startswith(TARGET):
            return await super().handle_async_request(request)
        await asyncio.sleep(0)
        return await self._dynamodb.handle_async_request(request)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        app = self._dynamodb if environ.get("HTTP_X_AMZ_TARGET", "").startswith(TARGET) else self._moto
        return app(environ, start_response)
