"""What goes over the wire of the messages dialect: requests, events, and how a stream is folded."""

import json
from collections.abc import Iterable
from typing import Any

import httpx
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

from shared.framing import Frame, SseDecoder
from tests.contract.vendor import KEY

PATH = "/v1/messages"
HOST = "vendor.test"
CLAUDE = "claude-sonnet-5"
GPT = "openai/gpt-5.6-sol"  # asked by chat completions
DEEPSEEK = "deepseek-ai/DeepSeek-V3-0324"
GEMINI = "gemini-3.8-flash"
ENVIRONMENT = {
    "ANTHROPIC_API_KEY": KEY,
    "ANTHROPIC_BASE_URL": f"https://{HOST}/anthropic",
    "OPENAI_API_KEY": KEY,
    "OPENAI_BASE_URL": f"https://{HOST}/openai",
    "DEEPINFRA_API_KEY": KEY,
    "DEEPINFRA_BASE_URL": f"https://{HOST}/deepinfra",
    "OPENROUTER_API_KEY": KEY,
    "OPENROUTER_BASE_URL": f"https://{HOST}/openrouter",
    "GEMINI_API_KEY": KEY,
    "GEMINI_BASE_URL": f"https://{HOST}/gemini",
}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def asking(model: str = "sandbox/chat", content: Any = "Hello", **fields: Any) -> dict[str, Any]:
    """A body that the dialect answers, with `fields` added to it or in the place of its own."""
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}], **fields}


def turn(*blocks: dict[str, Any], role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def named_events(response: httpx.Response) -> list[Frame]:
    """The events of a streamed answer."""
    assert response.status_code == 200, response.text[:1000]
    assert response.headers["content-type"].startswith("text/event-stream")
    return SseDecoder().feed(response.content)


def bodies(response: httpx.Response) -> list[dict[str, Any]]:
    """The data of all events but pings, each found to be what the SDK's type says."""
    found = []
    for event in named_events(response):
        body = json.loads(event.data)
        assert event.event == body["type"]
        if event.event != "ping":
            validated(_EVENTS, body)
            found.append(body)
    return found


def folded(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The message that the SDK makes of a stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        parsed = _EVENTS.validate_python(event)
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    return comparable(snapshot)


def comparable(message: BaseModel) -> dict[str, Any]:
    """A message without its id, and without what is absent."""
    dumped = message.model_dump(mode="json", exclude_none=True, warnings=False)
    return {name: value for name, value in dumped.items() if name != "id"}


def whole(response: httpx.Response) -> dict[str, Any]:
    """The message of an answer in one piece, found to be what the SDK's type says."""
    assert response.status_code == 200, response.text[:1000]
    body = response.json()
    return comparable(validated(TypeAdapter(Message), body))


def validated(adapter: TypeAdapter[Any], body: dict[str, Any]) -> Any:
    """The body as the SDK's type, of which it has no unknown fields: SDK types keep those as extra ones."""
    parsed = adapter.validate_python(body)
    _assert_known(parsed)
    return parsed


def _assert_known(value: Any) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{type(value).__name__}: {value.model_extra}"
        for name in type(value).model_fields:
            _assert_known(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            _assert_known(item)
