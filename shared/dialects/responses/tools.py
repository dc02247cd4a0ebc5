"""Tools of the Responses API: functions, custom tools, namespaces of both, and tools that vendors run themselves.

https://developers.openai.com/api/docs/guides/tools. A namespace is flattened: its tools are given to the model under
longer names, and calls of them are told under their own name and `namespace`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from shared.dataclass import dataclass
from shared.dialects.base import Ignored, JsonObject, Wire
from shared.errors import InvalidRequest
from shared.schemas.chat import CustomInput, HostedTool, NamedTool, Tool, ToolChoice, WebSearch

_MAX_NAME = 64  # the longest that every vendor takes
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_WEB_SEARCHES = frozenset(
    {"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"}
)
# What costs only the tokens that the model reads and writes. The calls of these tools are the client's to run.
_PRICED = frozenset(
    {
        *("apply_patch", "apply_patch_call", "apply_patch_call_output", "compaction"),
        *("local_shell", "local_shell_call", "local_shell_call_output"),
    }
)

_Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,128}$")]


class WireFunctionTool(Wire):
    """A function; strict unless it says otherwise, or its schema is not in the form that strict mode asks for."""

    type: Literal["function"]
    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    output_schema: Ignored = None
    allowed_callers: Ignored = None  # nothing but the model calls tools here
    defer_loading: Ignored = None  # all tools are given to the model at once

    @property
    def is_strict(self) -> bool:
        return is_closed(self.parameters) if self.strict is None else self.strict

    def canonical(self, namespace: "WireNamespace | None" = None) -> Tool:
        return Tool(
            name=flat_name(namespace.name if namespace else None, self.name),
            description=_description(self.description, namespace),
            parameters=self.parameters,
            strict=self.is_strict,
        )


class WireGrammar(Wire):
    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class WireCustomTool(Wire):
    """A tool that takes free text, or text of a grammar."""

    type: Literal["custom"]
    name: _Name
    description: str | None = None
    format: WireGrammar | None = None
    allowed_callers: Ignored = None
    defer_loading: Ignored = None

    def canonical(self, namespace: "WireNamespace | None" = None) -> Tool:
        grammar = self.format if self.format and self.format.type == "grammar" else None
        return Tool(
            name=flat_name(namespace.name if namespace else None, self.name),
            description=_description(self.description, namespace),
            custom=CustomInput(syntax=grammar.syntax, definition=grammar.definition) if grammar else CustomInput(),
        )


WireNamespaced = Annotated[WireFunctionTool | WireCustomTool, Field(discriminator="type")]


class WireNamespace(Wire):
    type: Literal["namespace"]
    name: _Name
    description: str | None = None
    tools: Annotated[list[WireNamespaced], Field(fail_fast=True, max_length=1024)]


class WireLocation(Wire):
    type: Literal["approximate"] | None = None
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class WireFilters(Wire):
    allowed_domains: list[str] | None = None


class WireWebSearchTool(Wire):
    type: str
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: WireLocation | None = None
    filters: WireFilters | None = None
    external_web_access: Ignored = None
    search_content_types: Ignored = None

    @property
    def is_filtered(self) -> bool:
        return self.filters is not None and bool(self.filters.allowed_domains)

    def canonical(self) -> WebSearch:
        place = self.user_location or WireLocation()
        return WebSearch(
            context_size=self.search_context_size,
            city=place.city,
            country=place.country,
            region=place.region,
            timezone=place.timezone,
            optional=True,
            field="tools",
        )


class WireHostedTool(Wire):
    """A tool that only OpenAI's own API has; its fields are for OpenAI."""

    type: str


def _tool_branch(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("function", "custom", "namespace"):
        return f"<{kind}>"
    if kind in _WEB_SEARCHES:
        return "<web_search>"
    return "<hosted>" if isinstance(kind, str) else None


WireTool = Annotated[
    Annotated[WireFunctionTool, Tag("<function>")]
    | Annotated[WireCustomTool, Tag("<custom>")]
    | Annotated[WireNamespace, Tag("<namespace>")]
    | Annotated[WireWebSearchTool, Tag("<web_search>")]
    | Annotated[WireHostedTool, Tag("<hosted>")],
    Discriminator(
        _tool_branch, custom_error_type="tool_type", custom_error_message="Input should be a tool with a type"
    ),
]
WireTools = Annotated[list[WireTool], Field(fail_fast=True, max_length=1024)]


class WireChosenTool(Wire):
    """A tool that is named in a choice."""

    type: str
    name: str | None = None
    namespace: str | None = None
    server_label: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list["WireChosenTool"], Field(fail_fast=True, max_length=1024)] | None = None


def _choice_branch(value: Any) -> str:
    return "<string>" if isinstance(value, str) else "<tool>"


WireToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<string>")] | Annotated[WireChosenTool, Tag("<tool>")],
    Discriminator(_choice_branch),
]


@dataclass(slots=True)
class Toolbox:
    """The canonical tools of a request. `names` are the namespaces and own names of tools by their canonical names."""

    tools: dict[str, Tool] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    web_search: WebSearch | None = None
    hosted: dict[str, HostedTool] = field(default_factory=dict)
    choice: ToolChoice | None = None

    def add(self, tools: "Iterable[WireTool]") -> None:
        """Adds tools. One of a name that is there already takes its place."""
        for tool in tools:
            match tool:
                case WireNamespace():
                    for inner in tool.tools:
                        canonical = inner.canonical(tool)
                        self.tools[canonical.name] = canonical
                        self.names[canonical.name] = (tool.name, inner.name)
                case WireFunctionTool() | WireCustomTool():
                    self.tools[tool.name] = tool.canonical()
                case WireWebSearchTool() if not tool.is_filtered:
                    self.web_search = tool.canonical()
                case WireWebSearchTool():
                    # No other vendor's search is limited to domains.
                    self.hosted[tool.type] = HostedTool(wire="responses", name=tool.type, optional=True, is_search=True)
                case _:
                    self.need(tool.type)

    def need(self, name: str) -> None:
        """Notes a tool, or another feature, that only OpenAI's own API has."""
        self.hosted[name] = HostedTool(wire="responses", name=name, is_priced=name in _PRICED)

    def choose(self, choice: str | WireChosenTool | None) -> None:
        """Takes in which of the tools the model may or must call. Raises InvalidRequest."""
        match choice:
            case None | "auto" | "none":
                self.choice = choice
            case "required":
                self._check_any("tool_choice")
                self.choice = "required"
            case WireChosenTool(type="allowed_tools"):
                self._allow(choice)
            case WireChosenTool(type="function" | "custom"):
                name = flat_name(choice.namespace, choice.name or "")
                if name not in self.tools:
                    raise InvalidRequest.field("tool_choice.name", "is none of the tools")
                self.choice = NamedTool(name=name)
            case WireChosenTool(type=kind) if kind in _WEB_SEARCHES and self.web_search is not None:
                self.web_search = self.web_search.model_copy(update={"optional": False})
            case WireChosenTool(type=kind) if kind in self.hosted:
                self.hosted[kind] = self.hosted[kind].model_copy(update={"optional": False})
            case _:
                raise InvalidRequest.field("tool_choice", "is none of the tools")

    def _check_any(self, path: str) -> None:
        if not (self.tools or self.hosted or self.web_search):
            raise InvalidRequest.field(path, "a tool is required, but there are no tools")

    def _allow(self, choice: WireChosenTool) -> None:
        allowed = choice.tools or []
        names = {flat_name(tool.namespace, tool.name) for tool in allowed if tool.name is not None}
        kinds = {tool.type for tool in allowed}
        self.tools = {name: tool for name, tool in self.tools.items() if name in names}
        self.hosted = {name: tool for name, tool in self.hosted.items() if name in kinds}
        if not kinds & _WEB_SEARCHES:
            self.web_search = None
        self._check_any("tool_choice.tools")
        self.choice = choice.mode or "auto"


def flat_name(namespace: str | None, name: str) -> str:
    """The name by which a namespace's tool is given to the model; that of a tool of no namespace is its own."""
    if namespace is None:
        return name
    joined = _UNFIT.sub("_", f"{namespace.rstrip('_')}__{name}")
    if len(joined) <= _MAX_NAME:
        return joined
    return f"{joined[: _MAX_NAME - 9]}_{sha256(joined.encode()).hexdigest()[:8]}"


def _description(description: str | None, namespace: WireNamespace | None) -> str | None:
    parts = [text for text in (description, namespace and namespace.description) if text]
    return "\n\n".join(parts) or None


def is_closed(schema: Any) -> bool:
    """Whether each object in a JSON schema takes exactly the properties that it requires, as strict mode asks for."""
    if isinstance(schema, list):
        return all(map(is_closed, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        if not isinstance(properties, dict) or not isinstance(required, list):
            return False
        if schema.get("additionalProperties") is not False or set(properties) - set(map(str, required)):
            return False
        if not all(map(is_closed, properties.values())):
            return False
    inner = (value for name, value in schema.items() if name not in ("properties", "enum", "const", "default"))
    return all(map(is_closed, inner))


# What a tool holds that is nobody's to read in an answer.
_SECRETS = ("authorization", "headers")


def repeated(tool: Mapping[str, Any], wire: "WireTool") -> JsonObject:
    """A request's tool as the answer repeats it."""
    if isinstance(wire, WireFunctionTool):
        return {"description": None, "parameters": None, **tool, "strict": wire.is_strict}
    return {name: value for name, value in tool.items() if name not in _SECRETS}
