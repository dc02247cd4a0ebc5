"""The route table: what it says is what the applications do."""

import re

import pytest
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute

from shared.dialects import dialect_named, parser
from shared.routes import HTTP_FUNCTIONS, ROUTES, Route, dialect_of, routes_at
from tests.entry_points import entry_point

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")


def requested(route: Route) -> str:
    """A path at which the route is found."""
    return re.sub(r"\{\w+(:path)?}", lambda match: "vendor/model" if match[1] else "id-1", route.path)


def app_routes(function: str) -> list[StarletteRoute]:
    routes = entry_point(function).app.routes
    assert all(isinstance(route, StarletteRoute) for route in routes)
    return list(routes)


def test_no_two_routes_share_a_method_and_a_path() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_each_application_has_the_routes_of_its_function() -> None:
    built = [
        (method, route.path, function)
        for function in HTTP_FUNCTIONS
        for route in app_routes(function)
        for method in route.methods or ()
    ]
    assert sorted(built) == sorted((route.method, route.path, route.function) for route in ROUTES)


@every_route
def test_a_path_is_found_in_the_table_as_its_application_finds_it(route: Route) -> None:
    path = requested(route)
    scope = {"type": "http", "method": route.method, "path": path, "root_path": ""}
    matched = {
        method: found.matches(scope)[0] is Match.FULL
        for function in HTTP_FUNCTIONS
        for found in app_routes(function)
        for method in found.methods or ()
        if found.matches(scope)[0] is not Match.NONE
    }
    assert matched == {found.method: found.method == route.method for found in routes_at(path)}


@pytest.mark.parametrize("path", ["/", "/v1/files/", "/v1/files/a/b", "/v1/chat/completionsx", "/v1/files\n"])
def test_a_path_without_a_route_is_not_found_in_the_table(path: str) -> None:
    assert routes_at(path) == []


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
    assert routes_at(path) == []
    assert dialect_of(path) == dialect
