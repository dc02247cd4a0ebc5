"""Chat with the Claude models, through the Messages API.

Wire format: https://platform.claude.com/docs/en/api/messages/create, …/build-with-claude/thinking, …/effort and
…/structured-outputs. The quirks are described in `shared/schemas/quirk.py`.
"""

from hashlib import sha256
from typing import assert_never

from shared.errors import InvalidRequest, UnsupportedFeature
from shared.providers.anthropic.chat_answer import ChatReader
from shared.providers.anthropic.json_schema import Schema
from shared.providers.anthropic.messages import THINKING, Block, cache_control, conversation
from shared.providers.anthropic.original import original_body, original_headers
from shared.providers.anthropic.thinking import (
    BINDING_BETA,
    DEFAULT_MAX_TOKENS,
    bound,
    forces_a_tool,
    is_off,
    sampling,
    thinking,
)
from shared.providers.anthropic.vendor import vendor as anthropic
from shared.providers.base import Call, ChatAdapter, FrameDecoder, Reader
from shared.providers.json_schema import Budget
from shared.schemas.chat import (
    ChatRequest,
    JsonSchemaFormat,
    NamedTool,
    Tool,
    WebSearch,
)
from shared.schemas.events import ChatEvent
from shared.schemas.model import Model
from shared.schemas.original import WireFormat

# Version 2026-10-21 and later refuse temperature and top_p for every model, even for those that still support them.
_VERSION = "2023-06-01"

# Fewer than those after which the vendor would interrupt the answer.
_MOST_SEARCHES = 5


class AnthropicChat:
    """Messages, whole and streamed."""

    vendor = anthropic

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for log probabilities, image output, and a forced tool call or media that the model
        does not support, and InvalidRequest for a temperature above 1, an empty conversation, a text file that is not
        UTF-8, and JSON that is too large or nested too deeply.
        """
        try:
            return _call(request, model)
        except RecursionError:  # schemas and arguments are the caller's JSON
            raise InvalidRequest("The request contains JSON that is nested too deeply.") from None

    def wire(self, model: Model) -> WireFormat:
        return "messages"

    def frames(self) -> FrameDecoder:
        return anthropic.frames()

    def reader(self, request: ChatRequest) -> Reader[ChatEvent]:
        return ChatReader(keeps_original=request.original is not None and request.original.wire == "messages")


def _call(request: ChatRequest, model: Model) -> Call:
    if (original := request.original) is not None and original.wire == "messages":
        headers = original_headers(original)
        return Call("/v1/messages", original_body(request, original, model), headers=headers, streamed=request.stream)
    _check_support(request, model)
    system, messages = conversation(request, model)
    max_tokens = request.max_output_tokens or model.max_output_tokens or DEFAULT_MAX_TOKENS
    configuration, effort = thinking(request, model, max_tokens, may_think=_may_think(messages))
    sampled = sampling(request, model, thinks=configuration is not None and not is_off(configuration))
    if configuration is None and "budget_thinking" in model.quirks:
        max_tokens -= request.thinking_tokens  # the model does not think
    budget = Budget()
    headers = {"anthropic-version": _VERSION}
    if "bound_thinking" in model.quirks and _has_thinking(messages) and not is_off(configuration):
        headers["anthropic-beta"] = BINDING_BETA
        configuration = bound(configuration)
    body: Block = {
        "model": model.upstream,
        "max_tokens": max_tokens,
        "system": system or None,
        "messages": messages,
        "stream": request.stream or None,
        "thinking": configuration,
        "output_config": _output_config(request, effort, budget) or None,
        "service_tier": _service_tier(request),
        "cache_control": _cache_control(request),
        "stop_sequences": [stop for stop in request.stop if stop.strip()] or None,  # blank ones are refused
        "metadata": _metadata(request.user),
        **sampled._asdict(),
        **_tools(request, messages, budget),
    }
    given = {name: value for name, value in body.items() if value is not None}
    return Call("/v1/messages", json=given, headers=headers, streamed=request.stream)


def _check_support(request: ChatRequest, model: Model) -> None:
    if request.logprobs:
        raise UnsupportedFeature(f"The model '{model.id}' does not support logprobs.")
    if request.image_output:
        raise UnsupportedFeature(f"The model '{model.id}' does not support image output.")
    if request.tools and forces_a_tool(request) and "no_forced_tool_choice" in model.quirks:
        raise UnsupportedFeature(f"The model '{model.id}' does not support a tool_choice that forces a tool.")


def _service_tier(request: ChatRequest) -> str | None:
    """https://platform.claude.com/docs/en/api/service-tiers: priority capacity, if the operator has any, or none."""
    match request.service_tier:
        case None:
            return None
        case "default" | "flex":
            return "standard_only"
        case "auto" | "priority" | "scale":
            return "auto"
        case _:
            assert_never(request.service_tier)


def _cache_control(request: ChatRequest) -> Block | None:
    """A cache point at the end of the request."""
    point = request.last_cache_point
    return None if point is None else cache_control(point)


def _may_think(messages: list[Block]) -> bool:
    """Whether thinking with a budget is allowed: not in a turn that began without thinking.

    A turn begins after the last user message that is not a tool result.
    """
    begun: Block | None = None
    for message in reversed(messages):
        if message["role"] == "assistant":
            begun = message
        elif message["content"][0]["type"] != "tool_result":
            break
    return begun is None or begun["content"][0]["type"] in THINKING


def _has_thinking(messages: list[Block]) -> bool:
    return any(block["type"] in THINKING for message in messages for block in message["content"])


def _output_config(request: ChatRequest, effort: str | None, budget: Budget) -> Block:
    config: Block = {}
    if effort:
        config["effort"] = effort
    if isinstance(request.response_format, JsonSchemaFormat):
        schema = Schema(request.response_format.json_schema, budget).compilable()
        config["format"] = {"type": "json_schema", "schema": schema}
    return config


def _metadata(user: str | None) -> Block | None:
    # The vendor asks for an opaque identifier, and refuses long ones and those that look like an email address.
    return {"user_id": sha256(user.encode(errors="replace")).hexdigest()} if user else None


def _tools(request: ChatRequest, messages: list[Block], budget: Budget) -> Block:
    if request.web_search is not None:
        functions = [_tool(tool, budget) for tool in request.tools]
        return {"tools": [*functions, _search_tool(request.web_search)], "tool_choice": _tool_choice(request)}
    if request.tools:
        return {"tools": [_tool(tool, budget) for tool in request.tools], "tool_choice": _tool_choice(request)}
    # A conversation that contains tool calls is refused unless tools are declared.
    calls = (block for message in messages for block in message["content"] if block["type"] == "tool_use")
    names = dict.fromkeys(call["name"] for call in calls)
    if not names:
        return {}
    declared = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return {"tools": declared, "tool_choice": {"type": "none"}}


def _search_tool(search: WebSearch) -> Block:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool, of the version for all models.

    The vendor has no setting for the size of the context.
    """
    place = {
        name: value
        for name in ("city", "country", "region", "timezone")
        if (value := getattr(search, name)) is not None
    }
    tool: Block = {"type": "web_search_20250305", "name": "web_search", "max_uses": _MOST_SEARCHES}
    return {**tool, "user_location": {"type": "approximate", **place}} if place else tool


def _tool(tool: Tool, budget: Budget) -> Block:
    schema = Schema(tool.parameters or {"properties": {}}, budget).object_at_root()
    body: Block = {"name": tool.name}
    if tool.description:
        body["description"] = tool.description
    body["input_schema"] = Schema(schema, budget).compilable() if tool.strict else schema
    if tool.strict:
        body["strict"] = True
    if tool.cache:
        body["cache_control"] = cache_control(tool.cache)
    return body


def _tool_choice(request: ChatRequest) -> Block | None:
    choice: Block
    match request.tool_choice:
        case None if request.parallel_tool_calls is not False:
            return None
        case None | "auto":
            choice = {"type": "auto"}
        case "required":
            choice = {"type": "any"}
        case NamedTool(name=name):
            choice = {"type": "tool", "name": name}
        case "none":
            return {"type": "none"}
        case _:
            assert_never(request.tool_choice)
    if request.parallel_tool_calls is False:
        choice["disable_parallel_tool_use"] = True
    return choice


adapter: ChatAdapter = AnthropicChat()
