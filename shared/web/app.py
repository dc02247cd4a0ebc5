"""Creates the FastAPI application of a function: its routes, and the conversion of every error to a response."""

import asyncio
import math
import re
import uuid

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import GatewayError, InternalError, MethodNotAllowed, NotFound
from shared.observability import log_crash, log_request, traced
from shared.request_id import api_request_id_of, request_id_of
from shared.routes import routes_at
from shared.schemas.caller import Caller
from shared.schemas.context import Meter, RequestInfo
from shared.web.answers import dialect_at, error_response, headers_of_answer
from shared.web.base_path import without_base_path
from shared.web.cors import cors_headers
from shared.web.process import lifespan, warn_of_retirements
from shared.web.routes import add_routes

# Seconds of Lambda's time kept back when a provider times out, so that the error can still be sent in its dialect.
_TIME_TO_ANSWER = 2.0
_MAX_HEADER = 4096
_CLIENT_LEFT = 499  # nginx's status code for this, used only in the log


def create_app(function: str | None = None) -> FastAPI:
    """The application with a function's routes, or without routes.

    Every other path and method gets an error in the dialect of its path.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    if function is not None:
        add_routes(app, function)
    app.add_exception_handler(GatewayError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_middleware(ContextMiddleware)
    return app


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return error_response(request.scope, error)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """FastAPI's own errors: unknown path, or method not allowed."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        # FastAPI lists the methods of one route only, and each method of a path is a separate route.
        allow = ", ".join(sorted(route.method for route in routes_at(request.scope["path"])))
        refusal: GatewayError = MethodNotAllowed(
            f"The method {request.method} is not allowed on this path.", allow=allow
        )
    else:
        refusal = NotFound(f"Unknown endpoint: {request.method} {request.url.path[:200]}.")
    return error_response(request.scope, refusal)


class ContextMiddleware:
    """Gives every request an id, a meter and a log line, adds the common headers, and turns crashes into a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = without_base_path(scope)
        request, meter = _request_info(scope), Meter()
        state = scope.setdefault("state", {})
        state["request"], state["meter"] = request, meter
        answer = _Answer(scope, request, meter, send)
        try:
            with traced(request, meter, scope["path"]):
                await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or _CLIENT_LEFT
        except Exception:
            log_crash(request)
            if answer.status:
                raise  # part of the response has been sent: the server must abort the connection, not end it normally
            await error_response(scope, InternalError("The gateway failed."))(scope, receive, answer.send)
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
    request_id = request_id_of(scope, otherwise=uuid.uuid4().hex)
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
