"""The tools of a request: functions, and tools that only Anthropic has.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

import re
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from shared.dataclass import dataclass
from shared.dialects.base import Ignored, JsonObject, Wire
from shared.dialects.messages.blocks import Cached
from shared.errors import InvalidRequest
from shared.schemas.chat import HostedTool, NamedTool, Tool, ToolChoice, WebSearch

_WEB_SEARCH = re.compile(r"web_search_\d{8}")
# Finds tools among those with `defer_loading`, which other vendors' models get right away.
_TOOL_SEARCH = re.compile(r"tool_search_tool_\w+")
# Tools that the client runs: they cost nothing beside their tokens.
_OF_CLIENTS = re.compile(r"(bash|text_editor|memory|computer|computer_toolset|browser_toolset)_\d{8}")


class WireFunction(Cached):
    type: Literal["custom"] | None = None
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,128}$")]
    description: str | None = None
    input_schema: JsonObject
    strict: bool | None = None
    # The following change how Anthropic's models learn of the tool.
    defer_loading: Ignored = None
    eager_input_streaming: Ignored = None
    input_examples: Ignored = None
    allowed_callers: Ignored = None

    def canonical(self) -> Tool:
        return Tool(
            name=self.name,
            description=self.description,
            parameters=self.input_schema,
            strict=self.strict,
            cache=self.cache,
        )


class WireUserLocation(Wire):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class WireVendorTool(Cached):
    """A tool that is known by its type, of a search of the web with its settings."""

    type: str
    name: str | None = None
    user_location: WireUserLocation | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None

    @property
    def is_web_search(self) -> bool:
        return _WEB_SEARCH.fullmatch(self.type) is not None


def _branch(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return "<function>" if kind in (None, "custom") else "<vendor's>"


WireTool = Annotated[
    Annotated[WireFunction, Tag("<function>")] | Annotated[WireVendorTool, Tag("<vendor's>")], Discriminator(_branch)
]


class WireToolChoice(Wire):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


@dataclass(slots=True)
class Tools:
    """The canonical tools and the choice among them."""

    functions: tuple[Tool, ...] = ()
    choice: ToolChoice | None = None
    parallel: bool | None = None
    web_search: WebSearch | None = None
    hosted: list[HostedTool] = field(default_factory=list)


def canonical_tools(wire: Sequence[WireTool], choice: WireToolChoice | None) -> Tools:
    """Raises InvalidRequest naming the field that is wrong."""
    tools = Tools(functions=tuple(tool.canonical() for tool in wire if isinstance(tool, WireFunction)))
    others = [tool for tool in wire if isinstance(tool, WireVendorTool)]
    forced = _forced(tools.functions, others, choice)
    for tool in others:
        if tool.is_web_search:
            _add_web_search(tools, tool, is_forced=tool is forced)
        else:
            is_optional = _TOOL_SEARCH.fullmatch(tool.type) is not None
            costs_tokens_only = is_optional or _OF_CLIENTS.fullmatch(tool.type) is not None
            is_priced = costs_tokens_only and (tool.cache is None or tool.cache.ttl != "1h")
            tools.hosted.append(
                HostedTool(wire="messages", name=tool.type[:100], optional=is_optional, is_priced=is_priced)
            )
    if choice is not None and forced is None:
        tools.choice = _choice(choice, tools)
    if choice is not None and choice.disable_parallel_tool_use:
        tools.parallel = False
    return tools


def _forced(
    functions: Sequence[Tool], others: Sequence[WireVendorTool], choice: WireToolChoice | None
) -> WireVendorTool | None:
    """The vendor's tool that the choice forces."""
    if choice is None:
        return None
    if choice.type == "any" and not functions and len(others) == 1:
        return others[0]
    return next((tool for tool in others if choice.type == "tool" and tool.name == choice.name), None)


def _add_web_search(tools: Tools, tool: WireVendorTool, *, is_forced: bool) -> None:
    if tool.allowed_domains or tool.blocked_domains:
        # No other vendor's search is limited to domains: a search that is only offered is left out there.
        tools.hosted.append(
            HostedTool(
                wire="messages", name=f"{tool.type} with a list of domains", optional=not is_forced, is_search=True
            )
        )
        return
    place = tool.user_location or WireUserLocation()
    tools.web_search = WebSearch(
        city=place.city,
        country=place.country,
        region=place.region,
        timezone=place.timezone,
        optional=not is_forced,
        field="tools",
    )


def _choice(choice: WireToolChoice, tools: Tools) -> ToolChoice | None:
    match choice.type:
        case "auto":
            return "auto" if tools.functions else None
        case "none":
            return "none"
        case "any":
            if not tools.functions:
                raise InvalidRequest.field("tool_choice", "a tool is required, but there are no tools")
            return "required"
        case "tool":
            if choice.name not in {tool.name for tool in tools.functions}:
                raise InvalidRequest.field("tool_choice.name", "is none of the tools")
            return NamedTool(name=choice.name)
