"""The endpoints of a function, made from the route table, and how a request finds its endpoint."""

from collections.abc import Awaitable, Callable
from importlib import import_module

from shared.gateway.aws_failures import aws_failures_answered
from shared.gateway.services import Services
from shared.gateway.unmetered import counted
from shared.routes import ROUTES, Route, pattern_of
from shared.schemas.context import RequestContext
from shared.web.caller import authorized_caller
from shared.web.http import Request, Response, Scope
from shared.web.replay_headers import may_be_replayed
from shared.web.request import ApiRequest

Operation = Callable[[ApiRequest], Awaitable[Response]]


class Endpoint:
    """What answers the requests of one route."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._answer = _operation(route.operation)

    async def response(self, request: Request, services: Services) -> Response:
        """Raises GatewayError."""
        state, route = request.scope["state"], self._route
        with aws_failures_answered(state["request"]):
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
        raise AssertionError("the contexts swallow no error")


class Endpoints:
    """The endpoints of a function. Making them imports the modules of their operations."""

    def __init__(self, function: str | None) -> None:
        routes = [route for route in ROUTES if route.function == function]
        found = {(route.method, route.path): Endpoint(route) for route in routes}
        self._of_paths = {name: endpoint for name, endpoint in found.items() if "{" not in name[1]}
        self._of_patterns = [(method, pattern_of(path), found[method, path]) for method, path in found if "{" in path]

    def find(self, scope: Scope) -> Endpoint | None:
        """The endpoint of a request's method and path. Puts the parameters of the path into the scope, for Request."""
        method, path = scope["method"], scope["path"]
        if endpoint := self._of_paths.get((method, path)):
            return endpoint
        for of_method, pattern, endpoint in self._of_patterns:
            if of_method == method and (match := pattern.fullmatch(path)):
                scope["path_params"] = match.groupdict()
                return endpoint
        return None


async def _replayable(request: ApiRequest, answer: Operation) -> Response:
    from shared.web.replay import replayable  # only requests that ask for it pay for this import

    return await replayable(request, answer)


def _operation(name: str) -> Operation:
    module, _, function = name.rpartition(".")
    operation: Operation = getattr(import_module(f"shared.web.{module}"), function)
    return operation
