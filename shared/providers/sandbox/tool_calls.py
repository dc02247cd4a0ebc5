"""Which of its tools the sandbox calls, and with what arguments."""

import hashlib
import json
import re
from collections.abc import Iterator

from shared.providers.sandbox import conversation
from shared.providers.sandbox.json_schema import Hints, make
from shared.providers.sandbox.reflection import variant
from shared.schemas.chat import ChatRequest, NamedTool, Tool
from shared.schemas.content import ToolCall

# "Tokyo and Paris": one question about two things, which is worth two calls of the same tool.
_TWO_NAMES = re.compile(r"\b([A-Z]\w+) and ([A-Z]\w+)\b")


def call_tools(request: ChatRequest, index: int) -> Iterator[ToolCall]:
    """The calls of one candidate; their ids differ between calls, candidates and turns.

    Raises ValueError where `tool_choice` names no tool, or for a schema that nothing can be made from.
    """
    turn = hashlib.sha256(request.model_dump_json(include={"system", "messages", "seed"}).encode()).hexdigest()
    for position, (name, arguments) in enumerate(_calls(request, index)):
        digest = hashlib.sha256(f"{turn}/{index}/{position}".encode()).hexdigest()
        yield ToolCall(id=f"call_{digest[:24]}", name=name, arguments=arguments)


def _calls(request: ChatRequest, index: int) -> list[tuple[str, str]]:
    """Names and JSON arguments."""
    prompt = conversation.prompt(request)
    hints = Hints.of(prompt, variant(request, index))
    tools = _chosen(request, prompt)
    if request.parallel_tool_calls is False:
        tools = tools[:1]
    elif len(tools) == 1 and (names := _TWO_NAMES.search(prompt)):
        calls = [(tools[0].name, _arguments(tools[0], hints.naming(name))) for name in names.groups()]
        return list(dict.fromkeys(calls))  # only one where the names make no difference to the tool
    return [(tool.name, _arguments(tool, hints)) for tool in tools]


def _chosen(request: ChatRequest, prompt: str) -> list[Tool]:
    """The tool that is forced, else those that the prompt mentions, else the first."""
    if isinstance(request.tool_choice, NamedTool):
        forced = [tool for tool in request.tools if tool.name == request.tool_choice.name]
        if not forced:
            raise ValueError(f"tool_choice names {request.tool_choice.name!r}, which is not among the tools.")
        return forced[:1]
    places = {tool.name: _mention(tool.name, prompt) for tool in request.tools}
    mentioned = [tool for tool in request.tools if places[tool.name] >= 0]
    return sorted(mentioned, key=lambda tool: places[tool.name]) or [request.tools[0]]


def _mention(name: str, prompt: str) -> int:
    """Where the prompt has the whole name, in any case; -1 where it has not."""
    found = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", prompt, re.IGNORECASE)
    return found.start() if found else -1


def _arguments(tool: Tool, hints: Hints) -> str:
    schema = {"type": "object", **(tool.parameters or {})}
    return json.dumps(make(schema, hints), ensure_ascii=False)
