"""The authorizer lets known keys through, tells the functions who calls, and is trusted only where it stands."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.authorizer.app import handler
from shared import authorizer
from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import KEYS, TOKEN

ARN = "arn:aws:execute-api:us-east-1:123456789012:abc123/live/POST/v1/chat/completions"


@pytest.fixture(autouse=True)
def _environment(aws_environment: dict[str, str], keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in aws_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_KEYS_TABLE", "keys")
    _forget()
    yield
    _forget()


def _forget() -> None:
    authorizer._keys.cache_clear()
    authorizer._settings.cache_clear()


def asked(**headers: str) -> dict[str, Any]:
    return {"type": "REQUEST", "methodArn": ARN, "headers": {name.replace("_", "-"): v for name, v in headers.items()}}


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer {TOKEN}"}, {"X_Api_Key": TOKEN}]
)
def test_a_known_key_is_let_through_for_the_whole_stage(headers: dict[str, str]) -> None:
    answer = handler(asked(**headers), None)
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Resource"] == "arn:aws:execute-api:us-east-1:123456789012:abc123/live/*/*"
    assert answer["principalId"] == "test"
    assert TOKEN not in json.dumps(answer)


def test_the_functions_are_told_who_calls_and_what_they_may() -> None:
    context = handler(asked(Authorization="Bearer sk-one-model"), None)["context"]
    assert all(isinstance(value, str | int | bool) for value in context.values())
    caller = authorizer.caller_of({"requestContext": {"authorizer": context}})
    assert caller == Caller(key_id="one", tenant="t", permissions=KEYS[TOKEN].permissions, models={"sandbox/chat"})


def test_limits_travel_in_the_context_so_that_nobody_looks_a_key_up_again() -> None:
    limits, above = Limits(requests_per_minute=60, budget_day=5_000_000), Limits(concurrency=3)
    key = KEYS[TOKEN].model_copy(update={"limits": limits, "tenant_limits": above})
    context = authorizer._allow(key, ARN)["context"]
    caller = authorizer.caller_of({"requestContext": {"authorizer": context}})
    assert caller is not None
    assert (caller.limits, caller.tenant_limits) == (limits, above)


def test_a_key_goes_by_its_own_api_gateway_key_or_by_the_shared_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "usageIdentifierKey" not in handler(asked(Authorization=f"Bearer {TOKEN}"), None)
    monkeypatch.setenv("GATEWAY_USAGE_KEY", "b" * 32)
    _forget()
    assert handler(asked(Authorization="Bearer sk-planned"), None)["usageIdentifierKey"] == "a" * 30
    assert handler(asked(Authorization=f"Bearer {TOKEN}"), None)["usageIdentifierKey"] == "b" * 32


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer sk-unknown"},
        {"Authorization": "Bearer sk-expired"},
        {"Authorization": "Bearer sk-revoked"},
        {"Authorization": "Basic x", "X_Api_Key": TOKEN},
    ],
)
def test_anyone_else_gets_exactly_the_exception_that_api_gateway_takes_for_401(headers: dict[str, str]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - its very type and text are what matters
        handler(asked(**headers), None)
    assert type(raised.value) is Exception
    assert str(raised.value) == "Unauthorized"


@pytest.mark.parametrize(
    ("configured", "cached", "other"),
    [
        # What API Gateway caches by, and what else was sent. Whoever sends the first is let in for as long as it does.
        ("x-api-key", "sk-placeholder", f"Bearer {TOKEN}"),
        ("x-api-key", "sk-revoked", f"Bearer {TOKEN}"),
        ("Authorization", "Bearer sk-placeholder", TOKEN),
        ("Authorization", "Basic x", TOKEN),
    ],
)
def test_only_the_configured_header_lets_a_key_in(
    configured: str, cached: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, configured)
    unconfigured = "Authorization" if configured == "x-api-key" else "x-api-key"
    for headers in ({configured: cached, unconfigured: other}, {unconfigured: other}):
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            handler({"type": "REQUEST", "methodArn": ARN, "headers": headers}, None)


@pytest.mark.parametrize(
    ("configured", "headers"),
    [
        ("Authorization", {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": "sk-placeholder"}),
        ("x-api-key", {"X-Api-Key": TOKEN, "Authorization": "Bearer sk-placeholder"}),
        ("either", {"X-Api-Key": TOKEN}),
        ("either", {"Authorization": f"Bearer {TOKEN}"}),
        ("either", {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": TOKEN}),
        ("either", {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": ""}),
    ],
)
def test_a_key_in_the_configured_header_is_let_in_whatever_the_other_one_holds(
    configured: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, configured)
    assert handler({"type": "REQUEST", "methodArn": ARN, "headers": headers}, None)["principalId"] == "test"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": "sk-one-model"},
        {"Authorization": "Bearer sk-placeholder", "X-Api-Key": TOKEN},
        {"Authorization": "Basic x", "X-Api-Key": TOKEN},
    ],
)
def test_where_either_header_will_do_different_keys_in_both_are_refused(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, "either")
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        handler({"type": "REQUEST", "methodArn": ARN, "headers": headers}, None)


@pytest.mark.parametrize("repeated", [["Bearer sk-placeholder", f"Bearer {TOKEN}"], [f"Bearer {TOKEN}", "Basic x"]])
def test_a_header_that_is_sent_twice_is_refused_since_api_gateway_caches_by_one_value(repeated: list[str]) -> None:
    event = {"type": "REQUEST", "methodArn": ARN, "headers": {"Authorization": repeated[1]}}
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        handler({**event, "multiValueHeaders": {"authorization": repeated}}, None)


def configure(monkeypatch: pytest.MonkeyPatch, key_header: str) -> None:
    monkeypatch.setenv("GATEWAY_KEY_HEADER", key_header)
    _forget()


def test_headers_may_be_missing_altogether() -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        handler({"type": "REQUEST", "methodArn": ARN, "headers": None}, None)


def test_a_key_table_that_cannot_be_read_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEYS_TABLE", "no-such-table")
    _forget()
    with pytest.raises(Exception) as raised:  # noqa: PT011
        handler(asked(Authorization=f"Bearer {TOKEN}"), None)
    assert str(raised.value) != "Unauthorized"
    assert TOKEN not in str(raised.value)


def test_a_known_key_is_let_through_while_its_table_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    known = handler(asked(Authorization=f"Bearer {TOKEN}"), None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # nobody listens there
    assert handler(asked(Authorization=f"Bearer {TOKEN}"), None) == known
    with pytest.raises(ModelUnavailable):
        handler(asked(Authorization="Bearer sgk_a:b:c"), None)


@pytest.mark.parametrize(
    "resource", ["/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/models/{model_id+}"]
)
@pytest.mark.parametrize("headers", [{"X-Api-Key": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}])
@pytest.mark.parametrize("configured", ["Authorization", "x-api-key"])
def test_M02_routes_of_anthropics_clients_take_either_header(
    resource: str, headers: dict[str, str], configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, configured)
    event = {"type": "REQUEST", "methodArn": ARN, "resource": resource, "headers": headers}
    assert handler(event, None)["principalId"] == "test"
    other = {"type": "REQUEST", "methodArn": ARN, "resource": "/v1/chat/completions", "headers": headers}
    if configured.lower() in {name.lower() for name in headers}:
        assert handler(other, None)["principalId"] == "test"
    else:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            handler(other, None)
