"""Chats in every dialect: how each is asked for a text, the text that was answered, and what an error looks like."""

import json
from typing import Any

import httpx

from tests.contract.messages import bodies, folded, named_events, whole
from tests.contract.response_events import events_of, response_of
from tests.contract.wire import DISTINCT, asking, dialect_of, events

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
EVERY_DIALECT = [*DISTINCT, "/v1/chat/completions/stable", MESSAGES, RESPONSES]


def chatting(path: str, model: str, **fields: Any) -> dict[str, Any]:
    """A body that any chat route answers."""
    if path == RESPONSES:
        return {"model": model, "input": "Hello", "store": False, **fields}
    if path == MESSAGES:
        return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}], **fields}
    return asking(path, model, **fields)


def text_of(response: httpx.Response) -> str:
    """The text of a chat in any dialect, whole or streamed. The answer is complete and valid."""
    path = response.request.url.path
    is_streamed = response.headers["content-type"].startswith("text/event-stream")
    assert response.status_code == 200, f"{path}: {response.text[:1000]}"
    if path == MESSAGES:
        message = folded(bodies(response)) if is_streamed else whole(response)
        return "".join(block["text"] for block in message["content"])
    if path == RESPONSES:
        answer = events_of(response)[-1]["response"] if is_streamed else response_of(response)
        assert answer["status"] == "completed"
        return "".join(part["text"] for item in answer["output"] for part in item["content"])
    return _streamed_text(response) if is_streamed else _whole_text(response)


def _whole_text(response: httpx.Response) -> str:
    body = response.json()
    body = body.get("data", body)
    (choice,) = body.get("choices", [body])
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    assert isinstance(text, str)
    return text


def _streamed_text(response: httpx.Response) -> str:
    *told, done = events(response)
    assert done.data == b"[DONE]"
    text = ""
    for frame in map(json.loads, (event.data for event in told)):
        assert "error" not in frame
        for choice in frame.get("choices", [frame]):
            text += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return text


def assert_clean_error(response: httpx.Response, *statuses: int) -> None:
    """That an answer is an error with one of these statuses in its route's dialect, and nothing more."""
    path = response.request.url.path
    assert response.status_code in statuses, f"{path} answered {response.status_code}: {response.text[:1000]}"
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    match "messages" if path == MESSAGES else dialect_of(path):
        case "messages":
            assert body.keys() == {"type", "error", "request_id"}
            assert body["error"].keys() == {"type", "message"}
        case "envelope":
            assert body["status"] == "error"
            assert body.keys() == {"status", "error", "meta"}
        case "compact":
            assert body.keys() == {"error"}
            assert body["error"].keys() - {"retry_after"} == {"code", "message", "status"}
        case _:
            assert body.keys() == {"error"}
            assert body["error"].keys() == {"message", "type", "param", "code"}


def assert_broken_off(response: httpx.Response, beginning: str) -> None:
    """That a stream has said only this beginning, once, and ends with an error in its route's dialect."""
    path = response.request.url.path
    assert response.content.count(beginning.encode()) >= 1
    if path == MESSAGES:
        *told, last = named_events(response)
        assert last.event == "error"
        deltas = [json.loads(event.data) for event in told if event.event == "content_block_delta"]
        assert "".join(delta["delta"]["text"] for delta in deltas) == beginning
        return
    if path == RESPONSES:
        found = events_of(response)
        assert found[-1]["type"] == "response.failed"
        assert "".join(event["delta"] for event in found if event["type"].endswith("text.delta")) == beginning
        return
    told = events(response)
    if dialect_of(path) == "envelope":
        assert told.pop().data == b"[DONE]"
        assert told[-1].event == "error"
    last = told.pop()
    assert b"error" in last.data or last.event == "error"
    text = ""
    for frame in map(json.loads, (event.data for event in told)):
        for choice in frame.get("choices", [frame]):
            text += choice.get("text") or choice.get("delta", {}).get("content") or ""
    assert text == beginning
