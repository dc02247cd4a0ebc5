"""What an application learns of a request and of its invocation."""

import base64
import json
import time
from typing import Any

import pytest
from mangum.types import Receive, Scope, Send

from tests.runtime.platform import ARN, serving
from tests.runtime.requests import rest_event, rest_headers, url_event

pytestmark = pytest.mark.anyio


class Recorder:
    """An application that keeps what it was asked."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.body = b""
        self.left_ms = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.body = (await receive())["body"]
        self.left_ms = scope["aws.context"].get_remaining_time_in_millis()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.scope["headers"]}


async def asked(event: Any, environment: dict[str, str] | None = None, **invocation: Any) -> Recorder:
    recorder = Recorder()
    async with serving(recorder, environment) as lambda_:
        assert (await lambda_.invoke(event, **invocation).prelude())["statusCode"] == 200
    return recorder


async def test_a_rest_api_s_request_is_read() -> None:
    query = {"q": ["a b", "ü"], "page": ["2"]}
    event = rest_event(
        "/v1/models/a%2Fb",
        method="POST",
        body='{"text": "ü"}',
        multiValueQueryStringParameters=query,
        queryStringParameters={"q": "ü", "page": "2"},
        **rest_headers({"Content-Type": "application/json", "Host": "id.execute-api.us-east-1.amazonaws.com"}),
    )
    recorder = await asked(event)
    scope = recorder.scope
    assert (scope["type"], scope["method"], scope["path"]) == ("http", "POST", "/v1/models/a/b")
    assert scope["query_string"] == b"q=a+b&q=%C3%BC&page=2"
    assert recorder.headers["content-type"] == "application/json"
    assert recorder.body == '{"text": "ü"}'.encode()
    assert scope["client"] == ("203.0.113.7", 0)
    assert scope["aws.event"] == {**event, "body": None}  # held once, as what the application receives


async def test_a_function_url_s_request_is_read() -> None:
    event = url_event(
        "/v1/models",
        method="POST",
        rawQueryString="q=a%20b&q=c",
        headers={"x-name": "value", "content-type": "text/plain"},
        cookies=["a=1", "b=2"],
        body="text",
    )
    recorder = await asked(event)
    scope = recorder.scope
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/v1/models", b"q=a%20b&q=c")
    assert recorder.headers == {"x-name": "value", "content-type": "text/plain", "cookie": "a=1; b=2"}
    assert recorder.body == b"text"


@pytest.mark.parametrize("make", [rest_event, url_event], ids=["REST API", "function URL"])
async def test_a_body_in_base64_is_decoded(make: Any) -> None:
    upload = bytes(range(256)) * 100
    event = make("/", method="POST", body=base64.b64encode(upload).decode(), isBase64Encoded=True)
    assert (await asked(event)).body == upload


async def test_an_event_of_several_megabytes_in_chunks_is_read() -> None:
    recorder = Recorder()
    text = "ü" * 2_000_000
    async with serving(recorder) as lambda_:
        lambda_.chunks = True
        await lambda_.invoke(rest_event(method="POST", body=text)).prelude()
    assert recorder.body == text.encode()


async def test_the_context_is_that_of_aws_s_own_runtime() -> None:
    environment = {
        "AWS_LAMBDA_FUNCTION_NAME": "chat",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/chat",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[7]abc",
    }
    client = {"custom": {"a": "b"}, "env": {}}
    headers = {"Lambda-Runtime-Client-Context": json.dumps(client)}
    recorder = await asked(rest_event(), environment, seconds=30, headers=headers)
    context = recorder.scope["aws.context"]
    assert context.aws_request_id == "id-1"
    assert context.invoked_function_arn == ARN
    assert (context.function_name, context.function_version) == ("chat", "7")
    assert context.memory_limit_in_mb == 512
    assert (context.log_group_name, context.log_stream_name) == ("/aws/lambda/chat", "2026/11/21/[7]abc")
    assert context.client_context == client
    assert context.identity is None
    assert 25_000 < recorder.left_ms <= 30_000


async def test_time_that_is_over_is_not_less_than_none() -> None:
    from shared.runtime.api import Invocation
    from shared.runtime.context import context_of

    context = context_of(Invocation("id", int(time.time() * 1000) - 5000, b"", {}), {})
    assert context.get_remaining_time_in_millis() == 0


async def test_the_trace_is_in_the_environment_for_its_own_invocation_only() -> None:
    environment: dict[str, str] = {}
    seen: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(environment.get("_X_AMZN_TRACE_ID"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    trace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
    async with serving(app, environment) as lambda_:
        for headers in ({"Lambda-Runtime-Trace-Id": trace}, {}):
            await lambda_.invoke(rest_event(), headers=headers).prelude()
    assert seen == [trace, None]


@pytest.mark.parametrize(
    "event",
    [
        b"not JSON",
        b"null",
        b"[1]",
        b'"version requestContext"',
        {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
        {"requestContext": {"elb": {}}, "path": "/", "httpMethod": "GET", "headers": {}},
        {"resource": "/", "requestContext": {}},
        rest_event(method="POST", body="a", isBase64Encoded=True),
    ],
    ids=["no JSON", "null", "list", "string", "SQS", "load balancer", "REST API, but broken", "no base64"],
)
async def test_an_event_that_is_no_request_is_reported_and_the_next_one_served(event: Any) -> None:
    recorder = Recorder()
    async with serving(recorder) as lambda_:
        answer = lambda_.invoke(event)
        assert await answer.posted() == "error"
        report = await answer.json()
        assert (await lambda_.invoke(rest_event()).prelude())["statusCode"] == 200
    assert answer.headers["lambda-runtime-function-error-type"] == "Function.NotAnHttpEvent"
    assert report["errorType"] == "Function.NotAnHttpEvent"
    assert report["errorMessage"].startswith("The event ")
    assert report["stackTrace"] == []


async def test_an_answer_is_tied_to_the_attempt_that_it_answers() -> None:
    async with serving(Recorder()) as lambda_:
        answers = [
            lambda_.invoke(event, headers={"Lambda-Runtime-Invocation-Id": f"attempt-{event is None}"})
            for event in (rest_event(), None)
        ]
        assert [await answer.posted() for answer in answers] == ["response", "error"]
    assert [answer.headers["lambda-runtime-invocation-id"] for answer in answers] == ["attempt-False", "attempt-True"]
