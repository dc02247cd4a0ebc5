"""The ASGI application of a function: its routes, and the conversion of every error to a response."""

import asyncio
import math
import os
import re
from collections.abc import Callable

from shared.errors import GatewayError, InternalError, MethodNotAllowed, NotFound
from shared.gateway.reserving import settled
from shared.gateway.services import Services, process_services
from shared.observability import log_crash, log_request, traced
from shared.request_id import api_request_id_of, request_id_of
from shared.routes import routes_at
from shared.schemas.caller import Caller
from shared.schemas.context import Meter, RequestInfo
from shared.web.answers import dialect_at, error_response, headers_of_answer
from shared.web.base_path import without_base_path
from shared.web.cors import cors_headers
from shared.web.http import ASGIApp, ClientDisconnect, Message, Receive, Request, Scope, Send
from shared.web.process import serve_lifespan, warn_of_retirements
from shared.web.routes import Endpoints

# Seconds of Lambda's time kept back when a provider times out, so that the error can still be sent in its dialect.
_TIME_TO_ANSWER = 2.0
_MAX_HEADER = 4096
_CLIENT_LEFT = 499  # nginx's status code for this, used only in the log


class Application:
    """A function's ASGI application: its routes, or none; every other path and method gets an error in the dialect of
    its path.

    It dispatches by the route table itself: importing FastAPI takes longer than everything else of a cold start.
    `services` gives the process's services; tests put theirs in its place.
    """

    def __init__(self, function: str | None = None) -> None:
        self.services: Callable[[], Services] = process_services
        self._endpoints = Endpoints(function)
        self._in_context = ContextMiddleware(self._dispatch)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await serve_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._in_context(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.find(scope)
        if endpoint is None:
            raise _unmatched(scope["method"], scope["path"])
        response = await endpoint.response(Request(scope, receive), self.services())
        await response(scope, receive, send)


def _unmatched(method: str, path: str) -> GatewayError:
    methods = sorted(route.method for route in routes_at(path))
    if methods and method not in methods:
        return MethodNotAllowed(f"The method {method} is not allowed on this path.", allow=", ".join(methods))
    return NotFound(f"Unknown endpoint: {method} {path[:200]}.")


class ContextMiddleware:
    """Gives every request an id, a meter and a log line, adds the common headers, and answers errors in the dialect of
    the path; a crash is a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = without_base_path(scope)
        request, meter = _request_info(scope), Meter(settling=[])
        state = scope.setdefault("state", {})
        state["request"], state["meter"] = request, meter
        answer = _Answer(scope, request, meter, send)
        try:
            with traced(request, meter, scope["path"]):
                try:
                    await self._app(scope, receive, answer.send)
                except GatewayError as error:
                    if answer.status:
                        raise
                    await error_response(scope, error)(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or _CLIENT_LEFT
        except Exception:
            log_crash(request)
            if answer.status:
                raise  # part of the response has been sent: the server must abort the connection, not end it normally
            await error_response(scope, InternalError("The gateway failed."))(scope, receive, answer.send)
        finally:
            try:
                if meter.settling:  # the client has its response
                    await settled(meter, meter.settling)
            finally:
                caller: Caller | None = state.get("caller")
                log_request(request, meter, caller, method=scope["method"], path=scope["path"], status=answer.status)
                if "aws.context" in scope:
                    warn_of_retirements()


class _Answer:
    """Adds the headers of every response, and remembers its status."""

    def __init__(self, scope: Scope, request: RequestInfo, meter: Meter, send: Send) -> None:
        self._scope = scope
        self._request = request
        self._meter = meter
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = {
                **_common_headers(self._request, self._meter),
                **cors_headers(self._scope["headers"]),
                **dialect_at(self._scope).headers(self._request, self._meter),
            }
            encoded = [(name.encode("latin-1"), _header_value(value)) for name, value in headers.items()]
            message = {**message, "headers": [*message.get("headers", ()), *encoded]}
        await self._send(message)


def _common_headers(request: RequestInfo, meter: Meter) -> dict[str, str]:
    headers = {"x-request-id": request.id, **headers_of_answer(meter)}
    if meter.rates is not None:
        headers |= meter.rates.headers()
    return headers


def _header_value(text: str) -> bytes:
    """A value restricted to visible ASCII: model ids may match a wildcard and so contain what a caller sent."""
    if not (text.isascii() and text.isprintable()):
        text = re.sub(r"[^\x20-\x7e]", "?", text)
    return text[:_MAX_HEADER].encode("ascii")


def _request_info(scope: Scope) -> RequestInfo:
    """The request, with Lambda's deadline and request id where it came through Lambda."""
    request_id = request_id_of(scope, otherwise=os.urandom(16).hex())
    lambda_context = scope.get("aws.context")
    if lambda_context is None:
        return RequestInfo(request_id, math.inf)
    remaining = lambda_context.get_remaining_time_in_millis() / 1000 - _TIME_TO_ANSWER
    deadline = asyncio.get_running_loop().time() + remaining
    return RequestInfo(
        request_id,
        deadline,
        function_request_id=lambda_context.aws_request_id,
        api_request_id=api_request_id_of(scope),
    )
