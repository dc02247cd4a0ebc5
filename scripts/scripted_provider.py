"""A provider on this machine that answers chats by a script, on OpenAI's two wires, Anthropic's and Gemini's.

What it says next depends on how many results of tools a request has. Agents ask for streams; for the few requests that
they make in passing, there are whole answers, of one text each, and counts of tokens.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any

from scripts.loopback_handler import LoopbackHandler

Json = dict[str, Any]
SIGNATURE = "c2lnbmVk"
"""The signature of each tool call on Gemini's wire, which has to come back with the call."""


@dataclass(frozen=True)
class Call:
    """A tool call. `text` is the input of a custom tool, which other wires take as the argument `input`."""

    name: str
    arguments: Mapping[str, Any] | None = None
    text: str = ""

    @property
    def json(self) -> str:
        return json.dumps(self.arguments if self.arguments is not None else {"input": self.text})


@dataclass(frozen=True)
class Turn:
    """What a request gives the model: the names of its tools, how many results of tools it has got, and all of it."""

    tools: set[str]
    results: int
    request: Json


Script = Callable[[Turn], Call | str]
"""What the model says next."""


@contextmanager
def provider(script: Script) -> Iterator[str]:
    """The address of a provider whose wires are at `/openai`, `/deepinfra`, `/anthropic` and `/gemini`."""
    handler = type("Handler", (_Handler,), {"script": staticmethod(script)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://{}:{}".format(*server.server_address[:2])
        server.shutdown()


class _Handler(LoopbackHandler):
    script: Script

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        vendor = self.path.split("/")[1]
        if self.path.endswith(("/count_tokens", ":countTokens")):
            self._send({"input_tokens": 1000, "totalTokens": 1000})
        elif asked.get("stream") or ":stream" in self.path:
            wire = _responses if self.path.endswith("/responses") else _WIRES[vendor]
            self.answer(b"".join(wire(asked, self.script)), {"content-type": "text/event-stream"})
        else:
            self._send(_WHOLE[vendor])

    def _send(self, body: Json) -> None:
        self.answer(json.dumps(body).encode(), {"content-type": "application/json"})


def _chat(asked: Json, script: Script) -> Iterator[bytes]:
    results = sum(message["role"] == "tool" for message in asked["messages"])
    said = script(Turn({tool["function"]["name"] for tool in asked.get("tools", ())}, results, asked))
    content = said if isinstance(said, str) else None
    delta: Json = {"role": "assistant", "reasoning_content": "I think.", "content": content}
    if isinstance(said, Call):
        function = {"name": said.name, "arguments": said.json}
        delta["tool_calls"] = [{"index": 0, "id": f"call:{results}", "type": "function", "function": function}]
    reason = "stop" if isinstance(said, str) else "tool_calls"
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    yield _data({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _data({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
    yield _data({**chunk, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _responses(asked: Json, script: Script) -> Iterator[bytes]:
    results = sum(item.get("type", "").endswith("_call_output") for item in asked["input"])
    tools = _response_tools(asked)
    said = script(Turn(set(tools), results, asked))
    item: Json
    if isinstance(said, str):
        content = [{"type": "output_text", "text": said, "annotations": [], "logprobs": []}]
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    else:
        tool = tools[said.name]
        item = {"call_id": f"call_{results}", **{name: tool[name] for name in ("name", "namespace") if name in tool}}
        if tool["type"] == "custom":
            item |= {"id": f"ctc_{results}", "type": "custom_tool_call", "input": said.text}
        else:
            item |= {"id": f"fc_{results}", "type": "function_call", "status": "completed", "arguments": said.json}
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1020,
    }
    response = {"id": f"resp_{results}", "object": "response", "created_at": 1, "model": "x", "output": [item]}
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    thought = {"id": f"rs_{results}", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAA"}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
        {"type": "response.output_item.done", "output_index": 0, "item": thought},
        {"type": "response.output_item.added", "output_index": 1, "item": item},
        {"type": "response.output_item.done", "output_index": 1, "item": item},
        {
            "type": "response.completed",
            "response": {**response, "status": "completed", "output": [thought, item], "usage": usage},
        },
    ]
    yield from (_named({**event, "sequence_number": number}) for number, event in enumerate(events))


def _response_tools(asked: Json) -> dict[str, Json]:
    """The tools of a request, those of a namespace under both names as the gateway joins them for other wires."""
    given = [*asked.get("tools", ()), *(tool for item in asked["input"] for tool in item.get("tools", ()))]
    found = {tool["name"]: tool for tool in given if tool["type"] in ("function", "custom")}
    for space in (tool for tool in given if tool["type"] == "namespace"):
        found |= {f"{space['name']}__{tool['name']}": {**tool, "namespace": space["name"]} for tool in space["tools"]}
    return found


def _anthropic(asked: Json, script: Script) -> Iterator[bytes]:
    blocks = [block for message in asked["messages"] for block in message["content"] if isinstance(block, dict)]
    results = sum(block["type"] == "tool_result" for block in blocks)
    said = script(Turn({tool["name"] for tool in asked.get("tools", ())}, results, asked))
    message = {"id": f"msg_{results}", "type": "message", "role": "assistant", "model": "x", "content": []}
    usage = {"input_tokens": 1000, "output_tokens": 1}
    yield _named(
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    )
    if isinstance(said, str):
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": said}
    else:
        block = {"type": "tool_use", "id": f"toolu_{results}", "name": said.name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": said.json}
    yield _named({"type": "content_block_start", "index": 0, "content_block": block})
    yield _named({"type": "content_block_delta", "index": 0, "delta": delta})
    yield _named({"type": "content_block_stop", "index": 0})
    reason = {"stop_reason": "end_turn" if isinstance(said, str) else "tool_use", "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": reason, "usage": {"output_tokens": 20}})
    yield _named({"type": "message_stop"})


def _gemini(asked: Json, script: Script) -> Iterator[bytes]:
    parts = [part for content in asked["contents"] for part in content["parts"]]
    results = sum("functionResponse" in part for part in parts)
    signatures = [part.get("thoughtSignature") for part in parts if "functionCall" in part]
    assert signatures == [SIGNATURE] * results, "the signature of a call has been lost"
    groups = asked.get("tools", ())
    tools = {tool["name"] for group in groups for tool in group.get("functionDeclarations", ())}
    said = script(Turn(tools, results, asked))
    part: Json = {"text": said} if isinstance(said, str) else {}
    if isinstance(said, Call):
        part = {"functionCall": {"name": said.name, "args": json.loads(said.json)}, "thoughtSignature": SIGNATURE}
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 20, "totalTokenCount": 1020}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    yield _data({"candidates": [candidate], "usageMetadata": usage})


_WIRES: Mapping[str, Callable[[Json, Script], Iterator[bytes]]] = {
    "openai": _chat,
    "deepinfra": _chat,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
_WHOLE_CHAT: Json = {"choices": [{"index": 0, "message": {"content": "Done."}, "finish_reason": "stop"}]}
_WHOLE: Mapping[str, Json] = {
    "openai": _WHOLE_CHAT,
    "deepinfra": _WHOLE_CHAT,
    "anthropic": {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "x",
        "content": [{"type": "text", "text": "Done."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    },
    "gemini": {"candidates": [{"content": {"parts": [{"text": "Done."}]}, "finishReason": "STOP"}]},
}


def _named(event: Json) -> bytes:
    return b"event: %b\n" % event["type"].encode() + _data(event)


def _data(body: Json) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
