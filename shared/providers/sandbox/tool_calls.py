"""Which of its tools the sandbox calls, and with what arguments."""

import hashlib
import json
import re
from collections.abc import Iterator

from shared.providers.sandbox.json_schema import LONGEST_HINT, Budget, Hints, make
from shared.providers.sandbox.reflection import variant
from shared.schemas.chat import ChatRequest, NamedTool, Tool
from shared.schemas.content import ToolCall

# "Tokyo and Paris": one question about two things, which is worth two calls of the same tool.
_TWO_NAMES = re.compile(r"\b([A-Z]\w+) and ([A-Z]\w+)\b")


class ToolCaller:
    """The calls that answer one request, within a budget for all its candidates.

    Raises ValueError where `tool_choice` names no tool.
    """

    def __init__(self, request: ChatRequest, prompt: str, budget: Budget) -> None:
        self._request = request
        self._budget = budget
        self._hints = Hints.of(prompt)
        self._turn = hashlib.sha256(
            request.model_dump_json(include={"system", "messages", "seed"}).encode()
        ).hexdigest()
        self._tools = _chosen(request, prompt[:LONGEST_HINT], budget)
        self._names: tuple[str, ...] = ()
        if request.parallel_tool_calls is False:
            self._tools = self._tools[:1]
        elif len(self._tools) == 1 and (names := _TWO_NAMES.search(prompt[:LONGEST_HINT])):
            self._names = names.groups()

    def calls(self, index: int) -> Iterator[ToolCall]:
        """The calls of one candidate; their ids differ between calls, candidates and turns.

        Raises ValueError for a schema that nothing can be made from.
        """
        for position, (name, arguments) in enumerate(self._named(index)):
            self._budget.spend(30 + len(arguments) // 8)
            digest = hashlib.sha256(f"{self._turn}/{index}/{position}".encode()).hexdigest()
            yield ToolCall(id=f"call_{digest[:24]}", name=name, arguments=arguments)

    def _named(self, index: int) -> Iterator[tuple[str, str]]:
        """Names and JSON arguments."""
        hints = self._hints.varied(variant(self._request, index))
        if self._names:
            tool = self._tools[0]
            each = [(tool.name, _arguments(tool, hints.naming(name), self._budget)) for name in self._names]
            yield from dict.fromkeys(each)  # only one where the names make no difference to the tool
        else:
            yield from ((tool.name, _arguments(tool, hints, self._budget)) for tool in self._tools)


def _chosen(request: ChatRequest, prompt: str, budget: Budget) -> list[Tool]:
    """The tool that is forced, else those that the prompt mentions, else the first."""
    if isinstance(request.tool_choice, NamedTool):
        forced = [tool for tool in request.tools if tool.name == request.tool_choice.name]
        if not forced:
            raise ValueError(f"tool_choice names {request.tool_choice.name!r}, which is not among the tools.")
        return forced[:1]
    object_keys = {tool.name: _mention(tool.name, prompt, budget) for tool in request.tools}
    mentioned = [tool for tool in request.tools if object_keys[tool.name] >= 0]
    return sorted(mentioned, key=lambda tool: object_keys[tool.name]) or [request.tools[0]]


def _mention(name: str, prompt: str, budget: Budget) -> int:
    """Where the prompt has the whole name, in any case; -1 where it has not."""
    budget.spend(2)
    if name.lower() not in prompt.lower():
        return -1
    budget.spend(100)  # to compile it and to search the prompt
    found = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", prompt, re.IGNORECASE)
    return found.start() if found else -1


def _arguments(tool: Tool, hints: Hints, budget: Budget) -> str:
    schema = {"type": "object", **(tool.parameters or {})}
    return json.dumps(make(schema, hints, budget), ensure_ascii=False)
