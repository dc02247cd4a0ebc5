"""Chat completions as OpenAI's SDKs send and read them, streamed and not.

https://developers.openai.com/api/reference/resources/chat
"""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, assert_never

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import to_json

from shared.dataclass import dataclass
from shared.dialects.base import (
    Defaults,
    Ignored,
    JsonObject,
    Operation,
    StreamEncoder,
    Unsupported,
    Wire,
    data_frame,
    new_id,
    read,
)
from shared.dialects.openai.caching import Cacheable, WireCacheControl, WirePromptCacheOptions
from shared.dialects.openai.errors import OpenAIDialect
from shared.dialects.openai.messages import (
    MAX_MESSAGES,
    WireMessage,
    annotation_body,
    canonical_messages,
    check_parts,
    image_body,
    message_body,
    reasoning_detail,
    tool_call_head,
)
from shared.dialects.openai.reasoning import ReasoningFields
from shared.dialects.openai.unknown_fields import unknown_fields
from shared.dialects.openai.web_search import WireWebSearch
from shared.errors import GatewayError, InvalidRequest
from shared.framing import DONE
from shared.schemas.chat import (
    Candidate,
    ChatRequest,
    ChatResponse,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    ResponseFormat,
    ServiceTier,
    TokenLogprob,
    Tool,
    ToolChoice,
)
from shared.schemas.content import CachePoint, Part, Reasoning
from shared.schemas.context import RequestContext
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    ImageDelta,
    LogprobsDelta,
    OriginalEvent,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.original import Original
from shared.schemas.usage import FinishReason, Usage

MAX_SEED = 2**63 - 1
MAX_METADATA = 64
_DELTA_ENDS = b'},"logprobs":null,"finish_reason":null}]}\n\n'


class WireFunction(Wire):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,128}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def canonical(self, cache: CachePoint | None = None) -> Tool:
        return Tool(
            name=self.name,
            description=self.description,
            parameters=self.parameters,
            strict=self.strict,
            cache=cache,
        )


class WireTool(Cacheable):
    type: Literal["function"] = "function"
    function: WireFunction

    def canonical(self) -> Tool:
        return self.function.canonical(self.cache)


class WireNamed(Wire):
    name: str


class WireAllowedTool(Wire):
    function: WireNamed


class WireAllowedTools(Wire):
    mode: Literal["auto", "required"]
    tools: Annotated[list[WireAllowedTool], Field(fail_fast=True, max_length=128)]


class WireNamedChoice(Wire):
    """A forced tool or, of the type `allowed_tools`, those among which the model may choose."""

    type: Literal["function", "allowed_tools"] | None = None
    function: WireNamed | None = None
    allowed_tools: WireAllowedTools | None = None


def _string_or_other(value: Any) -> str:
    return "<string>" if isinstance(value, str) else "<other>"


_string_first = Discriminator(_string_or_other)

WireToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<string>")] | Annotated[WireNamedChoice, Tag("<other>")],
    _string_first,
]
WireFunctionChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag("<string>")] | Annotated[WireNamed, Tag("<other>")],
    _string_first,
]
WireStop = Annotated[
    Annotated[str, Tag("<string>")] | Annotated[list[str], Field(max_length=4), Tag("<other>")],
    _string_first,
]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
MaxTokens = Annotated[int, Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Field(ge=-MAX_SEED - 1, le=MAX_SEED)]
LogitBias = Annotated[dict[str, float], Field(max_length=1024)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
WireServiceTier = Literal[ServiceTier, "fast", "on_demand", "performance", "standard", "standard_only"]
# OpenAI's names, its own other name for priority, and the names that Groq, Gemini and Anthropic have for tiers.
_TIERS: Mapping[str, ServiceTier] = {
    "auto": "auto",
    "default": "default",
    "flex": "flex",
    "scale": "scale",
    "priority": "priority",
    "fast": "priority",
    "on_demand": "default",
    "performance": "priority",
    "standard": "default",
    "standard_only": "default",
}


def canonical_tier(tier: WireServiceTier | None) -> ServiceTier | None:
    """OpenAI's name of a tier."""
    return None if tier is None else _TIERS[tier]


class WireJsonSchema(Wire):
    name: str
    # `schema` would shadow a method of pydantic's.
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class WireResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: WireJsonSchema | None = None

    def canonical(self) -> ResponseFormat | None:
        match self.type:
            case "text":
                return None
            case "json_object":
                return JsonObjectFormat()
            case "json_schema":
                if self.json_schema is None:
                    raise InvalidRequest.field("response_format.json_schema", "is required")
                wire = self.json_schema
                return JsonSchemaFormat(
                    name=wire.name, json_schema=wire.json_schema, description=wire.description, strict=wire.strict
                )


class WireStreamOptions(Wire):
    include_usage: bool = False
    include_obfuscation: Ignored = None  # chunks are as long as their text


class ChatFields(Wire):
    """The fields that a chat request has in every dialect."""

    model: Annotated[str, Field(min_length=1)]
    # Without fail_fast, a body of millions of wrong items would become millions of errors.
    messages: Annotated[list[WireMessage], Field(fail_fast=True, max_length=MAX_MESSAGES), BeforeValidator(check_parts)]
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool = False
    tools: Annotated[list[WireTool], Field(fail_fast=True, max_length=128)] | None = None
    tool_choice: WireToolChoice | None = None

    def canonical(self) -> ChatRequest:
        """Raises InvalidRequest naming the field that is wrong."""
        return ChatRequest(**self.canonical_fields())

    def canonical_fields(self) -> JsonObject:
        """The fields of the canonical request; for the rest as `canonical`."""
        system, system_cache, messages = canonical_messages(self.messages)
        tools = tuple(tool.canonical() for tool in self.tools or ())
        choice, tools = _tool_choice(self.tool_choice, tools)
        return {
            "model": self.model,
            "system": system,
            "system_cache": system_cache,
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stream": self.stream,
            "tools": tools,
            "tool_choice": choice,
        }


def stop_sequences(stop: str | list[str] | None) -> tuple[str, ...]:
    """`stop` as a tuple; an empty string stops nothing."""
    return tuple(text for text in ([stop] if isinstance(stop, str) else stop or []) if text)


def _tool_choice(
    choice: str | WireNamedChoice | None, tools: tuple[Tool, ...]
) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """The choice, and the tools among which it leaves the model to choose."""
    match choice:
        case None | "auto" | "none":
            return choice, tools
        case "required":
            if not tools:
                raise InvalidRequest.field("tool_choice", "a tool is required, but there are no tools")
            return "required", tools
        case WireNamedChoice(type="allowed_tools" | None, allowed_tools=WireAllowedTools() as allowed):
            names = {tool.function.name for tool in allowed.tools}
            left = tuple(tool for tool in tools if tool.name in names)
            if not left:
                raise InvalidRequest.field("tool_choice.allowed_tools.tools", "names none of the tools")
            return allowed.mode, left
        case WireNamedChoice(type="function" | None, function=WireNamed() as function):
            if function.name not in {tool.name for tool in tools}:
                raise InvalidRequest.field("tool_choice.function.name", "is none of the tools")
            return NamedTool(name=function.name), tools
        case _:
            raise InvalidRequest.field("tool_choice", "names no tool")


class OpenAIChat(ChatFields, ReasoningFields):
    """The whole body of /v1/chat/completions: every field of OpenAI's SDK, and what compatible vendors add to them."""

    max_completion_tokens: MaxTokens | None = None
    temperature: Temperature | None = 1.0
    n: Annotated[int, Field(ge=1, le=128)] = 1
    stop: WireStop | None = None
    seed: Seed | None = None
    stream_options: WireStreamOptions | None = None
    parallel_tool_calls: bool | None = None
    response_format: WireResponseFormat | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: Annotated[list[Literal["text", "image", "audio"]], Field(fail_fast=True, max_length=16)] | None = None
    user: str | None = None
    metadata: Annotated[dict[str, str | None], Field(max_length=MAX_METADATA)] | None = None
    safety_identifier: str | None = None  # OpenAI's successor of `user`
    functions: Annotated[list[WireFunction], Field(fail_fast=True, min_length=1, max_length=128)] | None = None
    function_call: WireFunctionChoice | None = None
    web_search_options: WireWebSearch | None = None
    service_tier: WireServiceTier | None = None
    prompt_cache_key: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    prompt_cache_options: WirePromptCacheOptions | None = None
    cache_control: WireCacheControl | None = None
    audio: Unsupported = None
    moderation: Unsupported = None
    store: Ignored = None  # the gateway keeps nothing; the answer is the same
    prediction: Ignored = None  # may make the same answer faster, on models that OpenAI has retired
    prompt_cache_retention: Ignored = None  # how long a cache lives at most; vendors drop caches as they see fit

    def canonical_fields(self) -> JsonObject:
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequest.field("top_logprobs", "needs logprobs")
        if "audio" in (self.modalities or ()):
            raise InvalidRequest.field("modalities", "audio output is not supported in chat")
        effort, budget = self.effort_and_budget()
        return {
            **super().canonical_fields(),
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "n": self.n,
            "stop": stop_sequences(self.stop),
            "seed": self.seed,
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": self.response_format and self.response_format.canonical(),
            "reasoning_effort": effort,
            "reasoning_budget": budget,
            "web_search": self.web_search_options and self.web_search_options.canonical(),
            "service_tier": canonical_tier(self.service_tier),
            "cache": self.cache_control and self.cache_control.canonical(),
            "cache_key": self.prompt_cache_key,
            "explicit_cache": (self.prompt_cache_options or WirePromptCacheOptions()).mode == "explicit",
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": self.logit_bias,
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs,
            "verbosity": self.verbosity,
            "image_output": "image" in (self.modalities or ()),
            "user": self.user or self.safety_identifier,
            "metadata": self.metadata and {name: value for name, value in self.metadata.items() if value is not None},
            **self._function_fields(),
        }

    def _function_fields(self) -> JsonObject:
        """The canonical tools of `functions`. Only one of them is called at a time."""
        if self.functions is None:
            if self.function_call not in (None, "none"):
                raise InvalidRequest.field("function_call", "needs functions")
            return {}
        if self.tools:
            raise InvalidRequest.field("functions", "cannot be combined with tools")
        tools = tuple(function.canonical() for function in self.functions)
        choice: ToolChoice | None
        match self.function_call:
            case None | "auto" | "none" as choice:
                pass
            case WireNamed(name=name) if name in {tool.name for tool in tools}:
                choice = NamedTool(name=name)
            case _:
                raise InvalidRequest.field("function_call.name", "is none of the functions")
        return {"tools": tools, "tool_choice": choice, "parallel_tool_calls": False}


OpenAIChatT = TypeVar("OpenAIChatT", bound=OpenAIChat)


def chat(body: JsonObject, defaults: Defaults) -> Operation:
    """/v1/chat/completions, where an answer is capped at the operator's default unless the caller says otherwise."""
    return chat_operation(OpenAIChat, body, defaults, original=unknown_fields(body, OpenAIChat.model_fields))


def chat_operation(
    wire: type[OpenAIChatT], body: JsonObject, defaults: Defaults | None, *, original: Original | None = None
) -> Operation:
    """A chat request of OpenAI's shape; without `defaults` an answer that the caller does not cap is not capped."""
    fields = read(wire, body)
    canonical = fields.canonical_fields() | {"original": original}
    if canonical["max_tokens"] is None and defaults is not None:
        canonical["max_tokens"] = defaults.max_tokens
        canonical["thinking_tokens"] = max(defaults.thinking_tokens, canonical["reasoning_budget"] or 0)
    options = AnswerOptions(
        include_usage=fields.stream_options is not None and fields.stream_options.include_usage,
        function_calls=fields.functions is not None,
        hides_reasoning=fields.hides_reasoning,
    )
    return ChatOperation(ChatRequest(**canonical), options)


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """What the request says of the answer's form.

    `function_calls` is OpenAI's legacy form of tool calls: one, in `message.function_call`.
    """

    include_usage: bool = False
    function_calls: bool = False
    hides_reasoning: bool = False


class ChatOperation:
    """One chat completion, answered as OpenAI does."""

    def __init__(self, request: ChatRequest, options: AnswerOptions | None = None) -> None:
        self.requests = (request,)
        self._options = options or AnswerOptions()

    def body(self, response: ChatResponse, context: RequestContext) -> JsonObject:
        return {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": context.meter.answered_as,
            "choices": [_choice_body(candidate, self._options) for candidate in response.candidates],
            "usage": usage_body(response.usage),
            **told(service_tier=response.service_tier, system_fingerprint=response.system_fingerprint),
        }

    def encoder(self, context: RequestContext) -> StreamEncoder:
        return ChatEncoder(context, self._options)


def _choice_body(candidate: Candidate, options: AnswerOptions) -> JsonObject:
    message = message_body(_shown(candidate.parts, options), candidate.citations)
    if options.function_calls and (calls := message.pop("tool_calls", None)):
        message["function_call"] = calls[0]["function"]
    return {
        "index": candidate.index,
        "message": message,
        "logprobs": None if candidate.logprobs is None else logprobs_body(candidate.logprobs),
        "finish_reason": _finish_reason(candidate.finish_reason, options),
        **told(native_finish_reason=candidate.native_finish_reason),
    }


def _shown(parts: Sequence[Part], options: AnswerOptions) -> Sequence[Part]:
    if not options.hides_reasoning:
        return parts
    return [part for part in parts if not isinstance(part, Reasoning)]


def _finish_reason(reason: FinishReason, options: AnswerOptions) -> str:
    return "function_call" if options.function_calls and reason is FinishReason.TOOL_CALLS else reason.value


def told(**fields: str | None) -> JsonObject:
    """The fields that a vendor has told."""
    return {name: value for name, value in fields.items() if value is not None}


class ChatEncoder:
    """Events as OpenAI's chunks: one id throughout, the role first, usage in a last chunk of its own if asked for.

    What all chunks begin and end with is encoded once, since there is a chunk for each token.
    """

    def __init__(self, context: RequestContext, options: AnswerOptions) -> None:
        self._fields = self._head = b""
        self._answer: JsonObject = {}
        self._options = options
        self._usage = Usage()
        self._opened: set[int] = set()
        self._images: dict[int, int] = {}
        self._citations: dict[int, int] = {}
        self._thoughts = DetailNumbering()
        self._context = context

    def event(self, event: ChatEvent) -> bytes:
        if isinstance(event, TextDelta) and event.index in self._opened:
            self._thoughts.interrupt(event.index)
            return b'%b%d,"delta":{"content":%b%b' % (self._head, event.index, to_json(event.text), _DELTA_ENDS)
        match event:
            case Started():
                self._start(event)
                return b""
            case Finished():
                self._usage += event.usage
                self._set_tier(event.service_tier)
                reason = _finish_reason(event.reason, self._options)
                return self._chunk(event.index, {}, finish_reason=reason, native_reason=event.native_reason)
            case OriginalEvent():
                return b""
            case LogprobsDelta():
                return self._chunk(event.index, {}, logprobs=logprobs_body(event.tokens))
            case ImageDelta():
                self._thoughts.interrupt(event.index)
                at = self._images[event.index] = self._images.get(event.index, -1) + 1
                return self._chunk(event.index, {"images": [image_body(event.media_type, event.data, at)]})
            case CitationDelta():
                at = self._citations[event.index] = self._citations.get(event.index, -1) + 1
                return self._chunk(event.index, {"annotations": [{"index": at, **annotation_body(event.citation)}]})
            case ReasoningDelta() if self._options.hides_reasoning:
                return b""
            case ToolCallStarted() | ToolCallDelta() if self._options.function_calls:
                self._thoughts.interrupt(event.index)
                return self._chunk(event.index, _function_call_delta(event)) if event.position == 0 else b""
            case _:
                return self._chunk(event.index, delta_body(event, self._thoughts))

    def _start(self, event: Started) -> None:
        """The model is known only now; there may be a Started for each of several calls."""
        if not self._head:
            self._answer = {
                "id": new_id("chatcmpl-"),
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": self._context.meter.answered_as,
                **told(service_tier=event.service_tier, system_fingerprint=event.system_fingerprint),
            }
            self._encode_head()

    def _set_tier(self, tier: str | None) -> None:
        """Of a vendor that tells the tier at the end."""
        if tier is not None and self._answer.get("service_tier") != tier:
            self._answer["service_tier"] = tier
            self._encode_head()

    def _encode_head(self) -> None:
        self._fields = to_json(self._answer)[:-1]
        self._head = b'data: %b,"choices":[{"index":' % self._fields

    def _chunk(
        self,
        index: int,
        delta: JsonObject,
        *,
        finish_reason: str | None = None,
        native_reason: str | None = None,
        logprobs: JsonObject | None = None,
    ) -> bytes:
        opening = b""
        if index not in self._opened:
            self._opened.add(index)
            opening = self._choice(index, {"role": "assistant", "content": "", "refusal": None})
        return opening + self._choice(index, delta, finish_reason, native_reason, logprobs)

    def _choice(
        self,
        index: int,
        delta: JsonObject,
        finish_reason: str | None = None,
        native_reason: str | None = None,
        logprobs: JsonObject | None = None,
    ) -> bytes:
        return b'%b%d,"delta":%b,"logprobs":%b,"finish_reason":%b%b}]}\n\n' % (
            self._head,
            index,
            to_json(delta),
            to_json(logprobs),
            to_json(finish_reason),
            b',"native_finish_reason":%b' % to_json(native_reason) if native_reason is not None else b"",
        )

    def error(self, error: GatewayError) -> bytes:
        return data_frame(OpenAIDialect().error(error, self._context.request.id))

    def end(self) -> bytes:
        if not self._options.include_usage:
            return DONE
        return b'data: %b,"choices":[],"usage":%b}\n\n%b' % (self._fields, to_json(usage_body(self._usage)), DONE)


class DetailNumbering:
    """Numbers the blocks of thinking of each candidate, so that a client can join a block's fragments by `index`."""

    def __init__(self) -> None:
        self._at: dict[int, int] = {}
        self._open: set[int] = set()

    def interrupt(self, index: int) -> None:
        """Ends the candidate's open block because other content follows; a later signature may belong to that."""
        self._open.discard(index)

    def detail(self, delta: ReasoningDelta) -> JsonObject:
        """A fragment of `reasoning_details`; what SDKs would concatenate is only in a block's first fragment."""
        if first := delta.redacted or delta.index not in self._open:
            self._at[delta.index] = self._at.get(delta.index, -1) + 1
            self._open.add(delta.index)
        if delta.signature is not None:
            self._open.discard(delta.index)
        thought = Reasoning(text=delta.text, signature=delta.signature, redacted=delta.redacted, issuer=delta.issuer)
        fragment = reasoning_detail(thought, self._at[delta.index])
        if not first:
            del fragment["format"]
        return fragment


def _function_call_delta(event: ToolCallStarted | ToolCallDelta) -> JsonObject:
    """A fragment of a legacy function call."""
    if isinstance(event, ToolCallStarted):
        return {"function_call": {"name": event.name, "arguments": ""}}
    return {"function_call": {"arguments": event.arguments}}


def delta_body(
    event: TextDelta | RefusalDelta | ReasoningDelta | ToolCallStarted | ToolCallDelta, thoughts: DetailNumbering
) -> JsonObject:
    """OpenAI's `delta` of an event, which other dialects use as well."""
    if not isinstance(event, ReasoningDelta):
        thoughts.interrupt(event.index)
    match event:
        case TextDelta():
            return {"content": event.text}
        case RefusalDelta():
            return {"refusal": event.text}
        case ReasoningDelta():
            delta: JsonObject = {"reasoning_content": event.text} if event.text else {}
            return {**delta, "reasoning_details": [thoughts.detail(event)]} if event.issuer else delta
        case ToolCallStarted():
            head = tool_call_head(event.id, event.name, "", event.signature, event.issuer)
            return {"tool_calls": [{"index": event.position, **head}]}
        case ToolCallDelta():
            return {"tool_calls": [{"index": event.position, "function": {"arguments": event.arguments}}]}
        case _:
            assert_never(event)


def usage_body(usage: Usage) -> JsonObject:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "image_tokens": usage.input_image_tokens,
            "audio_tokens": usage.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "image_tokens": usage.output_image_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }


def logprobs_body(tokens: Sequence[TokenLogprob]) -> JsonObject:
    """OpenAI's logprobs object of a choice."""
    return {"content": [token.model_dump() for token in tokens], "refusal": None}
