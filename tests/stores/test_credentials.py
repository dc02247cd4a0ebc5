"""Credentials that are not in the environment are found once, and used until they expire."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import botocore.session
import httpx
import pytest

from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
CONTAINER = {
    "AWS_REGION": "eu-west-1",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9001/2021-04-23/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "of-this-sandbox",
}


class Endpoint:
    """Lambda's credentials endpoint and DynamoDB, whose callers it notes."""

    def __init__(self, *, hours: float = 6) -> None:
        self.now = NOW
        self.hours = hours
        self.asked: list[httpx.Request] = []
        self.callers: list[str] = []
        self.failing = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "127.0.0.1":
            self.callers.append(request.headers["authorization"].partition("Credential=")[2].partition("/")[0])
            return httpx.Response(200, json={})
        self.asked.append(request)
        if self.failing:
            self.failing -= 1
            return httpx.Response(500)
        expiration = (self.now + timedelta(hours=self.hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": f"AKID{len(self.asked)}", "SecretAccessKey": "secret", "Token": "token"}
        return httpx.Response(200, json={**keys, "Expiration": expiration})

    def aws(self, **environment: str) -> Aws:
        return Aws({**CONTAINER, **environment}, transport=httpx.MockTransport(self), clock=lambda: self.now)


async def call(aws: Aws) -> None:
    await aws.call("dynamodb", "GetItem", {})


async def test_a_containers_credentials_are_asked_for_once_with_its_token() -> None:
    endpoint = Endpoint()
    aws = endpoint.aws()
    for _ in range(5):
        await call(aws)
    (asked,) = endpoint.asked
    assert asked.headers["authorization"] == "of-this-sandbox"
    assert str(asked.url) == CONTAINER["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert endpoint.callers == ["AKID1"] * 5


async def test_they_are_renewed_before_they_expire_and_not_sooner() -> None:
    endpoint = Endpoint(hours=1)
    aws = endpoint.aws()
    for minutes, caller in ((0, "AKID1"), (54, "AKID1"), (56, "AKID2"), (109, "AKID2"), (112, "AKID3")):
        endpoint.now = NOW + timedelta(minutes=minutes)
        await call(aws)
        assert endpoint.callers[-1] == caller


async def test_those_that_cannot_be_renewed_are_used_to_their_end() -> None:
    endpoint = Endpoint(hours=1)
    aws = endpoint.aws()
    await call(aws)
    endpoint.now, endpoint.failing = NOW + timedelta(minutes=58), 100
    await call(aws)
    assert endpoint.callers == ["AKID1", "AKID1"]
    endpoint.now = NOW + timedelta(minutes=61)
    with pytest.raises(AwsError, match="500"):
        await call(aws)


async def test_an_endpoint_that_fails_is_asked_again() -> None:
    endpoint = Endpoint()
    endpoint.failing = 1
    await call(endpoint.aws())
    assert endpoint.callers == ["AKID2"]


async def test_a_token_may_be_in_a_file_and_the_address_be_a_path(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-the-file\n", "utf-8")
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"AccessKeyId": "AKID", "SecretAccessKey": "secret"})

    environment = {
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
    }
    await call(Aws(environment, transport=httpx.MockTransport(answer)))
    assert str(seen[0].url) == "http://169.254.170.2/v2/credentials/x"
    assert seen[0].headers["authorization"] == "from-the-file"


async def test_credentials_in_the_environment_need_no_endpoint() -> None:
    endpoint = Endpoint()
    await call(endpoint.aws(AWS_ACCESS_KEY_ID="AKID", AWS_SECRET_ACCESS_KEY="secret"))
    assert (endpoint.asked, endpoint.callers) == ([], ["AKID"])


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sessions of botocore's that are made."""
    made: list[Any] = []
    session = botocore.session.Session

    class Counted(session):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made.append(self)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(botocore.session, "Session", Counted)
    return made


async def test_a_profiles_credentials_take_one_session(
    sessions: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = secret\n", "utf-8")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    endpoint = Endpoint()
    aws = Aws({"AWS_REGION": "eu-west-1"}, transport=httpx.MockTransport(endpoint))
    await asyncio.gather(*(call(aws) for _ in range(5)))
    await call(aws)
    assert endpoint.callers == ["AKIDPROFILE"] * 6
    assert len(sessions) == 1


async def test_an_endpoint_on_a_socket_is_read_without_botocore(sessions: list[Any]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"AccessKeyId": "AKID", "SecretAccessKey": "secret", "Expiration": "2999-01-01T00:00:00Z"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/credentials"
        aws = Aws({**CONTAINER, "AWS_CONTAINER_CREDENTIALS_FULL_URI": url})
        signer = await aws.signer("s3")
        await aws.aclose()
        server.shutdown()
    assert signer.credentials.access_key == "AKID"
    assert sessions == []
