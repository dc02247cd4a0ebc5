"""Streams over real sockets, vendor to client: nothing waits for what has not been said yet."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.providers.wires import anthropic, gemini, openai, openai_responses
from tests.sdk.server import TOKEN
from tests.sdk.vendor import Departure, Gate, Vendor, in_two

_MESSAGES = {"messages": [{"role": "user", "content": "Hello"}]}
_PROMPT = {"prompt": "Hello"}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": _MESSAGES,
    "/v1/chat/completions/stable": _MESSAGES,
    "/ai/chat": _MESSAGES,
    "/v1/inference/chat": _MESSAGES,
    "/v1/completions": _PROMPT,
    "/ai/generate": _PROMPT,
    "/v1/inference/generate": _PROMPT,
}
# Of each vendor: its wire's model and plain answer, and the text of that answer's first delta.
VENDORS = {
    "gemini": (gemini.wire, gemini.GREETING[:7]),
    "openai": (openai.wire, "Hel"),
    "openai_responses": (openai_responses.wire, "Hello"),
    "anthropic": (anthropic.wire, "Grüße,"),
}


@contextmanager
def streamed(url: str, path: str, body: dict[str, Any]) -> Iterator[httpx.Response]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with (
        httpx.Client(trust_env=False, timeout=60.0) as client,
        client.stream("POST", url + path, json={**body, "stream": True}, headers=headers) as response,
    ):
        yield response


def texts(lines: Iterator[str]) -> Iterator[str]:
    """The text of each delta, whatever the dialect, as it arrives; fails where the stream does not end well."""
    for line in lines:
        if line == "data: [DONE]":
            return
        if line:
            frame = json.loads(line.removeprefix("data: "))
            choice = frame.get("choices", [frame])[0]
            if text := choice.get("text") or choice.get("delta", {}).get("content"):
                yield text
    raise AssertionError("the stream ended without [DONE]")


def text_in(answer: Any) -> str:
    return "".join(part.text for part in answer.means.candidates[0].parts)


@pytest.mark.parametrize("name", VENDORS)
def test_the_first_words_arrive_before_the_vendor_has_said_the_next(vendor_url: str, vendor: Vendor, name: str) -> None:
    assert_it_flows(vendor_url, vendor, name, "/v1/chat/completions")


@pytest.mark.parametrize("path", ROUTES)
def test_on_every_route_the_first_words_arrive_before_the_next_are_said(
    vendor_url: str, vendor: Vendor, path: str
) -> None:
    assert_it_flows(vendor_url, vendor, "gemini", path)


def assert_it_flows(url: str, vendor: Vendor, name: str, path: str) -> None:
    wire, first = VENDORS[name]
    answer = wire.answers["text"]
    gate = Gate()
    vendor.say(pieces=in_two(answer.stream, first), between=gate)
    with streamed(url, path, {"model": wire.model, **ROUTES[path]}) as response:
        assert response.status_code == 200
        arriving = texts(response.iter_lines())
        assert next(arriving) == first
        assert vendor.pieces_begun == 1
        gate.open()
        assert first + "".join(arriving) == text_in(answer)
    assert vendor.pieces_begun == 2


def test_a_vendor_is_hung_up_on_when_the_client_leaves(vendor_url: str, vendor: Vendor) -> None:
    wire, first = VENDORS["gemini"]
    departure = Departure()
    vendor.say(pieces=in_two(wire.answers["text"].stream, first), between=departure)
    with streamed(vendor_url, "/v1/chat/completions", {"model": wire.model, **_MESSAGES}) as response:
        assert next(texts(response.iter_lines())) == first
    assert departure.noticed()


def test_two_streams_flow_side_by_side(vendor_url: str, vendor: Vendor) -> None:
    wire, first = VENDORS["gemini"]
    gate = Gate()
    vendor.say(pieces=in_two(wire.answers["text"].stream, first), between=gate)
    body = {"model": wire.model, **_MESSAGES}
    with (
        streamed(vendor_url, "/v1/chat/completions", body) as one,
        streamed(vendor_url, "/ai/chat", body) as other,
    ):
        arriving = [texts(response.iter_lines()) for response in (one, other)]
        assert [next(each) for each in arriving] == [first, first]
        gate.open()
        assert [first + "".join(each) for each in arriving] == [text_in(wire.answers["text"])] * 2


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendor_that_fails_amid_a_stream_is_told_in_the_stream(vendor_url: str, vendor: Vendor, name: str) -> None:
    wire, _ = VENDORS[name]
    vendor.say(pieces=[wire.midstream_error])
    with streamed(vendor_url, "/v1/chat/completions", {"model": wire.model, **_MESSAGES}) as response:
        assert response.status_code == 200
        lines = [line for line in response.iter_lines() if line]
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["type"] == "server_error"
