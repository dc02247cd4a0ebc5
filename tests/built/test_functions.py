"""The built functions under AWS's Runtime Interface Emulator, on their own path: each answers its sample events."""

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from functions.embedded_aws import LOCAL_TOKEN, seed
from scripts.emulator import Emulated, built_functions, emulated
from shared.framing import SseDecoder
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.objects import ObjectStore

pytestmark = pytest.mark.built
EVENTS = Path(__file__).parents[2] / "events"
SETTINGS = {"GATEWAY_SANDBOX": "on", "GATEWAY_TRUST_AUTHORIZER": "on"}
FUNCTION_OF = {
    "chat": "chat",
    "generate": "completions",
    "completions": "completions",
    "model": "models",
    "models": "models",
    "authorizer": "authorizer",
    "stable": "chat",
    "stream": "chat",
}


@dataclass
class Functions:
    """The functions that have been asked so far, each started once."""

    aws: Mapping[str, str]
    stack: ExitStack
    started: dict[str, Emulated] = field(default_factory=dict)

    def invoke(self, name: str, event: Mapping[str, Any]) -> bytes:
        if name not in self.started:
            function = replace(built_functions()[name], environment=SETTINGS)
            self.started[name] = self.stack.enter_context(emulated(function, self.aws))
        return self.started[name].invoke(event)


@pytest.fixture(scope="module")
def functions(aws_environment: dict[str, str]) -> Iterator[Functions]:
    aws = Aws(aws_environment)
    asyncio.run(seed(KeyStore(aws, "gateway-keys"), ObjectStore(aws, "gateway-media")))
    with ExitStack() as stack:
        yield Functions(aws_environment, stack)


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return loaded


def status_and_body(answer: bytes) -> tuple[int, bytes]:
    """A streamed answer's prelude and body, or a proxy response's."""
    prelude, separator, body = answer.partition(bytes(8))
    parsed = json.loads(prelude)
    if separator:
        return parsed["statusCode"], body
    text = parsed["body"]
    return parsed["statusCode"], base64.b64decode(text) if parsed["isBase64Encoded"] else text.encode()


HTTP_EVENTS = sorted(path.stem for path in EVENTS.glob("*.json") if path.stem != "authorizer")


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_a_function_answers_its_sample_event(functions: Functions, name: str) -> None:
    function = FUNCTION_OF[name.split("-")[-1]]
    status, body = status_and_body(functions.invoke(function, event(name)))
    assert status == 200, body
    asked = json.loads(event(name)["body"] or "{}")
    if asked.get("stream"):
        frames = [frame.data for frame in SseDecoder().feed(body)]
        assert len(frames) > 2
        assert frames[-1] == b"[DONE]"
    else:
        assert json.loads(body)


def test_the_authorizer_answers_its_sample_event(functions: Functions) -> None:
    answer = json.loads(functions.invoke("authorizer", event("authorizer")))
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    assert json.loads(answer["context"]["caller"])["key_id"] == "local"
    assert LOCAL_TOKEN not in json.dumps(answer)


def test_the_authorizer_refuses_who_has_no_key(functions: Functions) -> None:
    asked = {**event("authorizer"), "headers": {"Authorization": "Bearer sk-unknown"}}
    assert json.loads(functions.invoke("authorizer", asked))["errorMessage"] == "Unauthorized"


def test_a_failure_of_the_provider_keeps_its_status_on_lambda(functions: Functions) -> None:
    asked = event("chat-stream")
    body = {**json.loads(asked["body"]), "model": "sandbox/fail-429"}
    status, answer = status_and_body(functions.invoke("chat", {**asked, "body": json.dumps(body)}))
    assert status == 429
    assert json.loads(answer)["error"]["code"] == "rate_limit_exceeded"
