"""`python -m functions`: every endpoint in one local server, with real streaming and AWS in a box. Never packaged."""

import asyncio
import errno
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module

import uvicorn
from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from functions.embedded_aws import LOCAL_TOKEN, announced, embedded_aws, seed, seed_batches
from functions.local_server import LocalServer
from functions.local_worker import work
from shared.gateway.services import Services
from shared.web.app import create_app
from shared.web.process import process_services

ENDPOINTS = ("chat", "completions", "images", "embeddings", "transcriptions", "speech", "files", "batches", "models")


class AllFunctions:
    """Sends each request to the function whose route it matches, as API Gateway does in a stack."""

    def __init__(self) -> None:
        self.apps: list[FastAPI] = [import_module(f"functions.{name}.app").app for name in ENDPOINTS]
        self._nowhere = create_app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app_for(scope) if scope["type"] == "http" else self._nowhere
        await app(scope, receive, send)

    def _app_for(self, scope: Scope) -> FastAPI:
        """The function that has the path, its method or not; the one without routes when none has."""
        for app in self.apps:
            if any(route.matches(scope)[0] is not Match.NONE for route in app.routes):
                return app
        return self._nowhere


def main() -> None:
    """Serves until Ctrl-C. Exits with one line when a setting is wrong or the port is taken."""
    port = os.environ.get("PORT", "8080")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        sys.exit("PORT must be a number from 0 to 65535")
    os.environ.setdefault("GATEWAY_SANDBOX", "on")
    os.environ.setdefault("GATEWAY_LIMITS_TABLE", "gateway-limits")
    try:
        services = process_services()
        listening = _listen(int(port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        sys.exit(f"Port {port} is taken; choose another: make run PORT=8081" if taken else f"Port {port}: {error}")
    except ValueError as error:
        sys.exit(str(error))
    with listening, embedded_aws() as aws_url, announced(listening), suppress(KeyboardInterrupt):
        asyncio.run(_serve(services, listening, aws_url))


def _listen(port: int) -> socket.socket:
    """A socket on loopback, bound before anything slow so that a taken port is told at once."""
    # With its protocol named, asyncio switches off the delay that would cost every answer 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(512)
    return listening


async def _serve(services: Services, listening: socket.socket, aws_url: str) -> None:
    if "AWS_ENDPOINT_URL" not in os.environ:
        assert services.limits is not None, "main() names its table"
        await seed(services.keys, services.objects, services.limits, services.tenant_folders)
        await seed_batches(services.batches, services.batch_queue)
    url = "http://{}:{}".format(*listening.getsockname())
    providers = ", ".join(sorted(services.catalog.configured)) or "none: set a provider's key"
    print(
        f"\nGateway    {url}\nKey        {LOCAL_TOKEN}\nProviders  {providers}\nAWS        {aws_url}\n\n"
        f"curl {url}/v1/chat/completions -H 'Authorization: Bearer {LOCAL_TOKEN}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model":"Auto","stream":true,"messages":[{"role":"user","content":"Hello"}]}\'\n',
        flush=True,
    )
    # A crash inside our applications is in their log already; what uvicorn would add is noise about leaving clients.
    config = uvicorn.Config(
        LocalServer(AllFunctions()),
        log_level="critical",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    worker = asyncio.create_task(work(services))
    await uvicorn.Server(config).serve(sockets=[listening])
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    await services.aclose()


if __name__ == "__main__":
    main()
