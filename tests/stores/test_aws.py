"""Calls of AWS are signed as botocore signs them, tried again where that helps, and fail by name."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.sigv4 import Credentials, Signer, query_string
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError

pytestmark = pytest.mark.anyio
ENVIRONMENT = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret/key+"}
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def aws(answer: Callable[[httpx.Request], httpx.Response], **environment: str) -> Aws:
    return Aws({**ENVIRONMENT, **environment}, transport=httpx.MockTransport(answer), clock=lambda: NOW)


@pytest.mark.parametrize("token", ["", "session/token=="])
@pytest.mark.parametrize("service", ["dynamodb", "secretsmanager", "sqs"])
async def test_a_call_is_signed_as_botocore_signs_it(service: str, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"ok": True})

    assert await aws(answer, AWS_SESSION_TOKEN=token).call(service, "Do", {"a": "é"}) == {"ok": True}
    sent = seen[0]
    signed = {name: sent.headers[name] for name in ("content-type", "host", "x-amz-target")}
    expected = AWSRequest("POST", str(sent.url), data=sent.content, headers=signed)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    credentials = BotoCredentials("AKID", "secret/key+", token or None)
    SigV4Auth(credentials, service, "eu-west-1").add_auth(expected)
    assert sent.headers["authorization"] == expected.headers["Authorization"]
    assert sent.url.host == f"{service}.eu-west-1.amazonaws.com"


EMPTY = hashlib.sha256(b"").hexdigest()
TOKENS = pytest.mark.parametrize("token", [None, "session/token=="])
# Percent-encoded as they stand in a path.
PATHS = ["/", "/images/a.png", "/a%20b%2Bc/%C3%A9~_-./%2541", "/a//b/"]
QUERIES = [{}, {"uploads": ""}, {"prefix": "a b+c/é=&?", "list-type": "2", "x": "~-_.", "Upper": "*"}]


def signer(token: str | None) -> Signer:
    return Signer("s3", "eu-west-1", Credentials("AKID", "secret/key+", token), NOW)


def boto_credentials(token: str | None, monkeypatch: pytest.MonkeyPatch) -> BotoCredentials:
    """botocore's credentials, with its clock at NOW."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    return BotoCredentials("AKID", "secret/key+", token)


@TOKENS
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "POST"])
def test_any_request_is_signed_as_botocore_signs_it(
    method: str, path: str, query: dict[str, str], token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"" if method in ("GET", "HEAD", "DELETE") else "é".encode()
    payload_hash = hashlib.sha256(content).hexdigest()
    headers = {
        "host": "b.s3.eu-west-1.amazonaws.com",
        "content-type": "text/plain;  charset=utf-8",
        "x-amz-meta-name": " two  spaces ",
        "x-amz-content-sha256": payload_hash,
    }
    signed = signer(token).sign(method, path, query, headers, payload_hash)
    url = f"https://{headers['host']}{path}?{query_string(query)}".rstrip("?")
    expected = AWSRequest(method, url, data=content, headers=headers)
    credentials = boto_credentials(token, monkeypatch)
    S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(expected)
    assert signed == {name.lower(): value for name, value in expected.headers.items()}


@TOKENS
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("method", "media_type"), [("GET", None), ("PUT", None), ("PUT", "image/png")])
def test_a_url_is_signed_as_botocore_signs_it(
    method: str,
    media_type: str | None,
    path: str,
    query: dict[str, str],
    token: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = {"host": "b.s3.eu-west-1.amazonaws.com"} | ({"content-type": media_type} if media_type else {})
    signed = signer(token).presign(method, path, query, headers, 900)
    url = f"https://{headers['host']}{path}?{query_string(query)}".rstrip("?")
    expected = AWSRequest(method, url, headers=headers)
    credentials = boto_credentials(token, monkeypatch)
    S3SigV4QueryAuth(credentials, "s3", "eu-west-1", expires=900).add_auth(expected)
    # botocore puts the operation's parameters first; the order is not part of what is signed.
    assert sorted(signed.split("&")) == sorted(str(expected.url).partition("?")[2].split("&"))


@given(query=st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_a_query_holds_is_signed_as_botocore_signs_it(
    query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = signer(None).sign("GET", "/", query, {"host": "h", "x-amz-content-sha256": EMPTY}, EMPTY)
    expected = AWSRequest("GET", "https://h/", params=query, headers={"host": "h"})
    credentials = boto_credentials(None, monkeypatch)
    S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(expected)
    assert signed["authorization"] == expected.headers["Authorization"]


def test_a_signers_secrets_are_not_shown() -> None:
    shown = repr(signer("session-token"))
    assert "secret/key+" not in shown
    assert "session-token" not in shown


@pytest.mark.parametrize(
    ("first", "calls"),
    [
        (httpx.Response(500), 2),
        (httpx.Response(400, json={"__type": "com.amazon#ThrottlingException"}), 2),
        (httpx.Response(400, json={"__type": "x#ProvisionedThroughputExceededException"}), 2),
    ],
)
async def test_a_call_that_may_succeed_later_is_tried_again(first: httpx.Response, calls: int) -> None:
    answers = [first, httpx.Response(200, json={"n": 1})]
    assert await aws(lambda request: answers.pop(0)).call("dynamodb", "GetItem", {}) == {"n": 1}
    assert answers == []


async def test_a_refusal_is_raised_by_its_name_without_another_try() -> None:
    calls = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(400, json={"__type": "com.amazonaws#ResourceNotFoundException", "message": "secret"})

    with pytest.raises(AwsError) as raised:
        await aws(answer).call("dynamodb", "GetItem", {})
    assert raised.value.code == "ResourceNotFoundException"
    assert "secret" not in str(raised.value)
    assert len(calls) == 1


async def test_an_aws_that_cannot_be_reached_is_an_error_after_some_tries() -> None:
    calls = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        raise httpx.ConnectError("no route")

    with pytest.raises(AwsError, match="ConnectError"):
        await aws(answer).call("dynamodb", "GetItem", {})
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "https://dynamodb.eu-west-1.amazonaws.com/"),
        ({"AWS_REGION": "cn-north-1"}, "https://dynamodb.cn-north-1.amazonaws.com.cn/"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}, "http://127.0.0.1:5000/"),
        ({"AWS_ENDPOINT_URL": "http://x", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}, "http://127.0.0.1:1/"),
    ],
)
async def test_the_address_is_the_regions_or_an_emulators(environment: dict[str, str], url: str) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={})

    await aws(answer, **environment).call("dynamodb", "GetItem", {})
    assert seen == [url]
