"""Makes the FastAPI application of a function: its routes, and one place where every error becomes an answer."""

import asyncio
import math
import re
import uuid
from collections.abc import Callable, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.dialects import dialect_for
from shared.errors import GatewayError, InternalError, MethodNotAllowed, NotFound
from shared.observability import log_crash, log_request, traced
from shared.request_id import given_request_id
from shared.schemas.caller import Caller
from shared.schemas.context import Meter, RequestContext, RequestInfo
from shared.web.cors import cors_headers

# What is left of Lambda's time when a provider is given up, so that the time-out can still be answered in its dialect.
_TIME_TO_ANSWER = 2.0
_CLIENT_LEFT = 499  # nginx's status for it, seen in the log alone


def create_app(*routes: Callable[[FastAPI], None]) -> FastAPI:
    """An application with the given routes; every other path and method answers in the dialect of its path."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for add in routes:
        add(app)
    app.add_exception_handler(GatewayError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_middleware(ContextMiddleware)
    return app


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(body, inf_nan_mode="null"), status, headers, "application/json")


def context_of(request: Request) -> RequestContext:
    """The request with its caller, whom the route has authenticated."""
    context: RequestContext = request.scope["state"]["context"]
    return context


def authenticated(request: Request, caller: Caller) -> None:
    """Keeps who makes a request, for `context_of` and the log."""
    state = request.scope["state"]
    state["context"] = RequestContext(state["request"], caller, state["meter"])


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return error_response(request.scope, error)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """FastAPI's own refusals: no such route, or not with this method."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        refusal: GatewayError = MethodNotAllowed(f"{request.method} is not possible here.", allow=allow)
    else:
        refusal = NotFound(f"There is nothing at {request.method} {request.url.path[:200]}.")
    return error_response(request.scope, refusal)


def error_response(scope: MutableMapping[str, Any], error: GatewayError) -> Response:
    """An error in the dialect of its path."""
    dialect = dialect_for(scope["path"])
    request: RequestInfo = scope["state"]["request"]
    scope["state"]["meter"].error = error.code
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allow
    return json_response(dialect.error(error, request.id), dialect.status(error), headers)


class ContextMiddleware:
    """Gives every request an id, a meter and a log line, every response its headers, every crash a clean 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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
                raise  # half an answer is out: the server must break the connection off, not end it well
            await error_response(scope, InternalError("The gateway failed."))(scope, receive, answer.send)
        finally:
            context: RequestContext | None = state.get("context")
            caller = None if context is None else context.caller
            log_request(request, meter, caller, method=scope["method"], path=scope["path"], status=answer.status)


class _Answer:
    """Adds the headers that every answer carries, and remembers its status."""

    def __init__(self, scope: Scope, request: RequestInfo, meter: Meter, send: Send) -> None:
        self._scope = scope
        self._request = request
        self._meter = meter
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            dialect = dialect_for(self._scope["path"])
            headers = {
                **_common_headers(self._request, self._meter),
                **cors_headers(self._scope["headers"]),
                **dialect.headers(self._request, self._meter),
            }
            encoded = [(name.encode("latin-1"), _header_value(value)) for name, value in headers.items()]
            message = {**message, "headers": [*message.get("headers", ()), *encoded]}
        await self._send(message)


def _common_headers(request: RequestInfo, meter: Meter) -> dict[str, str]:
    headers = {"x-request-id": request.id}
    if meter.model is not None:
        headers["x-gateway-model"] = meter.model.id
        headers["x-gateway-backend"] = meter.backend or ""
    if meter.rates is not None:
        headers |= meter.rates.headers()
    if meter.cost is not None:
        # In dollars. A stream's is not known when its headers leave.
        headers["x-gateway-cost"] = f"{meter.cost / 1_000_000:.6f}"
    return headers


def _header_value(text: str) -> bytes:
    """Model ids may come from a wildcard, and so from a caller: nothing but visible ASCII may reach a header."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:300].encode("ascii")


def _request_info(scope: Scope) -> RequestInfo:
    """The request, with Lambda's deadline and request id where it came through Lambda."""
    request_id = given_request_id(scope["headers"]) or uuid.uuid4().hex
    lambda_context = scope.get("aws.context")
    if lambda_context is None:
        return RequestInfo(request_id, math.inf)
    remaining = lambda_context.get_remaining_time_in_millis() / 1000 - _TIME_TO_ANSWER
    deadline = asyncio.get_running_loop().time() + remaining
    return RequestInfo(request_id, deadline, function_request_id=lambda_context.aws_request_id)
