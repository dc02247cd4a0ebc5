"""The chat function as a stack runs it: started by the wrapper, asked by API Gateway, answering in a stream."""

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.framing import SseDecoder
from shared.stores.keys import KeyStore
from tests.client import TOKEN
from tests.runtime.platform import Answer
from tests.runtime.requests import rest_event, rest_headers
from tests.runtime.test_process import WRAPPER, Sandbox, sandbox

pytestmark = pytest.mark.anyio

HELLO: dict[str, Any] = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello there, gateway"}]}


@pytest.fixture(scope="module")
async def chat(aws_environment: dict[str, str], keys: KeyStore) -> AsyncIterator[Sandbox]:
    settings = {"GATEWAY_SANDBOX": "on", "GATEWAY_KEYS_TABLE": "keys", "AWS_LAMBDA_FUNCTION_NAME": "chat"}
    command = (str(WRAPPER), sys.executable, "/var/runtime/bootstrap.py")
    async with sandbox("functions.chat.app.app", *command, **settings, **aws_environment) as runtime:
        yield runtime


def ask(runtime: Sandbox, body: Any, *, path: str = "/v1/chat/completions", token: str | None = TOKEN) -> Answer:
    headers = {"Content-Type": "application/json", "X-Request-ID": "mine-1"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return runtime.platform.invoke(rest_event(path, method="POST", body=json.dumps(body), **rest_headers(headers)))


@pytest.mark.parametrize("token", [None, "sk-unknown"])
async def test_a_request_without_a_known_key_is_a_401(chat: Sandbox, token: str | None) -> None:
    answer = ask(chat, HELLO, token=token)
    prelude = await answer.prelude()
    assert prelude["statusCode"] == 401
    assert prelude["headers"]["x-request-id"] == "mine-1"
    assert (await answer.json())["error"]["type"] == "authentication_error"


async def test_a_chat_is_answered_whole(chat: Sandbox) -> None:
    answer = ask(chat, HELLO)
    assert (await answer.prelude())["statusCode"] == 200
    assert (await answer.json())["choices"][0]["message"]["role"] == "assistant"


async def test_a_chat_is_streamed_event_by_event(chat: Sandbox) -> None:
    answer = ask(chat, {**HELLO, "stream": True})
    prelude = await answer.prelude()
    assert prelude["statusCode"] == 200
    assert prelude["headers"]["content-type"].startswith("text/event-stream")
    chunks = [await answer.chunk()]
    while chunks[-1]:
        chunks.append(await answer.chunk())
    events = [frame.data for chunk in chunks for frame in SseDecoder().feed(chunk)]
    assert len(chunks) > 3
    assert events[-1] == b"[DONE]"
    text = "".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1])
    assert "Hello there, gateway" in text
    assert answer.trailers == {}


async def test_a_failure_before_the_first_event_of_a_stream_keeps_its_status(chat: Sandbox) -> None:
    answer = ask(chat, {**HELLO, "model": "sandbox/fail-429", "stream": True})
    prelude = await answer.prelude()
    assert prelude["statusCode"] == 429
    assert int(prelude["headers"]["retry-after"]) >= 1


async def test_a_failure_amidst_a_stream_is_told_in_the_stream(chat: Sandbox) -> None:
    answer = ask(chat, {**HELLO, "model": "sandbox/fail-midstream", "stream": True})
    assert (await answer.prelude())["statusCode"] == 200
    assert b'data: {"error":' in await answer.rest()


async def test_another_dialect_answers_on_its_own_path(chat: Sandbox) -> None:
    answer = ask(chat, HELLO, path="/v1/inference/chat")
    assert (await answer.prelude())["statusCode"] == 200
    body = await answer.json()
    assert (body["status"], body["meta"]["request_id"]) == ("ok", "mine-1")
