"""Messages as Anthropic's SDKs and agents send them: https://platform.claude.com/docs/en/api/messages/create.

The request becomes a canonical one for every model, and travels with it as it came for Anthropic's own. Knobs that only
Anthropic has are left out elsewhere; features that only Anthropic has are `hosted_tools`, an error elsewhere.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from shared.dialects.base import Defaults, Ignored, JsonObject, Operation, StreamEncoder, Wire, read
from shared.dialects.messages.answer import MessageEncoder, message_body
from shared.dialects.messages.blocks import Cached, WireMessage, WireSystem
from shared.dialects.messages.conversation import Conversation
from shared.dialects.messages.errors import THREAD
from shared.dialects.messages.history import native_body
from shared.dialects.messages.tools import WireTool, WireToolChoice, canonical_tools
from shared.dialects.openai.reasoning import USUAL_EFFORT, nearest_effort
from shared.errors import InvalidRequest
from shared.schemas.chat import ChatRequest, ChatResponse, HostedTool, JsonSchemaFormat, ReasoningEffort
from shared.schemas.context import RequestContext
from shared.schemas.original import Original

_LONGEST_USER = 64
# The headers that are part of a request's meaning: the version of the API and the beta features that it uses.
_HEADERS = ("anthropic-version", "anthropic-beta")
# Edits of the context that generate nothing, so that they cost nothing.
_FREE_EDITS = frozenset({"clear_tool_uses_20250919", "clear_thinking_20251015"})


class WireThinking(Wire):
    """`budget_tokens` counts where it is enabled. What is not displayed is still there to be sent back."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class WireFormat(Wire):
    type: Literal["json_schema"]
    # `schema` would shadow a method of pydantic's.
    json_schema: Annotated[JsonObject, Field(alias="schema")]


class WireOutputConfig(Wire):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: WireFormat | None = None


class WireMetadata(Wire):
    user_id: str | None = None


class WireEdit(Wire):
    type: str


class WireContextManagement(Wire):
    edits: list[WireEdit] | None = None


class WireThread(Wire):
    type: str


class CountedFields(Cached):
    """The fields by which input tokens are counted."""

    model: Annotated[str, Field(min_length=1)]
    # Without fail_fast, a body of millions of wrong items would become millions of errors.
    messages: Annotated[list[WireMessage], Field(fail_fast=True, max_length=100_000)]
    system: WireSystem | None = None
    tools: Annotated[list[WireTool], Field(fail_fast=True, max_length=10_000)] | None = None
    tool_choice: WireToolChoice | None = None
    thinking: WireThinking | None = None
    output_config: WireOutputConfig | None = None
    output_format: WireFormat | None = None  # what `output_config.format` was called in its beta
    compaction: JsonObject | None = None
    context_management: WireContextManagement | None = None
    mcp_servers: list[Any] | None = None
    speed: Literal["standard", "fast"] | None = None
    billing_policy: Ignored = None
    user_profile_id: Ignored = None
    workspace_id: Ignored = None
    betas: Ignored = None  # SDKs send them as a header

    @property
    def has_whole_conversation(self) -> bool:
        """Whether all of the conversation is in the request."""
        return True

    def canonical(self, defaults: Defaults) -> ChatRequest:
        """Raises InvalidRequest naming the field that is wrong."""
        conversation = Conversation(defaults.seal, is_whole=self.has_whole_conversation)
        leading = next((at for at, message in enumerate(self.messages) if message.role != "system"), None)
        if leading is None and self.has_whole_conversation:
            raise InvalidRequest.field("messages", "at least one message of the user is required")
        leading = leading or 0
        system, points = conversation.system(self.system, self.messages[:leading])
        messages = conversation.messages(self.messages[leading:], leading)
        tools = canonical_tools(self.tools or (), self.tool_choice)
        effort, budget = self._effort_and_budget()
        return ChatRequest(
            model=self.model,
            system=system,
            system_cache=points,
            messages=messages,
            lower_max_tokens=True,
            tools=tools.functions,
            tool_choice=tools.choice,
            parallel_tool_calls=tools.parallel,
            web_search=tools.web_search,
            hosted_tools=(*tools.hosted, *conversation.hosted, *self._hosted()),
            response_format=self._response_format(),
            reasoning_effort=effort,
            reasoning_budget=budget,
            cache=self.cache,
        )

    def _response_format(self) -> JsonSchemaFormat | None:
        wire = (self.output_config and self.output_config.format) or self.output_format
        return None if wire is None else JsonSchemaFormat(name="output", json_schema=wire.json_schema, strict=True)

    def _effort_and_budget(self) -> tuple[ReasoningEffort | None, int | None]:
        effort = self.output_config.effort if self.output_config else None
        match self.thinking:
            case None:
                return effort, None
            case WireThinking(type="disabled" | "between_tools"):
                return "none", None
            case WireThinking(type="enabled", budget_tokens=budget) if budget is not None:
                return effort or nearest_effort(budget), budget
            case WireThinking(type="enabled"):
                raise InvalidRequest.field("thinking.budget_tokens", "is required")
            case _:
                return effort or USUAL_EFFORT, None

    def _hosted(self) -> Iterator[HostedTool]:
        """The fields that only Anthropic's models know."""
        if self.mcp_servers:
            yield _feature("mcp_servers")
        if self.compaction is not None:
            yield _feature("compaction", is_priced=True)
        if self.speed == "fast":
            yield _knob("speed")
        edits = self.context_management.edits if self.context_management else None
        if any(edit.type not in _FREE_EDITS for edit in edits or ()):
            yield _knob("context_management")


class MessageFields(CountedFields):
    """The whole body of /v1/messages."""

    max_tokens: Annotated[int, Field(ge=0, le=10_000_000)]
    stream: bool = False
    stop_sequences: Annotated[list[str], Field(fail_fast=True, max_length=8191)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    metadata: WireMetadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    inference_geo: str | None = None
    fallbacks: Ignored = None  # taken from the body before it is parsed
    thread: WireThread | None = None
    diagnostics: Ignored = None
    fallback_credit_token: Ignored = None

    @property
    def has_whole_conversation(self) -> bool:
        return self.thread is None or self.thread.type != "continue"

    def canonical(self, defaults: Defaults) -> ChatRequest:
        return (
            super()
            .canonical(defaults)
            .model_copy(
                update={
                    "max_tokens": self.max_tokens,
                    "stream": self.stream,
                    "stop": tuple(text for text in self.stop_sequences or () if text),
                    "temperature": self.temperature,
                    "top_p": self.top_p,
                    "top_k": self.top_k,
                    "user": self.metadata and _user(self.metadata.user_id),
                    "service_tier": "default" if self.service_tier == "standard_only" else None,
                }
            )
        )

    def _hosted(self) -> Iterator[HostedTool]:
        yield from super()._hosted()
        if self.max_tokens == 0:
            yield HostedTool(wire="messages", name="0, which only fills a cache", field="max_tokens", is_priced=True)
        if self.container is not None:
            yield _feature("container")
        if self.inference_geo not in (None, "global"):
            yield _feature("inference_geo")
        if self.thread is not None:
            # A client that continues a thread which nobody holds sends the whole conversation again.
            yield _knob("thread", is_priced=True) if self.has_whole_conversation else _feature(THREAD)


def _feature(field: str, *, is_priced: bool = False) -> HostedTool:
    return HostedTool(wire="messages", name=field, field=field, is_priced=is_priced)


def _knob(field: str, *, is_priced: bool = False) -> HostedTool:
    return HostedTool(wire="messages", name=field, field=field, optional=True, is_priced=is_priced)


def _user(user_id: str | None) -> str | None:
    """The user in as many characters as every vendor takes."""
    if not user_id or len(user_id) <= _LONGEST_USER:
        return user_id
    return sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()


FieldsT = TypeVar("FieldsT", bound=CountedFields)


def _canonical(wire: type[FieldsT], body: JsonObject, defaults: Defaults) -> tuple[FieldsT, ChatRequest]:
    fields = read(wire, body)
    request = fields.canonical(defaults)
    # Nobody knows what a field costs of which nobody has heard.
    unknown = [name for name, value in body.items() if name not in wire.model_fields and value is not None]
    headers = {name: defaults.headers[name] for name in _HEADERS if name in defaults.headers}
    return fields, request.model_copy(
        update={
            "hosted_tools": (*request.hosted_tools, *(_knob(name[:100]) for name in unknown)),
            "original": Original("messages", native_body(body), headers),
        }
    )


def message(body: JsonObject, defaults: Defaults) -> Operation:
    """/v1/messages."""
    fields, request = _canonical(MessageFields, body, defaults)
    shows_thinking = fields.thinking is None or fields.thinking.display != "omitted"
    return MessageOperation(request, defaults, shows_thinking=shows_thinking)


class MessageOperation:
    """One message, answered as Anthropic does."""

    def __init__(self, request: ChatRequest, defaults: Defaults, *, shows_thinking: bool) -> None:
        self.requests = (request,)
        self._seal = defaults.seal
        self._shows_thinking = shows_thinking

    def body(self, response: ChatResponse, context: RequestContext) -> JsonObject:
        return message_body(response, context, self._seal, shows_thinking=self._shows_thinking)

    def encoder(self, context: RequestContext) -> StreamEncoder:
        return MessageEncoder(context, self._seal, shows_thinking=self._shows_thinking)


def counted(body: JsonObject, defaults: Defaults) -> "CountOperation":
    """/v1/messages/count_tokens."""
    _, request = _canonical(CountedFields, body, defaults)
    return CountOperation(request)


class CountOperation:
    """One count of input tokens."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request

    def body(self, input_tokens: int) -> Mapping[str, int]:
        return {"input_tokens": input_tokens}
