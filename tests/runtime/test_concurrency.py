"""Invocations that a process serves at once, as on Lambda Managed Instances: L01 to L06 of the contract."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

import pytest
from mangum.types import Receive, Scope, Send

from shared.runtime.loop import Grace, Runtime
from shared.schemas.caller import Key, Permission
from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.client import LIMITS, TOKEN, USAGE
from tests.runtime.platform import Answer, platform, serving
from tests.runtime.requests import rest_event, rest_headers
from tests.runtime.test_answers import body, hello, says_hello, start
from tests.runtime.test_failures import trailers_of
from tests.runtime.test_process import Sandbox, sandbox

pytestmark = pytest.mark.anyio

AT_ONCE = 500


def at_once(number: int) -> dict[str, str]:
    return {"AWS_LAMBDA_MAX_CONCURRENCY": str(number)}


class Together:
    """Answers nobody before so many requests are in flight, and then each with its own path and ids."""

    def __init__(self, number: int) -> None:
        self._barrier = asyncio.Barrier(number)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = {"path": scope["path"], "id": scope["aws.context"].aws_request_id}
        await self._barrier.wait()
        await send(start())
        await send(body(json.dumps(told).encode(), more=True))
        await asyncio.sleep(0)
        await send(body(f" {scope['path']}".encode()))


async def test_L01_500_invocations_at_once_get_their_own_answers() -> None:
    async with serving(Together(AT_ONCE), at_once(AT_ONCE)) as lambda_:
        for _ in range(2):
            given = {f"/{number}": lambda_.invoke(rest_event(f"/{number}")) for number in range(AT_ONCE)}
            for path, answer in given.items():
                assert (await answer.prelude())["statusCode"] == 200
                told, _, end = (await answer.rest()).decode().rpartition(" ")
                assert json.loads(told) == {"path": path, "id": answer.request_id}
                assert end == path
    assert len(set(lambda_.used[:AT_ONCE])) == AT_ONCE  # a connection for each


class Mixed:
    """Fails at paths that say so, and says hello everywhere else once `others` is set."""

    def __init__(self) -> None:
        self.others = asyncio.Event()
        self.last = asyncio.Event()
        self.cancelled: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"].split("/")[1]:
            case "crash":
                raise ValueError(scope["path"])
            case "half":
                await send(start())
                await send(body(b"half", more=True))
                raise ValueError(scope["path"])
            case "overrun":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled.append(scope["path"])
                    raise
            case "stubborn":
                while not self.others.is_set():
                    try:
                        await self.others.wait()
                    except asyncio.CancelledError:
                        self.cancelled.append(scope["path"])
            case _:
                if scope["path"] == "/last":
                    self.last.set()
                await self.others.wait()
                await hello(scope, receive, send)


async def test_L02_what_crashes_or_overruns_leaves_the_others_alone(capfd: pytest.CaptureFixture[str]) -> None:
    app = Mixed()
    async with serving(app, at_once(AT_ONCE)) as lambda_:

        def invoked(kind: str, seconds: float = 60.0) -> list[Answer]:
            return [lambda_.invoke(rest_event(f"/{kind}/{n}"), seconds=seconds) for n in range(AT_ONCE // 5)]

        fine, crash, half = invoked("fine"), invoked("crash"), invoked("half")
        late = invoked("overrun", seconds=0.6) + invoked("stubborn", seconds=0.7)
        for answer in crash:
            assert (await answer.prelude())["statusCode"] == 500
        for answer in half:
            assert (await answer.prelude())["statusCode"] == 200
            assert await answer.rest() == b"half"
            assert trailers_of(answer)[0] == "Function.Crashed"
        for answer in late:
            assert (await answer.prelude())["statusCode"] == 504
            await answer.rest()
        assert not any(answer.kind for answer in fine)
        app.others.set()
        for answer in fine:
            assert (await answer.prelude())["statusCode"] == 200
            assert await answer.rest() == b"hello"
    assert len(app.cancelled) == len(late)
    crashes = [json.loads(line) for line in capfd.readouterr().out.splitlines() if '"crash"' in line]
    assert {line["function_request_id"] for line in crashes} == {answer.request_id for answer in crash + half}


async def test_L02_a_connection_that_breaks_costs_one_invocation(capfd: pytest.CaptureFixture[str]) -> None:
    app = Mixed()
    async with serving(app, at_once(20)) as lambda_:
        answers = [lambda_.invoke(rest_event(f"/fine/{number}")) for number in range(20)]
        lambda_.breaks = 1
        app.others.set()
        waiting = {asyncio.create_task(answer.prelude()): answer for answer in answers}
        left = set(waiting)
        while len(left) > 1:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result()["statusCode"] for task in done} == {200}
        assert await says_hello(lambda_)
        (lost,) = left
        lost.cancel()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {line["function_request_id"] for line in lines} == {waiting[lost].request_id}


async def test_L02_a_worker_that_gets_no_event_asks_again() -> None:
    async with platform() as lambda_:
        lambda_.refuses["next"] = 500
        runtime = Runtime(lambda_.address, hello, at_once(3))
        serving_ = asyncio.create_task(runtime.serve())
        assert all([await says_hello(lambda_) for _ in range(10)])
        runtime.stop()
        await serving_
    assert lambda_.calls.count("GET /invocation/next") > 3


async def test_L04_a_slow_stream_holds_no_other_up() -> None:
    slow_goes_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(50):
            await send(body(f"{number}\n".encode(), more=True))
            if scope["path"] == "/slow":
                await slow_goes_on.wait()
        await send(body())

    async with serving(app, at_once(3)) as lambda_:
        slow = lambda_.invoke(rest_event("/slow"))
        await slow.prelude()
        assert await slow.chunk() == b"0\n"
        fast = [lambda_.invoke(rest_event("/fast")) for _ in range(10)]
        for answer in fast:
            await answer.prelude()
            assert (await answer.rest()).count(b"\n") == 50
        slow_goes_on.set()
        assert (await slow.rest()).count(b"\n") == 49


async def test_L04_a_response_that_lambda_does_not_read_holds_no_other_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        if scope["path"] == "/large":
            for _ in range(100):
                await send(body(bytes(100_000), more=True))
        await send(body(b"end"))

    async with serving(app, at_once(3)) as lambda_:
        lambda_.reads.clear()
        large = lambda_.invoke(rest_event("/large"))
        await large.posted()
        lambda_.reads.set()
        fast = [lambda_.invoke(rest_event("/")) for _ in range(5)]
        for answer in fast:
            await answer.prelude()
            assert await answer.rest() == b"end"
        await large.prelude()
        assert len(await large.rest()) == 10_000_003


async def test_L05_stopping_lets_finish_what_is_in_flight_and_asks_for_no_more() -> None:
    app = Mixed()
    async with platform() as lambda_:
        runtime = Runtime(lambda_.address, app, at_once(4), Grace(finishing=10))
        serving_ = asyncio.create_task(runtime.serve())
        answers = [lambda_.invoke(rest_event("/fine")) for _ in range(3)]
        await lambda_.idle()
        runtime.stop()
        last = lambda_.invoke(rest_event("/last"))  # on its way when the runtime was stopped
        await app.last.wait()
        app.others.set()
        for answer in [*answers, last]:
            assert (await answer.prelude())["statusCode"] == 200
            assert await answer.rest() == b"hello"
        await serving_
    assert lambda_.calls.count("GET /invocation/next") == 4


async def test_L05_what_does_not_finish_in_time_is_broken_off() -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for expected in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{expected}"
                ended.append(expected)
                await send({"type": f"lifespan.{expected}.complete"})
            return
        if scope["path"] == "/begun":
            await send(start())
            await send(body(b"half", more=True))
        await asyncio.Event().wait()

    async with platform() as lambda_:
        runtime = Runtime(lambda_.address, app, at_once(4), Grace(finishing=0.01, breaking_off=10, ending=10))
        serving_ = asyncio.create_task(runtime.serve())
        begun, waiting = lambda_.invoke(rest_event("/begun")), lambda_.invoke(rest_event("/"))
        await begun.prelude()
        await lambda_.idle()
        assert ended == ["startup"]
        runtime.stop()
        assert await begun.rest() == b"half"
        assert trailers_of(begun)[0] == "Runtime.Stopping"
        prelude = await waiting.prelude()
        assert (prelude["statusCode"], prelude["headers"]["retry-after"]) == (503, "1")
        await serving_
    assert ended == ["startup", "shutdown"]


async def test_L05_sigterm_ends_a_process_that_serves_several() -> None:
    async with sandbox(**at_once(4)) as runtime:
        assert await runtime.line() == "loaded"
        answer = runtime.platform.invoke(rest_event("/endless"))
        await answer.prelude()
        await runtime.platform.idle()
        runtime.process.send_signal(signal.SIGTERM)
        assert await runtime.exit_status() == 0
        assert await answer.rest() == b"begun"
        assert trailers_of(answer)[0] == "Runtime.Stopping"


@pytest.mark.parametrize("environment", [{}, at_once(1), at_once(0), {"AWS_LAMBDA_MAX_CONCURRENCY": ""}])
async def test_L06_without_the_variable_one_is_served_after_the_other(environment: dict[str, str]) -> None:
    app = Mixed()
    async with serving(app, environment) as lambda_:
        first = lambda_.invoke(rest_event("/fine"), headers={"Lambda-Runtime-Trace-Id": "Root=1"})
        second = lambda_.invoke(rest_event("/last"))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert lambda_.calls == ["GET /invocation/next"]
        assert environment["_X_AMZN_TRACE_ID"] == "Root=1"
        app.others.set()
        for answer in (first, second):
            assert (await answer.prelude())["statusCode"] == 200
            assert await answer.rest() == b"hello"
        await lambda_.idle()
    posts = [f"POST /invocation/{answer.request_id}/response" for answer in (first, second)]
    assert lambda_.calls == ["GET /invocation/next", posts[0], "GET /invocation/next", posts[1], "GET /invocation/next"]
    assert "_X_AMZN_TRACE_ID" not in environment


async def test_many_at_once_leave_nothing_behind() -> None:
    async with sandbox(**at_once(100)) as runtime:

        async def served(number: int) -> None:
            answers = [runtime.platform.invoke(rest_event("/")) for _ in range(number)]
            for answer in answers:
                assert (await answer.prelude())["statusCode"] == 200
                await answer.rest()

        await served(300)
        before = await runtime.get("/size")
        await served(1000)
        after = await runtime.get("/size")
    assert after["files"] <= 2 * 100 + before["files"]
    assert after["tasks"] == before["tasks"]
    assert after["blocks"] < before["blocks"] + 2000


# ---- The chat function ---------------------------------------------------------------------------------------------


def trace_of(number: int) -> str:
    return f"1-5759e988-{number:024x}"


def chat(runtime: Sandbox, number: int, token: str = TOKEN, *, model: str = "sandbox/chat") -> Answer:
    """A stream of which the prompt, all ids and the trace are its own."""
    content = " ".join(["word"] * (number + 1))
    request = {"model": model, "stream": True, "messages": [{"role": "user", "content": content}]}
    headers = {"Content-Type": "application/json", "X-Request-ID": f"r-{number}", "Authorization": f"Bearer {token}"}
    event = rest_event("/v1/chat/completions", method="POST", body=json.dumps(request), **rest_headers(headers))
    trace = f"Root={trace_of(number)};Parent=53995c3f42cd8ad8;Sampled=1"
    return runtime.platform.invoke(event, headers={"Lambda-Runtime-Trace-Id": trace})


async def test_L03_log_lines_traces_and_metrics_are_those_of_their_invocation(
    aws_environment: Mapping[str, str], keys: KeyStore
) -> None:
    settings = {
        "GATEWAY_SANDBOX": "on",
        "GATEWAY_KEYS_TABLE": "keys",
        "GATEWAY_METRICS_NAMESPACE": "gateway",
        "GATEWAY_TRACING": "on",
        "LAMBDA_TASK_ROOT": os.getcwd(),
        **at_once(20),
        **aws_environment,
    }
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        settings["AWS_XRAY_DAEMON_ADDRESS"] = f"127.0.0.1:{daemon.getsockname()[1]}"
        async with sandbox("functions.chat.app.app", **settings) as runtime:
            answers = {number: chat(runtime, number) for number in range(20)}
            for number, answer in answers.items():
                assert (await answer.prelude())["headers"]["x-request-id"] == f"r-{number}"
                assert (await answer.rest()).count(b"word") >= 1
            lines: list[Any] = []
            while sum(line.get("message") == "request" for line in lines) < 20 or not _has_metrics(lines):
                lines.append(json.loads(await runtime.line()))
        segments = [json.loads(daemon.recv(65535).partition(b"\n")[2]) for _ in answers]
    requests = {line["request_id"]: line for line in lines if line.get("message") == "request"}
    metrics = [line for line in lines if "_aws" in line]
    tokens = []
    for number, answer in answers.items():
        line = requests[f"r-{number}"]
        assert line["function_request_id"] == answer.request_id
        assert line["xray_trace_id"] == trace_of(number)
        tokens.append(line["input_tokens"])
    assert tokens == sorted(set(tokens))  # a longer prompt, more of them
    assert sorted(line["InputTokens"] for line in metrics) == tokens
    assert all(line["Requests"] == 1 for line in metrics)
    traced = {segment["annotations"]["request_id"]: segment["trace_id"] for segment in segments}
    assert traced == {f"r-{number}": trace_of(number) for number in answers}


def _has_metrics(lines: list[Any]) -> bool:
    return sum("_aws" in line for line in lines) >= 20


async def test_L05_what_requests_used_is_settled_before_the_process_ends(
    aws_environment: Mapping[str, str], keys: KeyStore
) -> None:
    token = "sk-stopped"
    limits = LimitStore(keys.aws, LIMITS, USAGE)
    allowed = Limits(requests_per_minute=100, tokens_per_minute=10**6, concurrency=10)
    await keys.put(token, Key(key_id="stopped", tenant="stopped", permissions=frozenset(Permission), limits=allowed))
    settings = {
        "GATEWAY_SANDBOX": "on",
        "GATEWAY_KEYS_TABLE": "keys",
        "GATEWAY_LIMITS_TABLE": LIMITS,
        "GATEWAY_USAGE_TABLE": USAGE,
        "GATEWAY_SETTLEMENT_WAIT": "60",
        **at_once(4),
        **aws_environment,
    }
    async with sandbox("functions.chat.app.app", **settings) as runtime:
        # While the second runs, what the first used waits to be written together with what the second uses.
        first, second = chat(runtime, 1, token), chat(runtime, 2, token, model="sandbox/slow")
        await second.prelude()
        await first.prelude()
        await first.rest()
        assert (await limits.standing("stopped")).in_flight == 2
        runtime.process.send_signal(signal.SIGTERM)
        assert await runtime.exit_status() == 0
        await second.rest()
    assert (await limits.standing("stopped")).in_flight == 0
