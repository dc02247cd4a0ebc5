"""The sample events: there is one for each route, and the function behind the route answers it."""

import asyncio
import base64
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from functions.api_bodies import FORM, bodies_of, query_of
from functions.api_document import ApiDocument
from functions.authorizer.app import handler as authorizer
from scripts.sam_local import store_sample_batches, store_sample_files, store_sample_responses
from shared import authorizer as authorizer_module
from shared.authorizer import caller_of
from shared.dialects.base import Wire, read
from shared.dialects.messages.models import ModelsQuery
from shared.gateway.services import process_services
from shared.routes import ROUTES, Route, resource_path
from shared.runtime.context import LambdaContext
from shared.runtime.event import http_event
from shared.settings import KeyHeader
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from shared.stores.objects import ObjectStore
from shared.stores.responses import ResponseStore
from shared.stores.stack_secret import StackSecret
from shared.stores.tenants import TenantFolders
from tests.client import BATCHES, BUCKET, TENANTS, TOKEN, frames, make_services
from tests.entry_points import entry_point

ROOT = Path(__file__).parents[2]
EVENTS = {path.stem: path for path in sorted((ROOT / "events").glob("*.json"))}
# /v1/image/generation/stable knows only Gemini's models.
SANDBOX_FOR_GEMINI = ROOT / "tests" / "sandbox_for_gemini.toml"
# What answers with something else than JSON.
BINARY = {"speech": "audio/wav", "envelope-synthesize": "audio/wav", "file-content": "application/octet-stream"}
# What no provider of the sandbox's does.
REFUSED = {"response-compact": 400}
REQUESTS = [name for name in EVENTS if name not in ("authorizer", "batch-message")]
CONTEXT = LambdaContext("lambda-1", "arn", "gateway", "$LATEST", 512, "logs", "stream", deadline_ms=10**14)


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(EVENTS[name].read_text("utf-8"))
    return loaded


# Which function has a route, by its method and its path in API Gateway's spelling.
FUNCTIONS = {(route.method, resource_path(route)): route.function for route in ROUTES}


def answer(name: str, keys: KeyStore) -> tuple[int, dict[str, str], bytes]:
    """What the function behind the event's route answers, called as the runtime calls it."""
    settings = {"GATEWAY_SANDBOX": "on", "GATEWAY_TRUST_AUTHORIZER": "on", "GATEWAY_CATALOG": str(SANDBOX_FOR_GEMINI)}
    request = http_event(EVENTS[name].read_bytes(), CONTEXT)
    app = entry_point(FUNCTIONS[event(name)["httpMethod"], event(name)["resource"]]).app
    sent: list[Any] = []

    async def receive() -> Any:
        if any(message.get("more_body") is False for message in sent[1:]):
            return {"type": "http.disconnect"}
        await asyncio.sleep(0)
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append({"more_body": False, **message} if message["type"] == "http.response.body" else message)

    async def run() -> None:
        services = make_services(keys, settings)
        app.services = lambda: services
        try:
            await app(request.scope, receive, send)
        finally:
            app.services = process_services
            await services.aclose()

    asyncio.run(run())
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:])


def test_every_route_has_an_event_and_every_event_a_route() -> None:
    assert {(event(name)["httpMethod"], event(name)["resource"]) for name in REQUESTS} == set(FUNCTIONS)


@pytest.fixture(scope="module")
def stored_files(keys: KeyStore) -> None:
    objects = ObjectStore(keys.aws, BUCKET)
    folders = TenantFolders(StackSecret(keys.aws, TENANTS))
    asyncio.run(store_sample_files(objects, folders))
    asyncio.run(store_sample_batches(objects, BatchStore(keys.aws, BATCHES), folders))
    asyncio.run(store_sample_responses(ResponseStore(objects, folders)))


@pytest.mark.usefixtures("stored_files")
@pytest.mark.parametrize("name", REQUESTS)
def test_the_function_behind_the_route_answers_the_event(name: str, keys: KeyStore) -> None:
    status, headers, body = answer(name, keys)
    assert status == REFUSED.get(name, 200), body
    assert headers["x-request-id"] == "sample-1"
    if "stream" in name:
        assert headers["content-type"].startswith("text/event-stream")
        assert frames(body)[-1] in ("[DONE]", {"type": "message_stop"})
    elif name in BINARY:
        assert headers["content-type"] == BINARY[name]
        assert body
    else:
        assert headers["content-type"] == "application/json"
        assert json.loads(body)


# --- the API's document


@cache
def document() -> dict[str, Any]:
    return ApiDocument(KeyHeader.EITHER).openapi()


def route_of(name: str) -> Route:
    sample = event(name)
    return next(
        route for route in ROUTES if (route.method, resource_path(route)) == (sample["httpMethod"], sample["resource"])
    )


def operation_of(name: str) -> dict[str, Any]:
    route = route_of(name)
    found: dict[str, Any] = document()["paths"][route.path.replace(":path", "")][route.method.lower()]
    return found


def media_type_of(name: str) -> str:
    return str(event(name)["headers"].get("Content-Type", "application/json")).partition(";")[0]


def form_fields(name: str) -> dict[str, Any]:
    """The fields of a multipart sample as the document describes them: a file is a text."""
    sample = event(name)
    head = f"Content-Type: {sample['headers']['Content-Type']}\r\n\r\n".encode()
    fields: dict[str, list[str]] = {}
    for part in BytesParser().parsebytes(head + base64.b64decode(sample["body"])).get_payload():
        field = part.get_param("name", header="content-disposition")
        fields.setdefault(field, []).append("" if part.get_filename() else part.get_payload())
    reference = operation_of(name)["requestBody"]["content"][FORM]["schema"]["$ref"]
    properties = document()["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    return {
        field: values if properties[field].get("type") == "array" else values[-1] for field, values in fields.items()
    }


def accepts(schema: dict[str, Any], value: Any) -> bool:
    validator = Draft202012Validator({**schema, "components": document()["components"]})
    return bool(validator.is_valid(value))


WITH_BODY = [name for name in REQUESTS if event(name)["body"]]


def test_the_document_has_a_body_for_each_sample_with_a_body() -> None:
    assert {name for name in REQUESTS if "requestBody" in operation_of(name)} == set(WITH_BODY)


@pytest.mark.parametrize("name", WITH_BODY)
def test_the_body_of_an_event_is_as_the_document_describes_it(name: str) -> None:
    content = operation_of(name)["requestBody"]["content"]
    schema = content[media_type_of(name)]["schema"]
    body = form_fields(name) if media_type_of(name) == FORM else json.loads(event(name)["body"])
    assert accepts(schema, body)
    component = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert body.keys() <= component["properties"].keys()
    for field in component["required"]:
        assert not accepts(schema, {other: value for other, value in body.items() if other != field})


@contextmanager
def wires_read() -> Iterator[set[type[Wire]]]:
    """The models with which this thread parses bodies and queries."""
    found: set[type[Wire]] = set()

    def note(frame: Any, happened: str, argument: Any) -> None:
        if happened == "call" and frame.f_code is read.__code__:
            found.add(frame.f_locals["wire"])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


def documented(name: str) -> set[type[Wire]]:
    route, media_type = route_of(name), media_type_of(name)
    query = query_of(route)
    bodies = {body.wire for body in bodies_of(route) if body.media_type == media_type}
    return bodies | ({query} if query is not None else set())


@pytest.mark.usefixtures("stored_files")
@pytest.mark.parametrize("name", REQUESTS)
def test_the_document_has_the_models_by_which_an_event_is_read_and_the_type_of_its_answer(
    name: str, keys: KeyStore
) -> None:
    with wires_read() as wires:
        status, headers, _ = answer(name, keys)
    # The list of models has a query for Anthropic's clients alone.
    assert wires & set().union(*map(documented, REQUESTS)) == documented(name) - {ModelsQuery}
    described = operation_of(name)["responses"][str(status)]
    if status == 200:
        assert headers["content-type"].partition(";")[0] in described["content"]


@pytest.mark.parametrize("name", REQUESTS)
def test_an_event_is_what_api_gateway_sends(name: str) -> None:
    sample = event(name)
    context = sample["requestContext"]
    assert context["path"] == f"/live{sample['path']}"
    assert context["resourcePath"] == sample["resource"]
    assert context["httpMethod"] == sample["httpMethod"]
    assert sample["multiValueHeaders"] == {header: [value] for header, value in sample["headers"].items()}
    path = sample["resource"]
    for parameter, value in (sample["pathParameters"] or {}).items():
        path = re.sub(rf"\{{{parameter}\+?\}}", value, path)
    assert sample["path"] == path
    assert sample["isBase64Encoded"] == sample["headers"].get("Content-Type", "").startswith("multipart/form-data")
    caller = caller_of(sample)
    assert caller is not None
    assert caller.key_id == context["authorizer"]["principalId"]


def test_the_authorizer_lets_its_event_through(
    keys: KeyStore, aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**aws_environment, "GATEWAY_KEYS_TABLE": "keys"}.items():
        monkeypatch.setenv(name, value)
    for cached in (authorizer_module._keys, authorizer_module._settings):
        cached.cache_clear()
    sample = event("authorizer")
    sample["headers"]["Authorization"] = f"Bearer {TOKEN}"
    answered = authorizer(sample, None)
    assert answered["principalId"] == "test"
    (statement,) = answered["policyDocument"]["Statement"]
    assert statement["Resource"] == "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/live/*/*"
    for cached in (authorizer_module._keys, authorizer_module._settings):
        cached.cache_clear()
