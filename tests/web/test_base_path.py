"""A custom domain's base path changes no route, whatever it is called."""

import asyncio
import json
from typing import Any

import pytest

from shared.gateway.services import process_services
from shared.runtime.context import LambdaContext
from shared.runtime.event import http_event
from shared.schemas.caller import Caller, Permission
from shared.stores.keys import KeyStore
from tests.client import make_services
from tests.entry_points import entry_point
from tests.runtime.requests import rest_event

CALLER = Caller(key_id="trusted", tenant="t", permissions=frozenset({Permission.MODELS_USE}))
BODY = json.dumps({"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]})
MODEL = "/v1/models/{model_id+}"
# A base path may be called as a route begins, or as a whole dialect.
BASES = pytest.mark.parametrize("base", ["", "/gateway", "/v1", "/ai", "/models"])
CONTEXT = LambdaContext("id-1", "arn", "chat", "1", 512, "group", "stream", deadline_ms=10**15)


def answered(function: str, path: str, resource: str, keys: KeyStore, **fields: Any) -> tuple[int, Any]:
    """The status and JSON that a function answers to a request which API Gateway took to a resource."""
    event = rest_event(path, resource=resource, **fields)
    event["requestContext"]["authorizer"] = {"caller": CALLER.model_dump_json()}
    # As both of Lambda's runtimes read it: Mangum's handlers do.
    request = http_event(json.dumps(event).encode(), CONTEXT)
    app = entry_point(function).app
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        services = make_services(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_TRUST_AUTHORIZER": "on"})
        app.services = lambda: services
        try:
            await app(request.scope, receive, send)
        finally:
            app.services = process_services
            await services.aclose()

    asyncio.run(run())
    return sent[0]["status"], json.loads(b"".join(message["body"] for message in sent[1:]))


@BASES
@pytest.mark.parametrize("resource", ["/v1/chat/completions", "/ai/chat", "/ai/ai/chat", "/v1/inference/chat"])
def test_a_route_is_found_below_any_base_path_and_answers_in_its_own_dialect(
    keys: KeyStore, base: str, resource: str
) -> None:
    status, body = answered("chat", base + resource, resource, keys, method="POST", body=BODY)
    assert status == 200
    dialects = {"choices": "/v1/chat/completions", "message": "/ai", "data": "/v1/inference"}
    assert {name for name in dialects if name in body} == {
        name for name, path in dialects.items() if resource.startswith(path)
    }


@BASES
@pytest.mark.parametrize(("path", "resource"), [("/v1/models", "/v1/models"), ("/v1/models/sandbox/chat", MODEL)])
def test_an_id_with_slashes_stays_whole(keys: KeyStore, base: str, path: str, resource: str) -> None:
    status, body = answered("models", base + path, resource, keys)
    assert status == 200
    assert body.get("id", "sandbox/chat") == "sandbox/chat"


@BASES
def test_an_error_is_in_the_dialect_of_its_route(keys: KeyStore, base: str) -> None:
    status, body = answered("chat", f"{base}/v1/inference/chat", "/v1/inference/chat", keys, method="POST", body="{}")
    assert (status, body["status"]) == (422, "error")


def test_a_path_that_is_no_routes_stays_as_it_is(keys: KeyStore) -> None:
    assert answered("chat", "/gateway/v1/chat/completions", "/{proxy+}", keys, method="POST", body=BODY)[0] == 404
