"""What the functions make of Lambda's event and context: who calls, how long there is, and what is told of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.chat.app import app
from shared.gateway.services import process_services
from shared.schemas.caller import Caller, Permission
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.secrets import ProviderSecret
from shared.web.http import Receive, Scope, Send
from tests.client import TOKEN, gateway_client, make_services

pytestmark = pytest.mark.anyio
BODY = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "my secret prompt"}]}
CALLER = Caller(key_id="trusted", tenant="t", permissions=frozenset({Permission.MODELS_USE}))


@dataclass
class LambdaContext:
    aws_request_id: str = "lambda-1"
    remaining: float = 300.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.remaining * 1000)


def event(caller: Caller | None) -> dict[str, Any]:
    authorizer = {} if caller is None else {"caller": caller.model_dump_json(), "principalId": caller.key_id}
    return {"requestContext": {"authorizer": authorizer}}


@asynccontextmanager
async def on_lambda(
    keys: KeyStore, given: dict[str, Any], context: LambdaContext | None = None, **settings: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the chat function as the runtime calls it."""
    services = make_services(keys, {"GATEWAY_SANDBOX": "on", **settings})
    app.services = lambda: services

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "aws.event": given, "aws.context": context or LambdaContext()}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(called), base_url="http://gateway") as client:
        yield client
    app.services = process_services
    await services.aclose()


async def test_the_authorizers_word_is_taken_and_no_token_is_looked_up(keys: KeyStore) -> None:
    async with on_lambda(keys, event(CALLER), GATEWAY_TRUST_AUTHORIZER="on") as client:
        answer = await client.post("/v1/chat/completions", json=BODY)
    assert answer.status_code == 200


async def test_the_authorizers_word_is_not_taken_where_none_stands(keys: KeyStore) -> None:
    async with on_lambda(keys, event(CALLER)) as client:
        assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 401


async def test_without_the_authorizers_word_the_token_is_looked_up(keys: KeyStore) -> None:
    async with on_lambda(keys, event(None), GATEWAY_TRUST_AUTHORIZER="on") as client:
        assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 401
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert (await client.post("/v1/chat/completions", json=BODY, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/chat/completions", "permission_denied"),
        ("/ai/chat", "forbidden"),
        ("/v1/inference/chat", "AUTHZ_PERMISSION_DENIED"),
    ],
)
async def test_a_key_that_the_authorizer_let_through_still_needs_the_permission(
    keys: KeyStore, path: str, code: str
) -> None:
    powerless = CALLER.model_copy(update={"permissions": frozenset()})
    async with on_lambda(keys, event(powerless), GATEWAY_TRUST_AUTHORIZER="on") as client:
        answer = await client.post(path, json=BODY)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_is_given_up_before_lambda_ends_the_function(keys: KeyStore, stream: bool) -> None:
    context = LambdaContext(remaining=2.05)
    async with on_lambda(keys, event(CALLER), context, GATEWAY_TRUST_AUTHORIZER="on") as client:
        answer = await client.post("/ai/chat", json={**BODY, "model": "sandbox/fail-timeout", "stream": stream})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "provider_timeout"


async def test_a_request_leaves_one_log_line_and_its_metrics(
    keys: KeyStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("GATEWAY_METRICS_NAMESPACE", "Services")
    async with on_lambda(keys, event(None)) as client:
        headers = {"authorization": f"Bearer {TOKEN}", "x-request-id": "r-77"}
        await client.post("/v1/chat/completions", json={**BODY, "stream": True}, headers=headers)
    (line,) = [vars(record) for record in caplog.records if record.message == "request"]
    told = {name: line[name] for name in ("request_id", "function_request_id", "key_id", "model", "backend", "status")}
    assert told == {
        "request_id": "r-77",
        "function_request_id": "lambda-1",
        "key_id": "test",
        "model": "sandbox/chat",
        "backend": "sandbox/chat",
        "status": 200,
    }
    assert line["first_token_ms"] <= line["duration_ms"]
    assert line["output_tokens"] > 0
    (metrics,) = emitted(capsys)
    assert {(directive["Namespace"], *map(tuple, directive["Dimensions"])) for directive in directives(metrics)} == {
        ("Services", ("service", "provider")),
        ("Services", ("service",)),
    }
    assert (metrics["service"], metrics["provider"]) == ("gateway", "sandbox")
    assert metrics["Requests"] == 1
    assert metrics["OutputTokens"] == line["output_tokens"]
    assert metrics["Dollars"] == line["cost_micro_dollars"] / 1_000_000
    assert metrics["TimeToFirstToken"] <= metrics["Latency"]
    assert_told_in_full(metrics)


async def test_an_error_is_counted_by_its_kind_and_a_failed_call_by_its_provider_too(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_METRICS_NAMESPACE", "Services")
    async with on_lambda(keys, event(CALLER), GATEWAY_TRUST_AUTHORIZER="on") as client:
        answer = await client.post("/v1/chat/completions", json={**BODY, "model": "sandbox/fail-500"})
    assert answer.status_code == 502
    call, request = emitted(capsys)
    assert (call["provider"], call["error"], call["FailedCalls"]) == ("sandbox", "upstream_error", 1)
    assert [directive["Dimensions"] for directive in directives(call)] == [[["service", "provider", "error"]]]
    assert (request["error"], request["Errors"], request["ServerErrors"]) == ("upstream_error", 1, 1)
    assert [["service", "error"]] in [directive["Dimensions"] for directive in directives(request)]
    assert_told_in_full(call)
    assert_told_in_full(request)


async def test_a_callers_own_words_are_no_dimension(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_METRICS_NAMESPACE", "Services")
    gone = {"error": {"message": "no such model"}}
    async with gateway_client(keys, {"GROQ_API_KEY": "key"}, lambda _: httpx.Response(500, json=gone)) as client:
        await client.post("/v1/chat/completions", json={**BODY, "model": "groq/made-up-by-the-caller"})
    call, request = emitted(capsys)
    assert call["provider"] == request["provider"] == "groq"
    assert "made-up" not in json.dumps([call, request])


async def test_no_metrics_are_written_without_a_namespace(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_METRICS_NAMESPACE", "")  # as a stack without alarms sets it
    async with on_lambda(keys, event(CALLER), GATEWAY_TRUST_AUTHORIZER="on") as client:
        await client.post("/v1/chat/completions", json=BODY)
    assert emitted(capsys) == []


def emitted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines() if text.startswith("{")]
    return [line for line in lines if "_aws" in line]


def directives(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = metrics["_aws"]["CloudWatchMetrics"]
    return found


def assert_told_in_full(metrics: dict[str, Any]) -> None:
    """CloudWatch drops what a directive names and the document lacks."""
    for directive in directives(metrics):
        assert {*directive["Dimensions"][0]} <= set(metrics)
        assert {metric["Name"] for metric in directive["Metrics"]} <= set(metrics)


async def test_upstream_models_that_are_switched_off_are_one_warning_a_process(
    aws_environment: dict[str, str],
    keys: KeyStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    (tmp_path / "rows.toml").write_text("[[models]]\nid = 'sandbox/chat'\nretires = 2020-01-01\n")
    rows = {"GATEWAY_CATALOG": str(tmp_path / "rows.toml"), "GATEWAY_SANDBOX": "on", "GATEWAY_KEYS_TABLE": "keys"}
    for name, value in {**aws_environment, **rows}.items():
        monkeypatch.setenv(name, value)

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "aws.event": event(None), "aws.context": LambdaContext()}, receive, send)

    process_services.cache_clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(called), base_url="http://gateway") as client:
        for _ in range(3):
            assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 401
    await process_services().aclose()
    process_services.cache_clear()
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "sandbox retired chat on 2020-01-01" in vars(line)["retirements"][0]


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (None, "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
        ("mine-1", "mine-1"),
        ("no id", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
    ],
)
async def test_a_request_has_the_id_of_api_gateways_log_unless_the_caller_sent_one(
    keys: KeyStore, caplog: pytest.LogCaptureFixture, sent: str | None, answered: str
) -> None:
    given = event(CALLER)
    given["requestContext"]["requestId"] = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    async with on_lambda(keys, given, GATEWAY_TRUST_AUTHORIZER="on") as client:
        headers = {} if sent is None else {"x-request-id": sent}
        answer = await client.post("/v1/chat/completions", json=BODY, headers=headers)
    assert answer.headers["x-request-id"] == answered
    (line,) = [vars(record) for record in caplog.records if record.message == "request"]
    assert {name: line[name] for name in ("request_id", "api_request_id", "function_request_id")} == {
        "request_id": answered,
        "api_request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "function_request_id": "lambda-1",
    }


async def test_providers_are_configured_by_the_secret(keys: KeyStore, aws_environment: dict[str, str]) -> None:
    aws = Aws(aws_environment)
    values = json.dumps({"OPENAI_API_KEY": "k"})
    created = await aws.call("secretsmanager", "CreateSecret", {"Name": "providers", "SecretString": values})
    services = make_services(keys, {}, secret=ProviderSecret(aws, created["ARN"]))
    assert services.catalog.configured == frozenset()
    await services.refresh()
    assert services.catalog.configured == {"openai"}
    await aws.aclose()
    await services.aclose()
