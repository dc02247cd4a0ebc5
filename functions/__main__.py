"""`python -m functions`: every endpoint in one local server, with real streaming and an embedded AWS. Not packaged."""

import asyncio
import errno
import os
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module

import uvicorn
import uvloop

from functions.embedded_aws import LOCAL_TOKEN, announced, embedded_aws, seed, seed_batches
from functions.local_server import LocalServer
from functions.local_worker import batch_worker
from shared.gateway.services import Services, process_services
from shared.routes import HTTP_FUNCTIONS, routes_at
from shared.web.app import Application, ContextMiddleware
from shared.web.http import ASGIApp, Receive, Scope, Send

_API_DOCUMENT = "/v1/openapi.json"


class AllFunctions:
    """Dispatches each request to the function whose route it matches, as API Gateway does in a stack.

    Beside the functions it serves the API's OpenAPI document.
    """

    def __init__(self) -> None:
        self.apps: dict[str, Application] = {
            name: import_module(f"functions.{name}.app").app for name in HTTP_FUNCTIONS
        }
        self._nowhere = Application()
        self._document = ContextMiddleware(self._documented)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app_for(scope) if scope["type"] == "http" else self._nowhere
        await app(scope, receive, send)

    def _app_for(self, scope: Scope) -> ASGIApp:
        """The function that has the path, whatever the method; the one without routes if none has."""
        if (scope["method"], scope["path"]) == ("GET", _API_DOCUMENT):
            return self._document
        routes = routes_at(scope["path"])
        of_method = [route for route in routes if route.method == scope["method"]]
        for route in of_method or routes:
            return self.apps[route.function]
        return self._nowhere

    async def _documented(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api_document(scope, receive, send)

    @cached_property
    def _api_document(self) -> ASGIApp:
        """Made when it is first asked for, since FastAPI would make the server start later."""
        from functions.api_document import ApiDocument

        return ApiDocument(self.apps["models"].services().settings.key_header, path=_API_DOCUMENT)


def main() -> None:
    """Serves until Ctrl-C. Exits with a one-line message if a setting is invalid or the port is in use."""
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
        sys.exit(f"Port {port} is in use; choose another: make run PORT=8081" if taken else f"Port {port}: {error}")
    except ValueError as error:
        sys.exit(str(error))
    with (
        listening,
        embedded_aws() as aws_url,
        announced(listening),
        suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(services, listening, aws_url))


def _listen(port: int) -> socket.socket:
    """A socket on loopback, bound before anything slow so that a port in use is reported at once."""
    # asyncio sets TCP_NODELAY only if the protocol is given; without it every response takes 40 ms longer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(512)
    return listening


async def _serve(services: Services, listening: socket.socket, aws_url: str) -> None:
    if "AWS_ENDPOINT_URL" not in os.environ:
        await seed(services.keys, services.objects, services.limits, services.stack_secret)
        await seed_batches(services.batches, services.batch_queue)
    url = "http://{}:{}".format(*listening.getsockname())
    providers = ", ".join(sorted(services.catalog.configured)) or "none: set a provider's key"
    warnings = "".join(f"Warning    {text}\n" for text in services.catalog.retirements(datetime.now(UTC).date()))
    print(
        f"\nGateway    {url}\nOpenAPI    {url}{_API_DOCUMENT}\nKey        {LOCAL_TOKEN}\n"
        f"Providers  {providers}\nAWS        {aws_url}\n{warnings}\n"
        f"curl {url}/v1/chat/completions -H 'Authorization: Bearer {LOCAL_TOKEN}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model":"Auto","stream":true,"messages":[{"role":"user","content":"Hello"}]}\'\n',
        flush=True,
    )
    # Our applications log their own crashes; uvicorn would add only noise about disconnected clients.
    config = uvicorn.Config(
        LocalServer(AllFunctions()),
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    async with batch_worker():
        await uvicorn.Server(config).serve(sockets=[listening])
    await services.aclose()


if __name__ == "__main__":
    main()
