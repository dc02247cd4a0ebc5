"""The API's OpenAPI document, as the local server serves it and the command prints it.

That the sample events are as it describes them is tested in tests/stack/test_events.py.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from functions.__main__ import AllFunctions
from functions.api_document import ApiDocument
from functions.local_server import LocalServer
from shared.routes import ROUTES, Route
from shared.settings import KeyHeader
from shared.stores.keys import KeyStore
from tests.client import gateway_client

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return ApiDocument(KeyHeader.AUTHORIZATION).openapi()


@pytest.fixture
async def client(keys: KeyStore) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_client(keys, token=None) as client:
        yield client


def operation(document: dict[str, Any], route: Route) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][route.path.replace(":path", "")][route.method.lower()]
    return found


def errors(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [error.message for error in validator.iter_errors(value)]


def closed(schema: Any) -> Any:
    """A schema whose objects have no other properties than those that it names."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(item) for name, item in schema.items()}
    return {**inner, "additionalProperties": False} if "properties" in schema else inner


# --- what it says


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_has_the_routes_of_the_table_and_no_others(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path.replace(":path", "")) for route in ROUTES}


def test_each_route_is_told_by_its_function_a_summary_and_its_parameters(document: dict[str, Any]) -> None:
    for route in ROUTES:
        described = operation(document, route)
        assert described["tags"] == [route.function]
        assert described["summary"]
        assert described["description"]
        in_path = {parameter["name"] for parameter in described.get("parameters", ()) if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)", route.path))


def test_it_has_no_names_of_our_classes(document: dict[str, Any]) -> None:
    names = document["components"]["schemas"]
    assert not [name for name in names if re.search("Wire|Fields|shared|__|-Input", name)]
    assert not [name for name, schema in names.items() if "title" in schema]


def test_it_names_only_schemas_and_responses_that_are_used(document: dict[str, Any]) -> None:
    used = set(re.findall(r'"\$ref": "#/components/(\w+/\w+)"', json.dumps(document)))
    kept = {f"{kind}/{name}" for kind in ("schemas", "responses") for name in document["components"][kind]}
    assert kept == used


@pytest.mark.parametrize(
    ("key_header", "elsewhere"),
    [
        (KeyHeader.AUTHORIZATION, ["bearer"]),
        (KeyHeader.X_API_KEY, ["apiKey"]),
        (KeyHeader.EITHER, ["bearer", "apiKey"]),
    ],
)
def test_it_says_in_which_header_a_key_is_taken(key_header: KeyHeader, elsewhere: list[str]) -> None:
    document = ApiDocument(key_header).openapi()
    for route in ROUTES:
        expected = ["bearer", "apiKey"] if route.send_either_key else elsewhere
        assert operation(document, route)["security"] == [{scheme: []} for scheme in expected]
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "x-api-key")


def test_fields_that_the_gateway_refuses_are_not_in_it(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["OpenAIChatRequest"]["properties"]
    assert {"messages", "models", "temperature"} <= properties.keys()
    assert not {"audio", "moderation"} & properties.keys()


# --- whether that is so


def examples(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    for response in document["components"]["responses"].values():
        content = response["content"]["application/json"]
        yield from ((content["schema"], example["value"]) for example in content["examples"].values())


def test_the_dialects_errors_have_the_fields_of_their_schemas_and_no_others(document: dict[str, Any]) -> None:
    strict = {**document, "components": closed(document["components"])}
    found = list(examples(document))
    assert len(found) > 50
    for schema, value in found:
        assert errors(strict, schema, value) == []


@pytest.mark.anyio
async def test_each_route_refuses_a_missing_key_as_described(
    document: dict[str, Any], client: httpx.AsyncClient
) -> None:
    for route in ROUTES:
        described = operation(document, route)["responses"]
        answer = await client.request(route.method, re.sub(r"\{[^}]+\}", "some", route.path))
        name = described[str(answer.status_code)]["$ref"].rpartition("/")[2]
        schema = document["components"]["responses"][name]["content"]["application/json"]["schema"]
        assert answer.status_code == 401
        assert errors(document, schema, answer.json()) == []
        assert "429" in described


@pytest.mark.anyio
async def test_an_upload_may_be_announced_in_json_as_described(document: dict[str, Any], keys: KeyStore) -> None:
    route = next(route for route in ROUTES if route.operation == "files.upload_file")
    schema = operation(document, route)["requestBody"]["content"]["application/json"]["schema"]
    announced = {"filename": "hello.wav", "purpose": "user_data", "bytes": 44}
    async with gateway_client(keys) as client:
        for body, status in ((announced, 200), ({**announced, "bytes": 0}, 400), ({**announced, "purpose": "?"}, 400)):
            assert (errors(document, schema, body) == []) is (status == 200)
            assert (await client.post(route.path, json=body)).status_code == status


@pytest.mark.anyio
async def test_anthropics_clients_page_the_models_as_described(document: dict[str, Any], keys: KeyStore) -> None:
    described = {parameter["name"]: parameter for parameter in document["paths"]["/v1/models"]["get"]["parameters"]}
    assert {"anthropic-version", "limit", "after_id", "before_id"} == described.keys()
    async with gateway_client(keys) as client:
        for limit, status in ((1, 200), (1000, 200), (0, 400), (1001, 400)):
            assert (errors(document, described["limit"]["schema"], limit) == []) is (status == 200)
            answer = await client.get(
                "/v1/models", params={"limit": limit}, headers={"anthropic-version": "2023-06-01"}
            )
            assert answer.status_code == status


# --- where it is


@pytest.mark.anyio
async def test_the_local_server_serves_it_without_a_key(client: httpx.AsyncClient) -> None:
    served = await client.get("/v1/openapi.json")
    assert served.status_code == 200
    assert served.headers["x-request-id"]
    assert served.json() == ApiDocument(KeyHeader.EITHER).openapi()


@pytest.mark.anyio
async def test_another_method_is_an_unknown_endpoint(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/openapi.json")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.anyio
async def test_it_is_served_to_loopback_hosts_only() -> None:
    transport = httpx.ASGITransport(LocalServer(AllFunctions()))
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        assert (await client.get("/v1/openapi.json")).status_code == 403


@pytest.mark.parametrize(
    ("settings", "key_header", "url"),
    [
        ({}, KeyHeader.AUTHORIZATION, "https://gateway.example/live"),
        ({"GATEWAY_KEY_HEADER": "x-api-key"}, KeyHeader.X_API_KEY, None),
    ],
)
def test_the_command_prints_that_of_a_stack_at_its_address(
    settings: dict[str, str], key_header: KeyHeader, url: str | None
) -> None:
    command = [sys.executable, "-m", "functions.api_document", *([url] if url else [])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")} | settings
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    document = json.loads(result.stdout)
    assert document.get("servers") == ([{"url": url}] if url else None)
    assert document == ApiDocument(key_header, url).openapi()


def test_the_command_names_a_setting_that_is_wrong() -> None:
    command = [sys.executable, "-m", "functions.api_document"]
    environment = {**os.environ, "GATEWAY_KEY_HEADER": "cookie"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "GATEWAY_KEY_HEADER" in result.stderr
    assert "Traceback" not in result.stderr
