"""Requests of the Responses API: https://developers.openai.com/api/reference/resources/responses/methods/create.

Bounded by the Open Responses specification, https://www.openresponses.org.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from shared.dataclass import dataclass
from shared.dialects.base import Defaults, Ignored, JsonObject, Unsupported, Wire, read
from shared.dialects.openai.chat import MaxTokens, Penalty, Temperature, TopP, WireServiceTier, canonical_tier
from shared.dialects.responses.items import Conversation, WireItems, native_items
from shared.dialects.responses.tools import Toolbox, WireToolChoice, WireTools, repeated
from shared.errors import InvalidRequest
from shared.schemas.chat import ChatRequest, JsonObjectFormat, JsonSchemaFormat, ReasoningEffort, ResponseFormat
from shared.schemas.original import Original

_FORMATS = frozenset({"text", "json_object", "json_schema"})
_LOGPROBS = "message.output_text.logprobs"
# What the gateway does itself, so that a vendor of the same wire format is not asked for it.
_OWN_FIELDS = frozenset({"background", "previous_response_id", "store"})


class WireReasoning(Wire):
    effort: ReasoningEffort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None  # the older name of `summary`
    context: Ignored = None  # which turns' thoughts are kept; all that a client sends are
    mode: Ignored = None


class WireFormat(Wire):
    type: str
    name: str | None = None
    # `schema` would shadow a method of pydantic's.
    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None

    def canonical(self) -> ResponseFormat | None:
        """None for text, and for formats that only OpenAI's own API has."""
        match self.type:
            case "json_object":
                return JsonObjectFormat()
            case "json_schema":
                if self.name is None or self.json_schema is None:
                    missing = "name" if self.name is None else "schema"
                    raise InvalidRequest.field(f"text.format.{missing}", "is required")
                return JsonSchemaFormat(
                    name=self.name, json_schema=self.json_schema, description=self.description, strict=self.strict
                )
        return None


class WireText(Wire):
    format: WireFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class WireCacheOptions(Wire):
    mode: Literal["implicit", "explicit"] = "implicit"
    ttl: Literal["30m", "12h"] | None = None
    comparison_response_id: Ignored = None  # asks OpenAI for diagnostics
    prewarm: Ignored = None


class WireStreamOptions(Wire):
    include_obfuscation: Ignored = None  # deltas are as long as their text


def _input_branch(value: Any) -> str | None:
    return "<text>" if isinstance(value, str) else "<items>" if isinstance(value, list) else None


WireInput = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[WireItems, Tag("<items>")],
    Discriminator(
        _input_branch,
        custom_error_type="input_type",
        custom_error_message="Input should be a string or an array of items",
    ),
]
_Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class CreateBody(Wire):
    """The whole body of /v1/responses: every field of OpenAI's SDK, and those that Open Responses adds."""

    model: Annotated[str, Field(min_length=1)]
    input: WireInput | None = None
    instructions: str | None = None
    tools: WireTools | None = None
    tool_choice: WireToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    reasoning: WireReasoning | None = None
    text: WireText | None = None
    include: list[str] = Field(default_factory=list)
    store: bool = True
    previous_response_id: str | None = None
    background: bool = False
    truncation: Literal["auto", "disabled"] = "disabled"
    metadata: _Metadata | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    prompt_cache_options: WireCacheOptions | None = None
    service_tier: WireServiceTier | None = None
    stream: bool = False
    stream_options: WireStreamOptions | None = None
    conversation: Unsupported = None
    prompt: Unsupported = None
    moderation: Unsupported = None
    access_programs: Ignored = None  # of OpenAI's own models, which get it
    context_management: Ignored = None  # likewise; other vendors' contexts are not compacted
    image: Ignored = None  # likewise
    prompt_cache_retention: Ignored = None  # how long a cache lives at most; vendors drop caches as they see fit


@dataclass(frozen=True, slots=True)
class CreateOperation:
    """One parsed request. `settings` are the fields of the answer that repeat the request's.

    `names` are the namespaces and own names of the tools that were given to the model under others.
    """

    request: ChatRequest
    settings: JsonObject = field(repr=False)
    names: dict[str, tuple[str, str]]


def create(body: JsonObject, defaults: Defaults, context: Sequence[JsonObject] = ()) -> CreateOperation:
    """The request of a body whose input continues from the items of `context`. Raises InvalidRequest."""
    wire = read(CreateBody, body)
    earlier = read(_Context, {"items": list(context)}).items
    toolbox = Toolbox()
    conversation = Conversation(defaults.seal, toolbox)
    toolbox.add(wire.tools or ())
    if wire.instructions:
        conversation.instruct(wire.instructions)
    for at, item in enumerate(earlier):
        conversation.add(item, f"previous_response_id[{at}]")
    if isinstance(wire.input, str):
        conversation.say(wire.input)
    else:
        for at, item in enumerate(wire.input or ()):
            conversation.add(item, f"input[{at}]")
    toolbox.choose(wire.tool_choice)
    system, system_cache, messages = conversation.close()
    text, reasoning = wire.text or WireText(), wire.reasoning or WireReasoning()
    if text.format is not None and text.format.type not in _FORMATS:
        toolbox.need(text.format.type)
    logprobs = _LOGPROBS in wire.include
    request = ChatRequest(
        model=wire.model,
        system=system,
        system_cache=system_cache,
        messages=messages,
        max_tokens=wire.max_output_tokens,
        lower_max_tokens=True,
        temperature=wire.temperature,
        top_p=wire.top_p,
        stream=wire.stream,
        tools=tuple(toolbox.tools.values()),
        tool_choice=toolbox.choice,
        parallel_tool_calls=wire.parallel_tool_calls,
        response_format=text.format.canonical() if text.format else None,
        verbosity=text.verbosity,
        reasoning_effort=reasoning.effort,
        reasoning_summary=reasoning.summary or reasoning.generate_summary,
        web_search=toolbox.web_search,
        hosted_tools=tuple(toolbox.hosted.values()),
        service_tier=canonical_tier(wire.service_tier),
        cache_key=wire.prompt_cache_key,
        explicit_cache=(wire.prompt_cache_options or WireCacheOptions()).mode == "explicit",
        presence_penalty=wire.presence_penalty,
        frequency_penalty=wire.frequency_penalty,
        logprobs=logprobs,
        top_logprobs=wire.top_logprobs if logprobs else None,
        user=wire.user or wire.safety_identifier,
        metadata=wire.metadata,
        original=Original("responses", _original(body, context)),
    )
    return CreateOperation(request, _settings(wire, body), toolbox.names)


class _Context(Wire):
    items: WireItems


def countable(body: JsonObject) -> JsonObject:
    """A request whose input is only to be counted, for which the model may be left out."""
    kept = {name: value for name, value in body.items() if name not in ("background", "stream")}
    return {"model": "Auto", **{name: value for name, value in kept.items() if value is not None}}


def compactable(body: JsonObject) -> JsonObject:
    """A request whose conversation is only to be compacted."""
    of_the_answer = ("background", "max_output_tokens", "store", "stream")
    return {name: value for name, value in body.items() if name not in of_the_answer}


def own_items(body: JsonObject) -> list[JsonObject]:
    """The input of a body as items."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return list(given or ())


def _original(body: JsonObject, context: Sequence[JsonObject]) -> JsonObject:
    """The body as it may be sent to OpenAI's own API, with the whole conversation as its input."""
    kept = {name: value for name, value in body.items() if name not in _OWN_FIELDS and value is not None}
    return {**kept, "input": native_items((*context, *own_items(body)))}


def _settings(wire: CreateBody, body: JsonObject) -> JsonObject:
    """What the answer repeats of the request, with the defaults of what was left out."""
    text, reasoning = wire.text or WireText(), wire.reasoning or WireReasoning()
    sent_text = body.get("text") or {}
    return {
        "instructions": wire.instructions,
        "tools": [repeated(*pair) for pair in zip(body.get("tools") or (), wire.tools or (), strict=True)],
        "tool_choice": body.get("tool_choice") or "auto",
        "parallel_tool_calls": wire.parallel_tool_calls is not False,
        "max_tool_calls": wire.max_tool_calls,
        "max_output_tokens": wire.max_output_tokens,
        "temperature": 1.0 if wire.temperature is None else wire.temperature,
        "top_p": 1.0 if wire.top_p is None else wire.top_p,
        "top_logprobs": wire.top_logprobs or 0,
        "presence_penalty": wire.presence_penalty or 0.0,
        "frequency_penalty": wire.frequency_penalty or 0.0,
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary or reasoning.generate_summary},
        "text": {"format": sent_text.get("format") or {"type": "text"}, "verbosity": text.verbosity or "medium"},
        "truncation": wire.truncation,
        "metadata": wire.metadata or {},
        "user": wire.user,
        "safety_identifier": wire.safety_identifier,
        "prompt_cache_key": wire.prompt_cache_key,
        "previous_response_id": wire.previous_response_id,
        "service_tier": canonical_tier(wire.service_tier) or "default",
        "store": wire.store,
        "background": wire.background,
    }
