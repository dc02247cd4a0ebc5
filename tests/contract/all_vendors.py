"""The four wires of chat behind the front door: whichever vendor is asked answers "Hello there"."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.vendor import HOST, KEY, Handler, Vendor
from tests.contract.vendor import hello as openai_hello
from tests.providers.wires.bedrock import ENVIRONMENT as BEDROCK
from tests.providers.wires.bedrock import body as converse_answer
from tests.providers.wires.bedrock import counts

PROVIDERS = (
    *("openai", "anthropic", "gemini", "deepinfra", "groq", "together", "mistral", "xai", "deepseek", "fireworks"),
    *("cerebras", "openrouter"),
)
ENVIRONMENT = {
    **{f"{name.upper()}_API_KEY": KEY for name in PROVIDERS},
    **{f"{name.upper()}_BASE_URL": f"https://{HOST}/{name}" for name in PROVIDERS},
    **BEDROCK,
    "BEDROCK_BASE_URL": f"https://{HOST}/bedrock",
}

MESSAGE = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "the-vendors-own-name",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 2},
}
CONTENT = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello there"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 2, "totalTokenCount": 13},
    "modelVersion": "the-vendors-own-name",
    "responseId": "the-vendors-own-id",
}


def hello(request: httpx.Request) -> httpx.Response:
    """A whole answer in the wire format of the vendor that is asked."""
    match request.url.path.split("/")[1]:
        case "anthropic":
            return httpx.Response(200, json=MESSAGE)
        case "gemini":
            return httpx.Response(200, json=CONTENT)
        case "bedrock":
            return httpx.Response(200, content=converse_answer([{"text": "Hello there"}], "end_turn", counts(11, 2)))
        case _:
            return openai_hello(request)


def streaming(*frames: tuple[str, Any] | Any, done: bool = False) -> Handler:
    """A stream of JSON frames, each with its event's name where it has one; `done` ends it as OpenAI does."""
    body = "".join(
        f"event: {frame[0]}\ndata: {json.dumps(frame[1])}\n\n"
        if isinstance(frame, tuple)
        else f"data: {json.dumps(frame)}\n\n"
        for frame in frames
    )
    content = (body + "data: [DONE]\n\n" * done).encode()
    return lambda request: httpx.Response(200, content=content, headers={"content-type": "text/event-stream"})


def answering(body: Any) -> Handler:
    """A whole answer."""
    return lambda request: httpx.Response(200, json=body)


@asynccontextmanager
async def every_vendor(keys: KeyStore, environment: Mapping[str, str] = {}) -> AsyncIterator[Vendor]:
    """All vendors in one, with the gateway in front of them as its `client`."""
    vendor = Vendor(hello)
    async with gateway_client(keys, {**ENVIRONMENT, **environment}, vendor) as vendor.client:
        yield vendor
