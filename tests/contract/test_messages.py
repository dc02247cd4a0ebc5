"""The messages dialect over HTTP: M01 to M22 of the contract, but for the SDK (M20) and agents (M21)."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.client import TOKEN, gateway_client
from tests.contract import messages as wire
from tests.contract.all_vendors import CONTENT, MESSAGE, answering, streaming
from tests.contract.messages import CLAUDE, DEEPSEEK, ENVIRONMENT, GEMINI, GPT, PATH, WEATHER, asking, turn
from tests.contract.vendor import HEAD, USAGE, Vendor

pytestmark = pytest.mark.anyio

EVERY_VENDOR = [CLAUDE, DEEPSEEK, GPT, GEMINI]


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    """All vendors in one, with the gateway in front of them as its `client`."""
    vendor = Vendor(says(text("Hello there")))
    async with gateway_client(keys, {**ENVIRONMENT, "GATEWAY_SANDBOX": "on"}, vendor) as vendor.client:
        yield vendor


# ---- What the vendors say, in each of their wires --------------------------------------------------------------------


def text(value: str) -> dict[str, Any]:
    return {"text": value}


def thought(value: str) -> dict[str, Any]:
    return {"thought": value}


def call(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"call": call_id, "name": name, "arguments": arguments}


def says(*parts: dict[str, Any]) -> Callable[[httpx.Request], httpx.Response]:
    """A vendor of any wire that answers with these parts, whole or streamed as it is asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        match request.url.path.split("/")[1]:
            case "anthropic":
                body, stream = claude(parts)
                return (streaming(*stream) if asked.get("stream") else answering(body))(request)
            case "gemini":
                body, stream = gemini(parts)
                return (streaming(*stream) if "stream" in request.url.path else answering(body))(request)
            case _:
                body, stream = openai(parts)
                return (streaming(*stream, done=True) if asked.get("stream") else answering(body))(request)

    return answer


def claude(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    content: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**MESSAGE, "content": []}}]
    for at, part in enumerate(parts):
        match part:
            case {"text": value}:
                block = {"type": "text", "text": value}
                begun, delta = {**block, "text": ""}, {"type": "text_delta", "text": value}
            case {"thought": value}:
                block = {"type": "thinking", "thinking": value, "signature": ""}
                begun, delta = {**block, "thinking": ""}, {"type": "thinking_delta", "thinking": value}
            case {"call": call_id, "name": name, "arguments": arguments}:
                block = {"type": "tool_use", "id": call_id, "name": name, "input": arguments}
                begun, delta = (
                    {**block, "input": {}},
                    {"type": "input_json_delta", "partial_json": json.dumps(arguments)},
                )
        content.append(block)
        events += [
            {"type": "content_block_start", "index": at, "content_block": begun},
            {"type": "content_block_delta", "index": at, "delta": delta},
            {"type": "content_block_stop", "index": at},
        ]
    reason = "tool_use" if "call" in parts[-1] else "end_turn"
    events += [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]
    return {**MESSAGE, "content": content, "stop_reason": reason}, [(event["type"], event) for event in events]


def openai(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], list[Any]]:
    deltas: list[dict[str, Any]] = []
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for part in parts:
        match part:
            case {"text": value}:
                message["content"] += value
                deltas += [{"content": piece} for piece in (value[:2], value[2:])]
            case {"thought": value}:
                message["reasoning_content"] = value
                deltas.append({"reasoning_content": value})
            case {"call": call_id, "name": name, "arguments": arguments}:
                calls = message.setdefault("tool_calls", [])
                function = {"name": name, "arguments": json.dumps(arguments)}
                calls.append({"id": call_id, "type": "function", "function": function})
                deltas.append({"tool_calls": [{"index": len(calls) - 1, **calls[-1]}]})
    reason = "tool_calls" if "tool_calls" in message else "stop"
    body = {
        **HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": USAGE,
    }
    chunk = {**HEAD, "object": "chat.completion.chunk"}
    chunks = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return body, [*chunks, last, {**chunk, "choices": [], "usage": USAGE}]


def gemini(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], list[Any]]:
    pieces: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case {"text": value}:
                pieces.append({"text": value})
            case {"thought": value}:
                pieces.append({"text": value, "thought": True})
            case {"call": call_id, "name": name, "arguments": arguments}:
                called = {"id": call_id, "name": name, "args": arguments}
                pieces.append({"functionCall": called, "thoughtSignature": "c2lnbmVk"})
    finished = {"content": {"role": "model", "parts": pieces}, "finishReason": "STOP"}
    frames = [{"candidates": [{"content": {"role": "model", "parts": [piece]}}]} for piece in pieces[:-1]]
    last = {"content": {"role": "model", "parts": pieces[-1:]}, "finishReason": "STOP"}
    return {**CONTENT, "candidates": [finished]}, [*frames, {**CONTENT, "candidates": [last]}]


ANSWERS = {
    "text": (text("Hello there"),),
    "thought": (thought("Let me see."), text("Hello there")),
    "calls": (text("I look."), call("call_1", "get_weather", city="Paris"), call("call_2", "get_weather", city="Rome")),
    "thought and call": (thought("I must look."), call("call_1", "get_weather", city="Paris")),
}


# ---- Answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["sandbox/chat", *EVERY_VENDOR])
async def test_m01_m04_m05_every_model_answers_whole_and_streamed_alike(vendor: Vendor, model: str) -> None:
    answer = wire.whole(await vendor.client.post(PATH, json=asking(model)))
    events = wire.bodies(await vendor.client.post(PATH, json=asking(model, stream=True)))
    assert wire.folded(events) == answer
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", model)
    assert answer["stop_reason"] == "end_turn"


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("model", EVERY_VENDOR)
async def test_m05_a_folded_stream_is_the_whole_answer(vendor: Vendor, model: str, answer: str) -> None:
    vendor.answer = says(*ANSWERS[answer])
    body = asking(model, tools=[WEATHER])
    events = wire.bodies(await vendor.client.post(PATH, json={**body, "stream": True}))
    unsealed = [
        without_seals(found) for found in (wire.folded(events), wire.whole(await vendor.client.post(PATH, json=body)))
    ]
    assert unsealed[0] == unsealed[1]
    blocks = [block["type"] for block in unsealed[0]["content"] if block["type"] != "redacted_thinking"]
    kinds = {"text": "text", "thought": "thinking", "call": "tool_use"}
    assert blocks == [kinds[next(iter(part))] for part in ANSWERS[answer]]


def without_seals(message: dict[str, Any]) -> dict[str, Any]:
    """The message with each seal as what it is: no two seals of the same are alike."""
    for block in message["content"]:
        for field in ("signature", "data"):
            if block.get(field, "").startswith("gw1_"):
                block[field] = "sealed"
    return message


@pytest.mark.parametrize("model", EVERY_VENDOR)
async def test_m04_events_come_in_their_order(vendor: Vendor, model: str) -> None:
    vendor.answer = says(*ANSWERS["calls"])
    response = await vendor.client.post(PATH, json=asking(model, stream=True, tools=[WEATHER]))
    names = [event.event for event in wire.named_events(response)]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    open_block, blocks = None, 0
    for body in wire.bodies(response)[1:-2]:
        match body["type"]:
            case "content_block_start":
                assert open_block is None
                assert body["index"] == blocks
                open_block = body["index"]
            case "content_block_delta":
                assert body["index"] == open_block
            case "content_block_stop":
                assert body["index"] == open_block
                open_block, blocks = None, blocks + 1
    assert open_block is None
    assert blocks >= 3
    if model != CLAUDE:
        assert names[2] == "ping"
