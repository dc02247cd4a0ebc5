"""Builds the FastAPI application's routes for a function from the route table."""

from collections.abc import Awaitable, Callable
from importlib import import_module

from fastapi import FastAPI, Request, Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from shared.gateway.aws_failures import aws_failures_answered
from shared.gateway.unmetered import counted
from shared.routes import ROUTES, Route
from shared.schemas.context import RequestContext
from shared.web.caller import authorized_caller
from shared.web.process import services_of
from shared.web.replay_headers import may_be_replayed
from shared.web.request import ApiRequest

Endpoint = Callable[[ApiRequest], Awaitable[Response]]


def add_routes(app: FastAPI, function: str) -> None:
    """Adds the routes of a function, and imports the modules of their operations."""
    for route in ROUTES:
        if route.function == function:
            added = StarletteRoute(route.path, _Endpoint(route), methods=[route.method])
            added.methods = {route.method}  # Starlette adds HEAD to GET
            app.router.routes.append(added)


class _Endpoint:
    """A route's endpoint.

    FastAPI calls it as it is: resolving dependencies would take a tenth of a request's CPU time, and dozens of
    milliseconds of a cold start.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._answer = _operation(route.operation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        with aws_failures_answered(scope["state"]["request"]):
            response = await self._response(request)
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        state, route, services = request.scope["state"], self._route, services_of(request.scope["app"])
        caller = await authorized_caller(request, services, route)
        context = RequestContext(state["request"], caller, state["meter"])
        api_request = ApiRequest(request, route, services, context)
        if not route.is_unmetered_write:
            has_cached_models = services.catalog.has_cached_models
            if may_be_replayed(route, request.headers, caller, has_cached_models=has_cached_models):
                return await _replayable(api_request, self._answer)
            return await self._answer(api_request)
        async with counted(services, context):
            return await self._answer(api_request)
        raise AssertionError("the context swallows no error")


async def _replayable(request: ApiRequest, answer: Endpoint) -> Response:
    from shared.web.replay import replayable  # only requests that ask for it pay for this import

    return await replayable(request, answer)


def _operation(name: str) -> Endpoint:
    module, _, function = name.rpartition(".")
    endpoint: Endpoint = getattr(import_module(f"shared.web.{module}"), function)
    return endpoint
