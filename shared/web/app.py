"""Makes the FastAPI application of a function: its routes, and one place where every error becomes an answer."""

import asyncio
import math
import os
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
from shared.request_id import api_request_id_of, request_id_of
from shared.schemas.context import RequestContext
from shared.web.base_path import without_base_path

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
    """The context that the middleware made for the request."""
    context: RequestContext = request.scope["state"]["context"]
    return context


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
    context: RequestContext = scope["state"]["context"]
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allow
    return json_response(dialect.error(error, context.request_id), dialect.status(error), headers)


class ContextMiddleware:
    """Gives every request its context, every answer its headers, every crash a clean 500, every request a log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = without_base_path(scope)
        context = _new_context(scope)
        scope.setdefault("state", {})["context"] = context
        answer = _Answer(scope, context, send)
        try:
            with traced(context, scope["path"]):
                await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or _CLIENT_LEFT
        except Exception:
            log_crash(context)
            if answer.status:
                raise  # half an answer is out: the server must break the connection off, not end it well
            await error_response(scope, InternalError("The gateway failed."))(scope, receive, answer.send)
        finally:
            log_request(context, method=scope["method"], path=scope["path"], status=answer.status)


class _Answer:
    """Adds the headers that every answer carries, and remembers its status."""

    def __init__(self, scope: Scope, context: RequestContext, send: Send) -> None:
        self._scope = scope
        self._context = context
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = {**_common_headers(self._context), **dialect_for(self._scope["path"]).headers(self._context)}
            encoded = [(name.encode("latin-1"), _header_value(value)) for name, value in headers.items()]
            message = {**message, "headers": [*message.get("headers", ()), *encoded]}
        await self._send(message)


def _common_headers(context: RequestContext) -> dict[str, str]:
    headers = {"x-request-id": context.request_id}
    if origin := os.environ.get("GATEWAY_CORS_ORIGIN"):
        # API Gateway answers the preflight alone; the answers themselves are ours.
        headers["access-control-allow-origin"] = origin
        headers["access-control-expose-headers"] = "*"
    if context.model is not None:
        headers["x-gateway-model"] = context.model.id
        headers["x-gateway-backend"] = context.backend or ""
    if context.rates is not None:
        headers |= context.rates.headers()
    if context.cost is not None:
        # In dollars. A stream's is not known when its headers leave.
        headers["x-gateway-cost"] = f"{context.cost / 1_000_000:.6f}"
    return headers


def _header_value(text: str) -> bytes:
    """Model ids may come from a wildcard, and so from a caller: nothing but visible ASCII may reach a header."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:300].encode("ascii")


def _new_context(scope: Scope) -> RequestContext:
    """A context with Lambda's deadline and request id, where the request came through Lambda."""
    request_id = request_id_of(scope, otherwise=uuid.uuid4().hex)
    lambda_context = scope.get("aws.context")
    if lambda_context is None:
        return RequestContext(request_id=request_id, deadline=math.inf)
    remaining = lambda_context.get_remaining_time_in_millis() / 1000 - _TIME_TO_ANSWER
    return RequestContext(
        request_id=request_id,
        deadline=asyncio.get_running_loop().time() + remaining,
        api_request_id=api_request_id_of(scope),
        function_request_id=lambda_context.aws_request_id,
    )
