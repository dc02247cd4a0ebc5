"""Builds the FastAPI routes of a function from the route table."""

from collections.abc import Awaitable, Callable
from importlib import import_module

from fastapi import FastAPI, Request, Response

from shared.gateway.aws_failures import aws_failures_answered
from shared.gateway.unmetered import counted
from shared.routes import ROUTES, Route
from shared.schemas.context import RequestContext
from shared.web.caller import authorized_caller
from shared.web.process import ProcessServices
from shared.web.replay_headers import may_be_replayed
from shared.web.request import ApiRequest

Endpoint = Callable[[ApiRequest], Awaitable[Response]]


def add_routes(app: FastAPI, function: str) -> None:
    """Adds the routes of a function, and imports the modules of their operations."""
    for route in ROUTES:
        if route.function == function:
            app.add_api_route(route.path, _endpoint(route), methods=[route.method], response_model=None)


def _endpoint(route: Route) -> Callable[..., Awaitable[Response]]:
    """A route's endpoint as FastAPI calls it.

    A parameter that needs a validator, such as one of the path, costs every cold start dozens of milliseconds:
    operations read path parameters from the request instead.
    """
    answer = _operation(route.operation)

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        state = request.scope["state"]
        with aws_failures_answered(state["request"]):
            caller = await authorized_caller(request, services, route)
            context = RequestContext(state["request"], caller, state["meter"])
            api_request = ApiRequest(request, route, services, context)
            if not route.is_unmetered_write:
                has_cached_models = services.catalog.has_cached_models
                if may_be_replayed(route, request.headers, caller, has_cached_models=has_cached_models):
                    return await _replayable(api_request, answer)
                return await answer(api_request)
            async with counted(services, context):
                return await answer(api_request)
        raise AssertionError("the contexts swallow no error")

    return endpoint


async def _replayable(request: ApiRequest, answer: Endpoint) -> Response:
    from shared.web.replay import replayable  # only requests that ask for it pay for this import

    return await replayable(request, answer)


def _operation(name: str) -> Endpoint:
    module, _, function = name.rpartition(".")
    endpoint: Endpoint = getattr(import_module(f"shared.web.{module}"), function)
    return endpoint
