"""How an application's answer reaches Lambda."""

import asyncio
import base64
import json
from typing import Any

import pytest
from mangum.types import Message, Receive, Scope, Send

from tests.runtime.platform import Platform, serving
from tests.runtime.requests import rest_event, url_event

pytestmark = pytest.mark.anyio

HTTP_API = "id.execute-api.us-east-1.amazonaws.com"


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(chunk: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


def app_of(*messages: Message) -> Any:
    """An application that answers just this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start(200, (b"content-type", b"text/plain")))
    await send(body(b"hello"))


async def says_hello(lambda_: Platform) -> bool:
    answer = lambda_.invoke(rest_event())
    return (await answer.prelude())["statusCode"] == 200 and await answer.rest() == b"hello"


async def test_an_answer_is_a_prelude_of_json_and_eight_nuls_and_then_the_body() -> None:
    async with serving(app_of(start(201, (b"content-type", b"text/plain")), body(b"hello"))) as lambda_:
        answer = lambda_.invoke(rest_event())
        assert await answer.chunk() == b'{"statusCode": 201, "headers": {"content-type": "text/plain"}}' + bytes(8)
        assert await answer.chunk() == b"hello"
        assert await answer.chunk() == b""
        assert answer.trailers == {}


async def test_lambda_is_told_that_the_answer_is_a_stream_of_http() -> None:
    async with serving(hello) as lambda_:
        answer = lambda_.invoke(rest_event())
        assert await answer.posted() == "response"
    assert answer.headers == {
        "host": lambda_.address,
        "content-type": "application/vnd.awslambda.http-integration-response",
        "lambda-runtime-function-response-mode": "streaming",
        "transfer-encoding": "chunked",
        "trailer": "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    }


async def test_repeated_headers_and_cookies_have_places_of_their_own() -> None:
    headers = [
        (b"Vary", b"origin"),
        (b"set-cookie", b"a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
        (b"vary", b"accept"),
        (b"x-name", b"caf\xe9"),
        (b"set-cookie", b"b=2"),
    ]
    async with serving(app_of(start(200, *headers), body())) as lambda_:
        prelude = await lambda_.invoke(rest_event()).prelude()
    assert prelude == {
        "statusCode": 200,
        "headers": {"x-name": "caf\xe9"},
        "multiValueHeaders": {"vary": ["origin", "accept"]},
        "cookies": ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"],
    }


@pytest.mark.parametrize("event", [rest_event(), url_event()], ids=["REST API", "function URL"])
async def test_each_chunk_leaves_before_the_next_is_made(event: Any) -> None:
    go_on = asyncio.Semaphore(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for chunk in (b"one", b"two"):
            await send(body(chunk, more=True))
            await go_on.acquire()
        await send(body(b"three"))

    async with serving(app) as lambda_:
        answer = lambda_.invoke(event)
        assert (await answer.prelude())["statusCode"] == 200
        for expected in (b"one", b"two"):
            assert await answer.chunk() == expected
            go_on.release()
        assert await answer.chunk() == b"three"
        assert await answer.chunk() == b""


async def test_an_empty_chunk_does_not_end_the_body() -> None:
    chunks = [body(b"", more=True), body(b"a", more=True), body(b"", more=True), body(b"b", more=True), body()]
    async with serving(app_of(start(), *chunks)) as lambda_:
        answer = lambda_.invoke(rest_event())
        await answer.prelude()
        assert [await answer.chunk() for _ in range(3)] == [b"a", b"b", b""]


@pytest.mark.parametrize("status", [204, 302])
async def test_an_answer_without_a_body_has_a_prelude_all_the_same(status: int) -> None:
    async with serving(app_of(start(status, (b"location", b"/")), body())) as lambda_:
        answer = lambda_.invoke(rest_event())
        assert await answer.prelude() == {"statusCode": status, "headers": {"location": "/"}}
        assert await answer.chunk() == b""


async def test_the_end_leaves_before_work_that_comes_after_it() -> None:
    tidy = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        await tidy.wait()

    async with serving(app) as lambda_:
        assert await says_hello(lambda_)
        following = lambda_.invoke(rest_event())
        assert not tidy.is_set()
        tidy.set()
        assert (await following.prelude())["statusCode"] == 200


async def test_a_large_body_arrives_whole_and_in_order() -> None:
    large = bytes(range(256)) * 4096 * 8
    async with serving(app_of(start(), body(b"<", more=True), body(large, more=True), body(b">"))) as lambda_:
        answer = lambda_.invoke(rest_event())
        await answer.prelude()
        assert await answer.chunk() == b"<"
        assert await answer.chunk() == large
        assert await answer.rest() == b">"


async def test_an_application_is_held_back_while_lambda_reads_nothing() -> None:
    megabytes = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal megabytes
        await send(start())
        for megabytes in range(50):  # noqa: B007 - read outside
            await send(body(bytes(1_000_000), more=True))
        await send(body())

    async with serving(app) as lambda_:
        lambda_.reads.clear()
        answer = lambda_.invoke(rest_event())
        await answer.posted()
        seen = -1
        while seen != megabytes:
            seen = megabytes
            for _ in range(100):
                await asyncio.sleep(0)
        assert seen < 25
        lambda_.reads.set()
        await answer.prelude()
        assert len(await answer.rest()) == 50_000_000


async def test_a_disconnect_is_told_only_once_the_answer_is_complete() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "http.request", "body": b"ask", "more_body": False}
        listening = asyncio.create_task(receive())
        await send(start())
        await send(body(b"a", more=True))
        heard.append("nothing" if not listening.done() else "something")
        await send(body(b"b"))
        heard.append((await listening)["type"])

    async with serving(app) as lambda_:
        answer = lambda_.invoke(rest_event(method="POST", body="ask"))
        await answer.prelude()
        assert await answer.rest() == b"ab"
        await lambda_.idle()
    assert heard == ["nothing", "http.disconnect"]


@pytest.mark.parametrize(
    ("event", "environment"),
    [
        (rest_event(), {"AWS_SAM_LOCAL": "true"}),
        (rest_event(), {"RUNTIME_RESPONSE_MODE": "buffered"}),
        (url_event(), {"AWS_SAM_LOCAL": "true"}),
        (url_event(host=HTTP_API), {}),
    ],
    ids=["REST API in sam local", "REST API, switched off", "function URL in sam local", "HTTP API"],
)
async def test_where_nothing_can_be_streamed_one_proxy_response_is_given(event: Any, environment: Any) -> None:
    messages = start(201, (b"content-type", b"text/event-stream")), body(b"one ", more=True), body(b"two")
    async with serving(app_of(*messages), environment) as lambda_:
        answer = lambda_.invoke(event)
        response = await answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert "lambda-runtime-function-response-mode" not in answer.headers
    assert (response["statusCode"], response["body"], response["isBase64Encoded"]) == (201, "one two", False)
    assert response["headers"] == {"content-type": "text/event-stream"}


async def test_a_binary_body_goes_into_a_proxy_response_as_base64() -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(100)
    app = app_of(start(200, (b"content-type", b"image/png")), body(image))
    async with serving(app, {"AWS_SAM_LOCAL": "true"}) as lambda_:
        response = await lambda_.invoke(rest_event()).json()
    assert response["isBase64Encoded"] is True
    assert base64.b64decode(response["body"]) == image


async def test_a_proxy_response_that_fails_half_way_is_an_error_and_nothing_else() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-type", b"image/png")))
        await send(body(b"half", more=True))
        raise RuntimeError("boom")

    async with serving(app, {"AWS_SAM_LOCAL": "true"}) as lambda_:
        response = await lambda_.invoke(rest_event()).json()
    assert response["statusCode"] == 500
    assert response["headers"]["content-type"] == "application/json"
    assert json.loads(response["body"])["error"]["code"] == "internal_error"
