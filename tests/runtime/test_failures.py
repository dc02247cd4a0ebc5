"""What becomes of an invocation that goes wrong, and that the next one does not."""

import asyncio
import base64
import json
from typing import Any

import pytest
from mangum.types import Receive, Scope, Send

from shared.runtime.api import RuntimeApiError
from shared.runtime.loop import Runtime
from tests.runtime.platform import Answer, platform, serving
from tests.runtime.requests import rest_event, rest_headers
from tests.runtime.test_answers import body, hello, says_hello, start

pytestmark = pytest.mark.anyio

SECRET = "sk-very-secret"


def trailers_of(answer: Answer) -> tuple[str, dict[str, str]]:
    error_type = answer.trailers["lambda-runtime-function-error-type"]
    return error_type, json.loads(base64.b64decode(answer.trailers["lambda-runtime-function-error-body"]))


class Failing:
    """An application that fails at "/fail", and otherwise says hello."""

    def __init__(self, *before: Any, error: BaseException | None = None) -> None:
        self._before = before
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/fail":
            await hello(scope, receive, send)
            return
        for message in self._before:
            await send(message)
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("before", [[], [start(200, (b"x-half", b"1"))]], ids=["at once", "after its status"])
@pytest.mark.parametrize("error", [ValueError(SECRET), asyncio.CancelledError(), None])
async def test_an_application_that_sends_no_body_is_answered_for(
    before: Any, error: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving(Failing(*before, error=error)) as lambda_:
        answer = lambda_.invoke(rest_event("/fail"))
        assert await answer.prelude() == {
            "statusCode": 500,
            "headers": {"content-type": "application/json", "x-request-id": "gateway-request"},
        }
        assert await answer.json() == {
            "status": "error",
            "error": {
                "message": "The gateway failed.",
                "type": "server_error",
                "code": "internal_error",
                "status": 500,
            },
            "meta": {"request_id": "gateway-request"},
        }
        assert answer.trailers == {}
        assert await says_hello(lambda_)
    line = json.loads(capfd.readouterr().out)
    assert (line["level"], line["request_id"], line["function_request_id"]) == ("ERROR", "gateway-request", "id-1")
    if isinstance(error, ValueError):
        assert line["exception_name"] == "ValueError"
        assert "Traceback" in line["exception"]


async def test_an_error_names_the_request_as_its_caller_did_or_api_gateway() -> None:
    async with serving(Failing(error=ValueError())) as lambda_:
        for given, expected in (("mine-1", "mine-1"), ("not allowed", "gateway-request")):
            answer = lambda_.invoke(rest_event("/fail", **rest_headers({"X-Request-ID": given})))
            assert (await answer.prelude())["headers"]["x-request-id"] == expected
            assert (await answer.json())["meta"] == {"request_id": expected}


@pytest.mark.parametrize("error", [ValueError(SECRET), None], ids=["raises", "returns"])
async def test_an_application_that_fails_half_way_breaks_its_answer_off(error: Any) -> None:
    async with serving(Failing(start(), body(b"half", more=True), error=error)) as lambda_:
        answer = lambda_.invoke(rest_event("/fail"))
        assert (await answer.prelude())["statusCode"] == 200
        assert await answer.rest() == b"half"
        assert trailers_of(answer) == (
            "Function.Crashed",
            {"errorType": "Function.Crashed", "errorMessage": "The gateway failed."},
        )
        assert await says_hello(lambda_)


async def test_an_application_that_fails_after_its_answer_has_answered() -> None:
    async with serving(Failing(start(), body(b"all"), error=ValueError(SECRET))) as lambda_:
        answer = lambda_.invoke(rest_event("/fail"))
        await answer.prelude()
        assert await answer.rest() == b"all"
        assert answer.trailers == {}
        assert await says_hello(lambda_)


@pytest.mark.parametrize(
    "messages",
    [[body(b"x")], [start(), start()], [{"type": "http.response.debug"}], [start(), {"type": "http.response.push"}]],
    ids=["body first", "two starts", "unknown", "unknown after start"],
)
async def test_an_application_that_breaks_the_rules_of_asgi_is_answered_for(messages: Any) -> None:
    async with serving(Failing(*messages)) as lambda_:
        assert (await lambda_.invoke(rest_event("/fail")).prelude())["statusCode"] == 500


async def test_a_body_goes_no_further_than_its_end() -> None:
    async with serving(Failing(start(), body(b"all"), body(b"more"))) as lambda_:
        answer = lambda_.invoke(rest_event("/fail"))
        await answer.prelude()
        assert await answer.rest() == b"all"
        assert await says_hello(lambda_)


class Endless:
    """An application that never returns from "/fail", after what it sends there; it notes how it was stopped."""

    def __init__(self, *before: Any, stubborn: asyncio.Event | None = None) -> None:
        self._before = before
        self._stubborn = stubborn
        self.stopped_by: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/fail":
            await hello(scope, receive, send)
            return
        for message in self._before:
            await send(message)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.stopped_by.append("CancelledError")
            if self._stubborn is None:
                raise
            await self._stubborn.wait()
            try:
                await send(start())
            except OSError:
                self.stopped_by.append("OSError")


async def test_a_request_that_outlasts_its_time_is_a_504() -> None:
    app = Endless(start())
    async with serving(app) as lambda_:
        answer = lambda_.invoke(rest_event("/fail"), seconds=0.8)
        assert (await answer.prelude())["statusCode"] == 504
        error = (await answer.json())["error"]
        assert (error["status"], error["code"]) == (504, "provider_timeout")
        assert app.stopped_by == ["CancelledError"]
        assert await says_hello(lambda_)


async def test_a_stream_that_outlasts_its_time_is_broken_off() -> None:
    app = Endless(start(), body(b"half", more=True))
    async with serving(app) as lambda_:
        answer = lambda_.invoke(rest_event("/fail"), seconds=0.8)
        assert (await answer.prelude())["statusCode"] == 200
        assert await answer.rest() == b"half"
        error_type, error_body = trailers_of(answer)
        assert error_type == error_body["errorType"] == "Runtime.DeadlineExceeded"
        assert await says_hello(lambda_)


async def test_an_invocation_whose_time_is_up_already_is_a_504() -> None:
    async with serving(Endless()) as lambda_:
        assert (await lambda_.invoke(rest_event("/fail"), seconds=-1).prelude())["statusCode"] == 504


async def test_an_application_may_answer_for_itself_when_its_time_is_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await send(start(503))
            await send(body(b"own words"))

    async with serving(app) as lambda_:
        answer = lambda_.invoke(rest_event(), seconds=0.8)
        assert (await answer.prelude())["statusCode"] == 503
        assert await answer.rest() == b"own words"


async def test_an_application_that_will_not_stop_holds_nothing_up() -> None:
    release = asyncio.Event()
    app = Endless(stubborn=release)
    async with serving(app) as lambda_:
        assert (await lambda_.invoke(rest_event("/fail"), seconds=0.5).prelude())["statusCode"] == 504
        assert await says_hello(lambda_)
        release.set()
        assert await says_hello(lambda_)
    assert app.stopped_by == ["CancelledError", "OSError"]


async def test_a_connection_is_kept_between_an_event_and_its_answer_and_closed_after_a_stream() -> None:
    async with serving(hello) as lambda_:
        assert await says_hello(lambda_)
        assert await lambda_.invoke(b"null").posted() == "error"
        assert await says_hello(lambda_)
    # Each event is followed by its answer: streamed, reported, streamed.
    assert lambda_.used[:6] == [1, 1, 2, 2, 2, 2]


async def test_a_connection_that_lambda_closes_is_made_anew() -> None:
    async with serving(hello) as lambda_:
        await lambda_.idle()
        lambda_.closes = True
        answer = lambda_.invoke(rest_event())
        assert (await answer.prelude())["statusCode"] == 200
        assert await answer.rest() == b"hello"
        assert await says_hello(lambda_)
    assert lambda_.used[:2] == [1, 2]


async def test_a_call_on_a_connection_that_turns_out_to_be_dead_is_made_again() -> None:
    async with serving(hello) as lambda_:
        answer = lambda_.invoke(b"null")
        await answer.posted()
        lambda_.drops = True
        assert await says_hello(lambda_)
    assert lambda_.calls[2:4] == ["GET /invocation/next", "GET /invocation/next"]


async def test_an_answer_that_lambda_refuses_costs_one_invocation(capfd: pytest.CaptureFixture[str]) -> None:
    async with serving(hello) as lambda_:
        lambda_.refuses["response"] = 413
        await lambda_.invoke(rest_event()).prelude()
        assert await says_hello(lambda_)
    assert "status 413" in json.loads(capfd.readouterr().out)["exception"]


async def test_a_connection_that_breaks_half_way_costs_one_invocation(capfd: pytest.CaptureFixture[str]) -> None:
    errors: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/fail":
            await hello(scope, receive, send)
            return
        await send(start())
        try:
            while True:
                await send(body(bytes(100_000), more=True))
                await asyncio.sleep(0)
        except OSError as error:
            errors.append(type(error).__name__)
            raise

    async with serving(app) as lambda_:
        lambda_.breaks = 1
        lambda_.invoke(rest_event("/fail"))
        assert await says_hello(lambda_)
    assert len(errors) == 1
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {line["function_request_id"] for line in lines} == {"id-1"}


async def test_a_runtime_api_that_gives_no_next_event_ends_the_loop() -> None:
    async with platform() as lambda_:
        lambda_.refuses["next"] = 403
        with pytest.raises(RuntimeApiError, match="status 403"):
            await Runtime(lambda_.address, hello, {}).serve()
