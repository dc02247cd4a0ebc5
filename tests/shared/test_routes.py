"""The route table: what it says is what the applications do."""

import re

import httpx
import pytest

from functions.__main__ import AllFunctions
from shared.dialects import dialect_named, parser
from shared.gateway.services import process_services
from shared.routes import HTTP_FUNCTIONS, ROUTES, Route, dialect_of, routes_at
from shared.stores.keys import KeyStore
from tests.client import make_services

pytestmark = pytest.mark.anyio

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")


def requested(route: Route) -> str:
    """A path at which the route is found."""
    return re.sub(r"\{\w+(:path)?}", lambda match: "vendor/model" if match[1] else "id-1", route.path)


def test_no_two_routes_share_a_method_and_a_path() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@every_route
async def test_only_the_function_of_a_route_has_it(route: Route, keys: KeyStore) -> None:
    services = make_services(keys, {})
    statuses = {}
    for function, app in AllFunctions().apps.items():
        app.services = lambda: services
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            statuses[function] = (await client.request(route.method, requested(route))).status_code
        app.services = process_services
    await services.aclose()
    assert statuses == {function: 401 if function == route.function else 404 for function in HTTP_FUNCTIONS}


@pytest.mark.parametrize("path", ["/", "/v1/files/", "/v1/files/a/b", "/v1/chat/completionsx", "/v1/files\n"])
def test_a_path_without_a_route_is_not_found_in_the_table(path: str) -> None:
    assert not routes_at(path)


@every_route
def test_a_route_answers_in_its_dialect_and_its_parser_exists(route: Route) -> None:
    assert dialect_of(requested(route)) == route.dialect
    assert dialect_named(route.dialect).status
    assert not route.parser or callable(parser(route.dialect, route.parser))


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/inference", "envelope"),
        ("/v1/inference/nothing", "envelope"),
        ("/v1/inferences", "openai"),
        ("/ai", "compact"),
        ("/ai/nothing", "compact"),
        ("/air", "openai"),
        ("/v1/nothing", "openai"),
        ("/", "openai"),
    ],
)
def test_a_path_without_a_route_has_a_dialect_too(path: str, dialect: str) -> None:
    assert not routes_at(path)
    assert dialect_of(path) == dialect
