"""Custom tools, which take free text, for models that have function tools only: a function with one string."""

import json
from collections.abc import Iterable
from dataclasses import field

from shared.dataclass import dataclass
from shared.schemas.chat import ChatRequest, JsonObject, Tool
from shared.schemas.content import Message, Part, ToolCall
from shared.schemas.events import ChatEvent, Finished, ToolCallDelta, ToolCallStarted

_INPUT = "input"


def with_functions(request: ChatRequest) -> ChatRequest:
    """The request with its custom tools, and the calls of such tools in its messages, as functions."""
    return request.model_copy(
        update={
            "tools": tuple(map(_as_function, request.tools)),
            "messages": tuple(map(_with_function_calls, request.messages)),
        }
    )


def custom_names(request: ChatRequest) -> frozenset[str]:
    """The names of the request's custom tools."""
    return frozenset(tool.name for tool in request.tools if tool.custom is not None)


def has_custom_tools(request: ChatRequest) -> bool:
    return any(tool.custom is not None for tool in request.tools) or any(
        isinstance(part, ToolCall) and part.custom for message in request.messages for part in message.parts
    )


def _as_function(tool: Tool) -> Tool:
    if tool.custom is None:
        return tool
    description = tool.description or ""
    if tool.custom.definition:
        described = f"The input must match this {tool.custom.syntax} grammar:\n{tool.custom.definition}"
        description = f"{description}\n\n{described}" if description else described
    parameters: JsonObject = {
        "type": "object",
        "properties": {_INPUT: {"type": "string"}},
        "required": [_INPUT],
        "additionalProperties": False,
    }
    return tool.model_copy(update={"description": description or None, "parameters": parameters, "custom": None})


def _with_function_calls(message: Message) -> Message:
    if not any(isinstance(part, ToolCall) and part.custom for part in message.parts):
        return message
    return message.model_copy(update={"parts": tuple(map(_as_function_call, message.parts))})


def _as_function_call(part: Part) -> Part:
    if not isinstance(part, ToolCall) or not part.custom:
        return part
    arguments = json.dumps({_INPUT: part.arguments}, ensure_ascii=False)
    return part.model_copy(update={"arguments": arguments, "custom": False})


@dataclass(slots=True)
class _OpenCall:
    position: int
    index: int
    arguments: list[str] = field(default_factory=list)


class CustomCalls:
    """Takes a call's events and returns those to send: calls of custom tools have free text again.

    Their text is known once the arguments are complete, which the first event that is not theirs says.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._open: dict[tuple[int, int], _OpenCall] = {}

    def feed(self, event: ChatEvent) -> Iterable[ChatEvent]:
        match event:
            case ToolCallStarted() if event.name in self._names and not event.custom:
                event.custom = True
                self._open[event.index, event.position] = _OpenCall(event.position, event.index)
            case ToolCallDelta() if (call := self._open.get((event.index, event.position))) is not None:
                call.arguments.append(event.arguments)
                return ()
            case Finished():
                ended = [call for call in self._open.values() if call.index == event.index]
                for call in ended:
                    del self._open[call.index, call.position]
                return (*(ToolCallDelta(call.position, _text(call), call.index) for call in ended), event)
        return (event,)


def _text(call: _OpenCall) -> str:
    """The text of the arguments; the arguments themselves where the model has not kept to the schema."""
    arguments = "".join(call.arguments)
    try:
        return str(json.loads(arguments)[_INPUT])
    except (ValueError, KeyError, TypeError):
        return arguments
