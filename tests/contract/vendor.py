"""An OpenAI-compatible vendor behind the front door: answers as it is told, and remembers what it was asked."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

KEY = "vendor-secret-key"
HOST = "vendor.test"
ENVIRONMENT = {
    "DEEPINFRA_API_KEY": KEY,
    "DEEPINFRA_BASE_URL": f"https://{HOST}/v1/openai",
    "OPENAI_API_KEY": KEY,
    "OPENAI_BASE_URL": f"https://{HOST}/v1",
}
MODEL = "deepseek-ai/DeepSeek-V3-0324"  # its host takes every knob under OpenAI's own names
BACKEND = "deepinfra/deepseek-ai/DeepSeek-V3.2"
SEEING_MODEL = "gpt-4o-mini"  # MODEL has no eyes

HEAD = {"id": "chatcmpl-vendor", "created": 1700000000, "model": "the-vendors-own-name"}
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


def frame(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: Any, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return frame({**HEAD, "object": "chat.completion.chunk", "choices": [choice]})


BEGINNING = chunk({"role": "assistant", "content": "Hello"})
ENDING = (
    chunk({"content": " there"})
    + chunk({}, "stop")
    + frame({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    + b"data: [DONE]\n\n"
)


# The same by the Responses API, which OpenAI's reasoning models are asked through.
RESPONSE_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 13,
}


def response_message(text: str) -> Any:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


def response(*output: Any, **more: Any) -> Any:
    """A Response object with these output items."""
    return {
        "id": "resp_vendor",
        "object": "response",
        "created_at": 1700000000,
        "status": "completed",
        "model": "the-vendors-own-name",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE,
        **more,
    }


def response_stream(answer: Any) -> bytes:
    """The stream of a Response object, each of its items in one piece."""
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    events = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(answer["output"]):
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": answer})
    return b"".join(f"event: {event['type']}\n".encode() + frame(event) for event in events)


def hello(request: httpx.Request) -> httpx.Response:
    """Says "Hello there", streamed where that is asked for, by the API that is asked."""
    is_streamed = json.loads(request.content).get("stream")
    if request.url.path.endswith("/responses"):
        answer = response(response_message("Hello there"))
        return httpx.Response(200, content=response_stream(answer)) if is_streamed else httpx.Response(200, json=answer)
    if is_streamed:
        return httpx.Response(200, content=BEGINNING + ENDING)
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}
    return httpx.Response(200, json={**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})


def answering(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Handler:
    return lambda request: httpx.Response(status, content=body, headers=headers)


def raising(error: Exception) -> Handler:
    """A call that never gets an answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def breaking(error: Exception) -> Handler:
    """A stream that says "Hello" and then breaks."""

    async def body() -> AsyncIterator[bytes]:
        yield BEGINNING
        raise error

    return lambda request: httpx.Response(200, content=body())


@dataclass
class Vendor:
    """What stands in for OpenAI and DeepInfra; `client` reaches the gateway in front of it."""

    answer: Handler = hello
    requests: list[httpx.Request] = field(default_factory=list)
    client: httpx.AsyncClient = field(init=False)

    def __call__(self, request: httpx.Request) -> httpx.Response | Awaitable[httpx.Response]:
        self.requests.append(request)
        return self.answer(request)

    @property
    def sent(self) -> Any:
        """The JSON of the one call that was made."""
        (request,) = self.requests
        return json.loads(request.content)
