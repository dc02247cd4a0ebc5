"""The local server answers to loopback hosts alone, in the dialect of the path, and answers browsers' preflights."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from werkzeug.test import Client

from functions.local_server import LocalServer
from functions.moto_server import AtomicMoto
from shared.web.http import Response
from tests.contract.wire import assert_error
from tests.stack.test_template import body

pytestmark = pytest.mark.anyio

APP = "https://app.example.com"
LOOPBACK = ["localhost", "LocalHost:8080", "a.localhost:80", "127.0.0.1", "127.0.0.1:8080", "127.1.2.3", "[::1]"]
LOOPBACK += ["[::1]:8080", "[0:0:0:0:0:0:0:1]:1", "localhost."]
FOREIGN = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.1", ""]
FOREIGN += ["[::2]", "[::1", "::1", "0.0.0.0", "127.0.0.1@evil.example", "localhost:8080:1", "2130706433", "[fe80::1]"]


@asynccontextmanager
async def served() -> AsyncIterator[httpx.AsyncClient]:
    """The local server before something that says "behind" to every request."""
    transport = httpx.ASGITransport(LocalServer(Response(b"behind")))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize("host", LOOPBACK)
async def test_a_loopback_host_is_answered(host: str) -> None:
    async with served() as client:
        assert (await client.get("/", headers={"host": host})).text == "behind"


@pytest.mark.parametrize("path", ["/v1/models", "/ai/models", "/v1/inference/chat"])
@pytest.mark.parametrize("host", FOREIGN)
async def test_another_host_is_refused_in_the_dialect_of_the_path(
    monkeypatch: pytest.MonkeyPatch, host: str, path: str
) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", APP)
    async with served() as client:
        answer = await client.get(path, headers={"host": host})
        assert_error(answer, "permission")
        headers = {"host": host, "origin": APP, "access-control-request-method": "POST"}
        assert (await client.options(path, headers=headers)).status_code == 403


@pytest.mark.parametrize("host", FOREIGN)
def test_the_embedded_aws_refuses_it_as_well(host: str) -> None:
    client = Client(AtomicMoto())
    assert client.get("/", headers={"host": host}).status_code == 403
    assert client.get("/", headers={"host": "127.0.0.1:5000"}).status_code != 403


@pytest.mark.parametrize("origins", [APP, f"https://other.example.com,{APP}", "*"])
async def test_a_preflight_is_answered_as_in_a_stack(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", origins)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    headers = {"origin": APP, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    async with served() as client:
        answer = await client.options("/v1/chat/completions", headers=headers)
    assert (answer.status_code, answer.text) == (204, "")
    assert answer.headers["access-control-allow-origin"] == ("*" if origins == "*" else APP)
    assert answer.headers.get("vary") == (None if origins == "*" else "Origin")
    preflight = body()["paths"]["/v1/chat/completions"]["options"]["x-amazon-apigateway-integration"]
    of_stack = preflight["responses"]["default"]["responseParameters"]
    for name in ("Allow-Methods", "Allow-Headers", "Max-Age"):
        told = of_stack[f"method.response.header.Access-Control-{name}"].strip("'")
        assert answer.headers[f"access-control-{name.lower()}"] == told


async def test_a_preflight_of_another_origin_is_allowed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", APP)
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    async with served() as client:
        answer = await client.options("/v1/chat/completions", headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.text == ""


@pytest.mark.parametrize(
    ("setting", "headers"),
    [("", {"origin": APP, "access-control-request-method": "POST"}), (APP, {"origin": APP}), (APP, {})],
)
async def test_what_is_no_preflight_is_left_to_the_functions(
    monkeypatch: pytest.MonkeyPatch, setting: str, headers: dict[str, str]
) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", setting)
    async with served() as client:
        assert (await client.options("/v1/chat/completions", headers=headers)).text == "behind"
