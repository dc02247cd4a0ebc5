"""Lets Anthropic's terminal agent work through the gateway: `python -m scripts.try_claude [path of claude]`.

The agent is `@anthropic-ai/claude-code` of the npm registry, unmodified but for base URL, key and model. It writes and
edits a file in an empty folder with its own tools, once for each of three wires on which a scripted provider on this
machine answers: Anthropic's, an OpenAI-compatible vendor's and Gemini's. Not part of CI.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TOKEN = "sk-local"  # noqa: S105 - make run prints it
MODELS = {
    "anthropic": "claude-sonnet-5",
    "deepinfra": "deepseek-ai/DeepSeek-V3-0324",
    "gemini": "gemini-3.8-flash",
}
PROMPT = "Write a file greeting.txt that says hello, then change it to say goodbye."
_SECONDS = 120
_FILE = "greeting.txt"
_DONE = "I wrote the file and changed it."

Json = dict[str, Any]


def main() -> None:
    """Prints one line for each wire. Exits with 1 if the agent failed on one."""
    claude = sys.argv[1] if len(sys.argv) > 1 else shutil.which("claude")
    if claude is None:
        sys.exit("usage: python -m scripts.try_claude PATH, after npm install @anthropic-ai/claude-code")
    failed = 0
    with provider() as address, gateway(address) as url:
        for wire, model in MODELS.items():
            failed += not _passes(claude, url, wire, model)
    sys.exit(1 if failed else 0)


def _passes(claude: str, url: str, wire: str, model: str) -> bool:
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_AUTH_TOKEN": TOKEN,
            "ANTHROPIC_MODEL": model,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        command = [claude, "-p", PROMPT, "--permission-mode", "acceptEdits"]
        try:
            result = subprocess.run(  # noqa: S603 - the operator names the program
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"FAIL  {wire}: no end after {_SECONDS} s")
            return False
        file = Path(folder) / _FILE
        text = file.read_text("utf-8") if file.exists() else None
    if result.returncode == 0 and text == "goodbye\n" and _DONE in result.stdout:
        print(f"ok    {wire}: {model} wrote and edited a file")
        return True
    print(f"FAIL  {wire}: status {result.returncode}, file {text!r}\n{result.stdout}\n{result.stderr}")
    return False


@contextmanager
def gateway(address: str) -> Iterator[str]:
    """The URL of a gateway, as `make run` starts it, that calls the scripted provider."""
    environment = {**os.environ, "PORT": "0"}
    for name in MODELS:
        environment |= {f"{name.upper()}_API_KEY": "scripted", f"{name.upper()}_BASE_URL": f"{address}/{name}"}
    command = [sys.executable, "-m", "functions"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own words
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("Gateway "))
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield line.split()[1]
        finally:
            process.terminate()


# ---- The scripted provider -------------------------------------------------------------------------------------------


@contextmanager
def provider() -> Iterator[str]:
    """The address of a provider that speaks three wires."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://{}:{}".format(*server.server_address[:2])
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        wire = self.path.split("/")[1]
        if "ount" in self.path.rpartition("/")[2]:  # count_tokens, countTokens
            self._send(json.dumps({"input_tokens": 1000, "totalTokens": 1000}).encode(), "application/json")
            return
        frames = {"anthropic": _anthropic, "deepinfra": _openai, "gemini": _gemini}[wire](asked)
        if asked.get("stream") or "stream" in self.path:
            self._send(b"".join(frames), "text/event-stream")
        else:
            self._send(_whole(wire), "application/json")

    def _send(self, body: bytes, media_type: str) -> None:
        self.send_response(200)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass


def _step(tools: set[str], results: int, prompt: str) -> Json | None:
    """The call that the model makes after so many results; None for its last words."""
    if not {"Write", "Edit"} <= tools:
        return None
    # The agent tells the model its folder.
    folder = prompt.partition("working directory: ")[2].split("\\n")[0].split("\n")[0].strip()
    path = f"{folder}/{_FILE}"
    match results:
        case 0:
            return {"name": "Write", "input": {"file_path": path, "content": "hello\n"}}
        case 1:
            return {"name": "Edit", "input": {"file_path": path, "old_string": "hello", "new_string": "goodbye"}}
    return None


def _anthropic(asked: Json) -> Iterator[bytes]:
    blocks = [block for message in asked["messages"] for block in message["content"] if isinstance(block, dict)]
    results = sum(block["type"] == "tool_result" for block in blocks)
    call = _step({tool["name"] for tool in asked.get("tools", ())}, results, json.dumps(asked))
    usage = {"input_tokens": 1000, "output_tokens": 1}
    message = {"id": f"msg_{results}", "type": "message", "role": "assistant", "model": "x", "content": []}
    head = {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield _named({"type": "message_start", "message": head})
    if call is None:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": _DONE}
    else:
        block = {"type": "tool_use", "id": f"toolu_{results}", "name": call["name"], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call["input"])}
    yield _named({"type": "content_block_start", "index": 0, "content_block": block})
    yield _named({"type": "content_block_delta", "index": 0, "delta": delta})
    yield _named({"type": "content_block_stop", "index": 0})
    reason = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": reason, "usage": {"output_tokens": 20}})
    yield _named({"type": "message_stop"})


def _openai(asked: Json) -> Iterator[bytes]:
    results = sum(message["role"] == "tool" for message in asked["messages"])
    call = _step({tool["function"]["name"] for tool in asked.get("tools", ())}, results, json.dumps(asked))
    delta: Json = {"role": "assistant", "reasoning_content": "I think.", "content": None if call else _DONE}
    if call is not None:
        function = {"name": call["name"], "arguments": json.dumps(call["input"])}
        delta["tool_calls"] = [{"index": 0, "id": f"call:{results}", "type": "function", "function": function}]
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    yield _data({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _data({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if call else "stop"}]})
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
    yield _data({**chunk, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _gemini(asked: Json) -> Iterator[bytes]:
    parts = [part for content in asked["contents"] for part in content["parts"]]
    results = sum("functionResponse" in part for part in parts)
    tools = {tool["name"] for group in asked.get("tools", ()) for tool in group.get("functionDeclarations", ())}
    call = _step(tools, results, json.dumps(asked))
    if results:
        signatures = [part.get("thoughtSignature") for part in parts if "functionCall" in part]
        assert signatures == ["c2lnbmVk"] * results, "the signature of a call has been lost"
    said: Json = {"text": _DONE}
    if call is not None:
        said = {"functionCall": {"name": call["name"], "args": call["input"]}}
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 20, "totalTokenCount": 1020}
    content = {"role": "model", "parts": [{**said, "thoughtSignature": "c2lnbmVk"}]}
    yield _data({"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage})


def _whole(wire: str) -> bytes:
    """An answer in one piece, which the agent asks for in passing."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"type": "message", "role": "assistant", "model": "x", "content": [{"type": "text", "text": _DONE}]}
    bodies: Json = {
        "anthropic": {"id": "msg", **message, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage},
        "deepinfra": {"choices": [{"index": 0, "message": {"content": _DONE}, "finish_reason": "stop"}]},
        "gemini": {"candidates": [{"content": {"parts": [{"text": _DONE}]}, "finishReason": "STOP"}]},
    }
    return json.dumps(bodies[wire]).encode()


def _named(event: Json) -> bytes:
    return b"event: %b\n" % event["type"].encode() + _data(event)


def _data(body: Json) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


if __name__ == "__main__":
    main()
