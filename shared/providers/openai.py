"""OpenAI's Chat Completions, as OpenAI and every vendor that is compatible with it speak it.

Wire format: https://developers.openai.com/api/reference/resources/chat. What a vendor does differently is either a
rule on its catalog row (see the top of `catalog.toml`) or, in answers, simply understood wherever it comes from.
"""

import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from shared.errors import ContentFiltered, GatewayError, InvalidRequest, UnsupportedFeature, UpstreamError
from shared.framing import Frame
from shared.providers.base import Call, clean, error_body, error_for_status, truncated
from shared.providers.json_schema import Budget, pointed_at
from shared.schemas.chat import (
    ChatRequest,
    ChatResponse,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    TokenLogprob,
    Tool,
    ToolChoice,
    TopLogprob,
)
from shared.schemas.content import (
    Audio,
    File,
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)
from shared.schemas.events import (
    ChatCollector,
    ChatEvent,
    Finished,
    ImageDelta,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.model import Capability, Model
from shared.schemas.usage import FinishReason, Usage

NAME = "openai"

# Anything else ends a candidate as well, and counts as a stop.
_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,  # Together
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,  # Mistral: the context is full
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
# Mistral and OpenRouter; DeepSeek when it runs out of capacity halfway.
_FAILED_REASONS = frozenset({"error", "insufficient_system_resource"})

# The request's fields that a rule takes out.
_LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "default_temperature_only": ("presence_penalty", "frequency_penalty", "logit_bias"),
    "no_logit_bias": ("logit_bias",),
    "no_parallel_tool_calls": ("parallel_tool_calls",),
    "no_penalties": ("presence_penalty", "frequency_penalty"),
    "no_seed": ("seed", "random_seed"),
    "no_stop": ("stop",),
    "no_stream_usage": ("stream_options",),
    "no_user": ("user",),
    "no_verbosity": ("verbosity",),
}
# A rule, the effort that it says is refused, and the nearest one that is not.
_REFUSED_EFFORTS: tuple[tuple[str, str, str], ...] = (
    ("always_thinks", "none", "low"),
    ("no_minimal_effort", "minimal", "low"),
    ("no_max_effort", "max", "xhigh"),
    ("no_xhigh_effort", "xhigh", "high"),
)

# Where a kind of OpenRouter's reasoning_details has its text; the other kinds are opaque.
_DETAIL_TEXT = {"reasoning.text": "text", "reasoning.summary": "summary"}

# https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas; the list of what strict mode
# refuses is longer in OpenAI's own schema helpers than in that guide.
_REFUSED_IN_STRICT_SCHEMAS = frozenset(
    {
        "$schema",
        "contains",
        "default",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "maxProperties",
        "minContains",
        "minProperties",
        "not",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}

_FILTER_CODES = frozenset(
    {
        "bio_policy",
        "content_filter",
        "content_policy_violation",
        "cyber_policy",
        "image_content_policy_violation",
        "invalid_prompt",
        "misalignment_policy_violation",
        "moderation_blocked",
    }
)
# DeepSeek and xAI have no code of their own for it.
_FILTER_MESSAGES = re.compile(r"content exists risk|content violates usage guidelines", re.IGNORECASE)
_BAD_KEY_CODES = frozenset({"authentication_error", "invalid_api_key"})
_BAD_KEY_MESSAGES = re.compile(r"(incorrect|invalid) api key|api key not valid", re.IGNORECASE)  # xAI: a 400
# The status that an error inside a stream would have had.
_STATUS_OF_CODE = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout": 504,
}


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """OpenAI and compatible vendors; the base URL is what `/chat/completions` is appended to.

    Not sent: `metadata`, which OpenAI takes only together with `store`, that is, for conversations it shall keep.
    """

    name: str = NAME

    def auth(self, api_key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def chat(self, request: ChatRequest, model: Model) -> Call:
        """The call of https://developers.openai.com/api/reference/resources/chat/subresources/completions.

        Raises UnsupportedFeature for log probabilities, image output or a forced tool call that the model lacks, and
        InvalidRequest for a schema that is too intricate.
        """
        return Call("/chat/completions", _payload(request, model))

    def chat_response(self, body: Any) -> ChatResponse:
        """The response of a chat completion object. Raises the GatewayError of an error sent with status 200."""
        _raise_error(body)
        if not body["choices"]:
            raise ValueError("an answer without choices")
        collector = ChatCollector()
        reader = _Reader()
        for event in (*reader.read({**body, "choices": _as_chunk(body["choices"])}), *reader.end(complete=True)):
            collector.add(event)
        return collector.response()

    async def chat_events(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[ChatEvent, None]:
        """The events of chat completion chunks.

        The stream is complete at `[DONE]`, or at its end when every candidate has a finish reason.
        """
        reader = _Reader()
        done = False
        async for frame in frames:
            if frame.data.strip() == b"[DONE]":
                done = True
                break
            chunk = json.loads(frame.data)
            if not isinstance(chunk, dict):
                continue
            _raise_error(chunk, named_error=frame.event == "error")
            for event in reader.read(chunk):
                yield event
        for event in reader.end(complete=done):
            yield event

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """The error of https://developers.openai.com/api/docs/guides/error-codes, or a compatible vendor's own."""
        return _error(status, headers, error_body(body))


adapter = OpenAIAdapter()


# --- request ---


def _payload(request: ChatRequest, model: Model) -> JsonObject:
    rules = model.rules
    budget = Budget()
    effort = _effort(request, model)
    samples = "default_temperature_only" not in rules or ("tools_without_reasoning" in rules and effort == "none")
    if lacking := _lacking_feature(request, model, samples=samples):
        raise UnsupportedFeature(f"The model '{model.id}' does not support {lacking}.")
    fields: JsonObject = {
        "model": model.upstream,
        "messages": _messages(request, rules),
        "max_completion_tokens" if "max_completion_tokens" in rules else "max_tokens": request.max_tokens,
        "temperature": request.temperature if samples else None,
        "top_p": request.top_p if samples else None,
        "n": request.n if request.n > 1 else None,
        "stop": list(request.stop) or None,
        "random_seed" if "random_seed" in rules else "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "logit_bias": _logit_bias(request.logit_bias),
        "logprobs": request.logprobs or None,
        "top_logprobs": request.top_logprobs if request.logprobs else None,
        "verbosity": request.verbosity,
        "user": request.user,
        "response_format": _response_format(request, rules, budget),
        "modalities": ["image", "text"] if request.image_output else None,
        "stream": request.stream or None,
        "stream_options": {"include_usage": True} if request.stream else None,
        **_effort_fields(effort, rules),
        **_tool_fields(request, rules, budget),
    }
    left_out = {name for rule in rules for name in _LEFT_OUT.get(rule, ())}
    return {name: value for name, value in fields.items() if value is not None and name not in left_out}


def _lacking_feature(request: ChatRequest, model: Model, *, samples: bool) -> str | None:
    """What the request needs and the model lacks; `samples` says whether it takes sampling parameters."""
    if request.logprobs and ("no_logprobs" in model.rules or not samples):
        return "logprobs"
    if request.image_output and Capability.IMAGE_OUTPUT not in model.capabilities:
        return "image output"
    if "no_forced_tool_choice" in model.rules and request.tools and request.tool_choice not in (None, "auto", "none"):
        return "a tool_choice that forces a tool"
    return None


def _effort(request: ChatRequest, model: Model) -> str | None:
    """How much the model shall reason, None for as much as it likes."""
    rules = model.rules
    if "no_reasoning_effort" in rules or Capability.REASONING not in model.capabilities:
        return None
    if "tools_without_reasoning" in rules and request.tools:
        return "none"
    effort: str | None = request.reasoning_effort
    if effort is None and "reasoning_opt_in" in rules:
        effort = "none"
    for rule, refused, nearest in _REFUSED_EFFORTS:
        if rule in rules and effort == refused:
            effort = nearest
    return effort


def _effort_fields(effort: str | None, rules: frozenset[str]) -> JsonObject:
    if effort == "none" and "thinking_switch" in rules:
        # https://api-docs.deepseek.com/guides/thinking_mode
        return {"thinking": {"type": "disabled"}}
    return {"reasoning_effort": effort}


def _logit_bias(bias: dict[str, float] | None) -> dict[str, float] | None:
    """OpenAI's biases are integers."""
    if bias is None:
        return None
    return {token: int(value) if value.is_integer() else value for token, value in bias.items()}


def _tool_fields(request: ChatRequest, rules: frozenset[str], budget: Budget) -> JsonObject:
    if not request.tools:
        return {}  # tool_choice and parallel_tool_calls are refused without tools
    return {
        "tools": [_tool(tool, rules, budget) for tool in request.tools],
        "tool_choice": _tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
    }


def _tool(tool: Tool, rules: frozenset[str], budget: Budget) -> JsonObject:
    strict = None if "no_json_schema_strict" in rules else tool.strict
    parameters = tool.parameters or _NO_PARAMETERS  # Mistral requires them
    if strict:
        parameters = _strict_schema(parameters, budget)
    function: JsonObject = {"name": tool.name, "parameters": parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice | None) -> Any:
    return {"type": "function", "function": {"name": choice.name}} if isinstance(choice, NamedTool) else choice


def _response_format(request: ChatRequest, rules: frozenset[str], budget: Budget) -> JsonObject | None:
    wanted = request.response_format
    match wanted:
        case None:
            return None
        case JsonObjectFormat():
            return {"type": "json_object"}
        case JsonSchemaFormat():
            strict = None if "no_json_schema_strict" in rules else wanted.strict
            schema: JsonObject = {
                "name": wanted.name,
                "schema": _strict_schema(wanted.json_schema, budget) if strict else wanted.json_schema,
            }
            if wanted.description is not None:
                schema["description"] = wanted.description
            if strict is not None:
                schema["strict"] = strict
            return {"type": "json_schema", "json_schema": schema}
        case _:
            assert_never(wanted)


# --- JSON schema for strict mode ---


def _strict_schema(schema: JsonObject, budget: Budget) -> JsonObject:
    """The schema with what strict mode refuses taken out or inlined, and with objects closed.

    What satisfies the result satisfies the original but for the keywords taken out. Properties stay as optional as
    they were: OpenAI wants all of them required and says so itself. Raises InvalidRequest for a schema that is none,
    or grows beyond the budget.
    """
    try:
        return _StrictSchema(schema, budget).clean_object(schema, frozenset())
    except RecursionError:
        raise InvalidRequest("The JSON schema is nested too deeply.") from None
    except (TypeError, AttributeError):
        raise InvalidRequest("The JSON schema is not one.") from None


@dataclass(slots=True)
class _StrictSchema:
    """A run over one schema."""

    root: JsonObject
    budget: Budget

    def clean(self, node: Any, inlined: frozenset[str]) -> Any:
        """The node as strict mode takes it; `inlined` are the references that it is a part of."""
        return self.clean_object(node, inlined) if isinstance(node, dict) else node

    def clean_object(self, node: JsonObject, inlined: frozenset[str]) -> JsonObject:
        self.budget.visit(node)
        node = _kept(node)
        reference = node.get("$ref")
        if reference is not None and (len(node) == 1 or reference in inlined):
            return {"$ref": reference}  # in a recursive schema, what stands beside it is lost
        if node.keys() == {"allOf"} and len(node["allOf"]) == 1:
            return self.clean_object(node["allOf"][0], inlined)
        if reference is not None or "allOf" in node:
            followed: set[str] = set()
            node = self._flat(node, inlined, followed)
            inlined = inlined.union(followed)
        return self._clean_children(node, inlined)

    def _flat(self, node: JsonObject, inlined: frozenset[str], followed: set[str]) -> JsonObject:
        """The node with its reference and its allOf merged into it; adds to `followed` the references so resolved."""
        own = _kept(node)
        members = own.pop("allOf", None) or []
        reference = own.pop("$ref", None)
        if reference in inlined:
            raise InvalidRequest("The JSON schema is recursive through allOf.")
        if reference is not None and reference not in followed:
            followed.add(reference)
            members = [self._target(reference), *members]
        for member in members:
            self.budget.visit(member)
        return self._merged([*(self._flat(member, inlined, followed) for member in members), own])

    def _merged(self, schemas: Iterable[JsonObject]) -> JsonObject:
        """One schema that stands for all of them: properties and required add up, otherwise the last one wins."""
        merged: JsonObject = {}
        for schema in schemas:
            self.budget.spend(len(schema))
            for key, value in schema.items():
                known = merged.get(key)
                if isinstance(known, dict) and isinstance(value, dict):
                    self.budget.spend(len(known) + len(value))
                    merged[key] = {**known, **value}
                elif key == "required" and known is not None:
                    self.budget.spend(len(known) + len(value))
                    merged[key] = list(dict.fromkeys([*known, *value]))
                else:
                    merged[key] = value
        return merged

    def _clean_children(self, node: JsonObject, inlined: frozenset[str]) -> JsonObject:
        alternatives = [*(node.pop("anyOf", None) or ()), *(node.pop("oneOf", None) or ())]
        if alternatives:
            node["anyOf"] = [self.clean(alternative, inlined) for alternative in alternatives]
        for key in ("properties", "$defs", "definitions"):
            if key in node:
                node[key] = {name: self.clean(child, inlined) for name, child in node[key].items()}
        for key in ("items", "additionalProperties"):
            if key in node:
                node[key] = self.clean(node[key], inlined)
        kinds = node.get("type")
        if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
            node.setdefault("additionalProperties", False)
        return node

    def _target(self, reference: str) -> JsonObject:
        target = pointed_at(self.root, reference)
        if not isinstance(target, dict):
            raise InvalidRequest("The JSON schema refers to a definition that it does not have.")
        return target


def _kept(node: JsonObject) -> JsonObject:
    return {key: value for key, value in node.items() if key not in _REFUSED_IN_STRICT_SCHEMAS}


# --- messages ---


def _messages(request: ChatRequest, rules: frozenset[str]) -> list[JsonObject]:
    """System text goes out as `system`: compatible vendors know no `developer`, and OpenAI converts it by itself.

    Media may only stand in user messages. That of a tool result or of the assistant follows in a user message, after
    all tool results, since nothing may come between those and their calls.
    """
    messages: list[JsonObject] = []
    carried: list[JsonObject] = []
    if request.system:
        messages.append({"role": "system", "content": request.system})
    for message in request.messages:
        if carried and message.role != "tool":
            messages.append({"role": "user", "content": carried})
            carried = []
        messages += _wire_messages(message, rules)
        carried += _carried(message, rules)
    if carried:
        messages.append({"role": "user", "content": carried})
    return messages


def _wire_messages(message: Message, rules: frozenset[str]) -> list[JsonObject]:
    named = {"name": message.name} if message.name else {}
    match message.role:
        case "system":
            text = "\n".join(part.text for part in message.parts if isinstance(part, Text))
            return [{"role": "system", "content": text, **named}]
        case "assistant":
            return [{**_assistant(message.parts, rules), **named}]
        case "user" | "tool":
            results = [_tool_message(part, rules) for part in message.parts if isinstance(part, ToolResult)]
            content = [wire for part in message.parts if (wire := _content_part(part)) is not None]
            if message.role == "user" and (content or not results):
                results.append({"role": "user", "content": _plain_where_possible(content), **named})
            return results
        case _:
            assert_never(message.role)


def _plain_where_possible(content: list[JsonObject]) -> str | list[JsonObject]:
    """A lone text as a string, which every vendor takes."""
    if not content:
        return ""
    return str(content[0]["text"]) if len(content) == 1 and content[0]["type"] == "text" else content


def _content_part(part: Part) -> JsonObject | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            image = {"url": _url(part.source)}
            return {"type": "image_url", "image_url": {**image, "detail": part.detail} if part.detail else image}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File():
            name = part.name or "document." + part.source.media_type.rpartition("/")[2]
            return {"type": "file", "file": {"filename": name, "file_data": _url(part.source)}}
        case Reasoning() | Refusal() | ToolCall() | ToolResult():
            return None
        case _:
            assert_never(part)


def _url(source: Inline | Remote) -> str:
    match source:
        case Inline():
            return f"data:{source.media_type};base64,{source.data}"
        case Remote():
            return source.url
        case _:
            assert_never(source)


def _tool_message(result: ToolResult, rules: frozenset[str]) -> JsonObject:
    texts = [part.text for part in result.content if isinstance(part, Text)]
    if not texts and result.content:
        texts = ["See the next user message."]
    return {"role": "tool", "tool_call_id": _call_id(result.call_id, rules), "content": "\n".join(texts)}


def _carried(message: Message, rules: frozenset[str]) -> list[JsonObject]:
    """The message's media that its own role cannot carry, each with a text that says where it belongs."""
    origins: list[tuple[str, Iterable[Part]]] = [
        (f"Result of tool call {_call_id(part.call_id, rules)}:", part.content)
        for part in message.parts
        if isinstance(part, ToolResult)
    ]
    if message.role == "assistant":
        origins.append(("From the assistant's message:", message.parts))
    carried: list[JsonObject] = []
    for origin, parts in origins:
        media = [wire for part in parts if (wire := _content_part(part)) is not None and wire["type"] != "text"]
        if media:
            carried += [{"type": "text", "text": origin}, *media]
    return carried


def _assistant(parts: tuple[Part, ...], rules: frozenset[str]) -> JsonObject:
    text = "".join(part.text for part in parts if isinstance(part, Text))
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    calls = [_tool_call(part, rules) for part in parts if isinstance(part, ToolCall)]
    message: JsonObject = {"role": "assistant", "content": text or (None if calls else "")}
    if refusal:
        message["refusal"] = refusal
    if calls:
        message["tool_calls"] = calls
    reasoning = [part for part in parts if isinstance(part, Reasoning)]
    return message | _returned_reasoning(reasoning, text, rules, calls=bool(calls))


def _tool_call(call: ToolCall, rules: frozenset[str]) -> JsonObject:
    wire: JsonObject = {
        "id": _call_id(call.id, rules),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    if "extra_content" in rules and call.issuer == NAME and (extra := _json_object(call.signature)):
        wire["extra_content"] = extra  # https://ai.google.dev/gemini-api/docs/thought-signatures
    return wire


def _call_id(call_id: str, rules: frozenset[str]) -> str:
    """Mistral takes ids of nine letters and digits only, whoever gave them out."""
    if "short_call_ids" not in rules or re.fullmatch(r"[A-Za-z0-9]{9}", call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _returned_reasoning(reasoning: list[Reasoning], text: str, rules: frozenset[str], *, calls: bool) -> JsonObject:
    """The fields that take the model its reasoning back, in the form that the vendor documents; else it stays here."""
    thoughts = "".join(part.text for part in reasoning)
    if "reasoning_content" in rules and (thoughts or calls):
        # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls. A message with tool calls is refused without
        # it, by some models also when it is empty or when content is null.
        return {"reasoning_content": thoughts or " ", "content": text}
    if "reasoning_details" in rules:
        # https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks: unchanged or not at all.
        details = [detail for part in reasoning if (detail := _reasoning_detail(part)) is not None]
        return {"reasoning_details": details} if details else {}
    if "reasoning_field" in rules and thoughts:
        return {"reasoning": thoughts}  # Ollama
    if "thinking_parts" in rules and thoughts:
        # https://docs.mistral.ai/studio-api/conversations/reasoning
        thinking: list[JsonObject] = [{"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]}]
        return {"content": [*thinking, {"type": "text", "text": text}] if text else thinking}
    return {}


def _reasoning_detail(part: Reasoning) -> JsonObject | None:
    """The reasoning_details entry that the part was made from, None for a part from elsewhere."""
    detail = _json_object(part.signature) if part.issuer == NAME else None
    if detail is None:
        return None
    text_field = _DETAIL_TEXT.get(str(detail.get("type")))
    return {**detail, text_field: part.text} if text_field else detail


def _json_object(text: str | None) -> JsonObject | None:
    """Reads one of our own signatures, which a caller may have altered."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# --- response ---


def _as_chunk(choices: list[JsonObject]) -> list[JsonObject]:
    """The choices of a whole response in the form of a stream's, so that both are read by the same code."""
    return [{**choice, "delta": _as_delta(choice.get("message") or {})} for choice in choices]


def _as_delta(message: JsonObject) -> JsonObject:
    calls = message.get("tool_calls") or ()
    return {**message, "tool_calls": [{**call, "index": index} for index, call in enumerate(calls)]}


@dataclass(slots=True)
class _Reader:
    """The state of one answer."""

    _candidates: "dict[int, _Candidate]" = field(default_factory=dict)
    _usage: Usage = field(default_factory=Usage)

    def read(self, chunk: JsonObject) -> Iterator[ChatEvent]:
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        if usage:
            self._usage = _usage(usage)
        for position, choice in enumerate(chunk.get("choices") or ()):
            if not self._candidates:
                yield Started()
            index = position if choice.get("index") is None else choice["index"]
            candidate = self._candidates.setdefault(index, _Candidate(index, answer_id=str(chunk.get("id"))))
            yield from candidate.read(choice)

    def end(self, *, complete: bool) -> Iterator[ChatEvent]:
        """The closing events. Raises UpstreamError unless the answer is `complete` or all candidates have finished."""
        candidates = [candidate for _, candidate in sorted(self._candidates.items())]
        if not candidates or not (complete or all(candidate.reason for candidate in candidates)):
            raise truncated()
        for candidate in candidates:
            yield from candidate.close_reasoning()
        for candidate in candidates:
            usage = self._usage if candidate is candidates[-1] else Usage()
            yield Finished(candidate.finish_reason(), usage, candidate.index)


@dataclass(slots=True)
class _Call:
    """A tool call under way; it has no position before its name is known."""

    id: str
    position: int | None = None
    waiting: str = ""


@dataclass(slots=True)
class _Candidate:
    index: int
    answer_id: str
    reason: str = ""
    _calls: dict[int | str | None, _Call] = field(default_factory=dict)
    _last_call: _Call | None = None
    _positions: int = 0
    _detail: JsonObject | None = None  # the open entry of reasoning_details, without its text

    def read(self, choice: JsonObject) -> Iterator[ChatEvent]:
        """The events of one choice, of a chunk or whole."""
        delta: JsonObject = choice.get("delta") or {}
        yield from self._reasoning(delta)
        yield from self._content(delta.get("content"))
        if refusal := delta.get("refusal"):
            yield RefusalDelta(refusal, self.index)
        for image in delta.get("images") or ():
            yield self._image(image)
        for fragment in delta.get("tool_calls") or ():
            yield from self._tool_call(fragment)
        if tokens := _logprobs(choice.get("logprobs")):
            yield LogprobsDelta(tokens, self.index)
        if choice.get("error"):
            _raise_error(choice)
        self.reason = choice.get("finish_reason") or self.reason
        if self.reason in _FAILED_REASONS:
            raise UpstreamError("The provider failed.")

    def finish_reason(self) -> FinishReason:
        reason = _FINISH_REASONS.get(self.reason, FinishReason.STOP)
        if reason in (FinishReason.STOP, FinishReason.TOOL_CALLS):
            # Some vendors call it a stop, and OpenAI does where the call was forced.
            return FinishReason.TOOL_CALLS if self._positions else FinishReason.STOP
        return reason

    def _reasoning(self, delta: JsonObject) -> Iterator[ChatEvent]:
        """OpenRouter says the same in `reasoning` and in `reasoning_details`; others have a text only."""
        if details := delta.get("reasoning_details"):
            for detail in details:
                yield from self._reasoning_detail(detail)
        elif text := delta.get("reasoning_content") or delta.get("reasoning"):
            yield ReasoningDelta(text, issuer=NAME, index=self.index)
        if any(delta.get(name) for name in ("content", "refusal", "images", "tool_calls")):
            yield from self.close_reasoning()

    def _reasoning_detail(self, detail: JsonObject) -> Iterator[ChatEvent]:
        """An entry comes in pieces that share type and index. Everything but its text becomes the signature."""
        text_field = _DETAIL_TEXT.get(str(detail.get("type")))
        if text_field is None:
            yield from self.close_reasoning()
            yield ReasoningDelta(signature=_compact(detail), redacted=True, issuer=NAME, index=self.index)
            return
        if self._detail is not None and any(self._detail.get(key) != detail.get(key) for key in ("type", "index")):
            yield from self.close_reasoning()
        known = self._detail or {}
        rest = {key: value for key, value in detail.items() if key != text_field}
        self._detail = {**known, **{key: value for key, value in rest.items() if value is not None or key not in known}}
        if text := detail.get(text_field):
            yield ReasoningDelta(text, issuer=NAME, index=self.index)
        if detail.get("signature"):
            yield from self.close_reasoning()

    def close_reasoning(self) -> Iterator[ChatEvent]:
        if self._detail is not None:
            yield ReasoningDelta(signature=_compact(self._detail), issuer=NAME, index=self.index)
            self._detail = None

    def _content(self, content: Any) -> Iterator[ChatEvent]:
        """Text, or Mistral's list of parts."""
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for part in content or ():
            match part.get("type"):
                case "text" if part.get("text"):
                    yield TextDelta(part["text"], self.index)
                case "thinking":
                    for piece in part.get("thinking") or ():
                        if text := piece.get("text"):
                            yield ReasoningDelta(text, issuer=NAME, index=self.index)
                case "image_url":
                    yield self._image(part)

    def _image(self, image: JsonObject) -> ImageDelta:
        """Raises ValueError for anything but a base64 data URI, which is all that is documented."""
        url = image["image_url"]["url"]
        head, _, data = url.partition(",")
        if not (head.startswith("data:") and head.endswith(";base64")):
            raise ValueError("an image that is not inline")
        return ImageDelta(head.removeprefix("data:").partition(";")[0], data, self.index)

    def _tool_call(self, fragment: JsonObject) -> Iterator[ChatEvent]:
        function = fragment.get("function") or {}
        call = self._call(fragment, function.get("name"))
        if call is None:
            return
        arguments = call.waiting + _arguments(function.get("arguments"))
        if call.position is None:
            if not function.get("name"):
                call.waiting = arguments
                return
            call.position, call.waiting = self._positions, ""
            self._positions += 1
            extra = fragment.get("extra_content")
            yield ToolCallStarted(
                call.position,
                id=call.id or self._made_up_id(call.position),
                name=function["name"],
                signature=_compact(extra) if extra else None,
                issuer=NAME if extra else None,
                index=self.index,
            )
        if arguments:
            yield ToolCallDelta(call.position, arguments, self.index)

    def _call(self, fragment: JsonObject, name: str | None) -> _Call | None:
        """The call that a fragment belongs to, a new one where it starts one, None where it belongs to none.

        OpenAI counts calls by `index` and gives the id once. Others send whole calls without an index, or all of them
        with the same one, or repeat the id in each fragment.
        """
        call_id: str = fragment.get("id") or ""
        index: int | None = fragment.get("index")
        key = call_id if index is None else index
        known = self._calls.get(key) if key != "" else None
        if key == "" and not name:
            known = self._last_call
        elif known is None or (name and call_id and known.id and call_id != known.id):
            known = self._calls[key] = _Call(call_id)
        self._last_call = known
        return known

    def _made_up_id(self, position: int) -> str:
        """An id for a call that came without: the same in both forms of an answer, another in every answer."""
        seed = f"{self.answer_id}:{self.index}:{position}"
        return "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]


def _arguments(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return _compact(arguments)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _logprobs(logprobs: JsonObject | None) -> tuple[TokenLogprob, ...]:
    if not logprobs:
        return ()
    tokens = [*(logprobs.get("content") or ()), *(logprobs.get("refusal") or ())]
    return tuple(
        TokenLogprob(
            **_token(token),
            top_logprobs=tuple(TopLogprob(**_token(other)) for other in token.get("top_logprobs") or ()),
        )
        for token in tokens
    )


def _token(token: JsonObject) -> JsonObject:
    return {"token": token["token"], "logprob": token["logprob"], "bytes": token.get("bytes")}


def _usage(usage: JsonObject) -> Usage:
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    input_tokens = usage.get("prompt_tokens") or 0
    output_tokens = usage.get("completion_tokens") or 0
    reasoning_tokens = completion.get("reasoning_tokens") or 0
    if usage.get("total_tokens") == input_tokens + output_tokens + reasoning_tokens:
        output_tokens += reasoning_tokens  # xAI counts them beside completion_tokens, not inside
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_read_tokens=prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0,  # DeepSeek
        cache_write_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=reasoning_tokens,
        input_image_tokens=prompt.get("image_tokens") or 0,
        output_image_tokens=completion.get("image_tokens") or 0,
        input_audio_tokens=prompt.get("audio_tokens") or 0,
        output_audio_tokens=completion.get("audio_tokens") or 0,
    )


# --- errors ---


def _raise_error(body: Any, *, named_error: bool = False) -> None:
    """Raises the error that came in the place of an answer or of a chunk, if it is one."""
    if isinstance(body, dict) and not (named_error or body.get("error") or body.get("object") == "error"):
        return
    codes = _codes(body)
    numbers = [int(code) for code in codes if code.isdigit() and 400 <= int(code) < 600]
    known = [_STATUS_OF_CODE[code] for code in codes if code in _STATUS_OF_CODE]
    raise _error(next(iter([*numbers, *known]), 500), {}, body)


def _error(status: int, headers: Mapping[str, str], body: Any) -> GatewayError:
    message = _message(body) or ""
    codes = set(_codes(body))
    if codes & _FILTER_CODES or _FILTER_MESSAGES.search(message) or _was_moderated(body):
        return ContentFiltered(clean(message) or "The provider's content filter refused the request.")
    if status in (400, 422) and (codes & _BAD_KEY_CODES or _BAD_KEY_MESSAGES.search(message)):
        status = 401
    return error_for_status(status, headers, message)


def _message(body: Any) -> str | None:
    """The text of an error body, wherever the vendor keeps it.

    OpenAI: {"error": {"message"}}; xAI, Ollama: {"error": text}; FastAPI: {"detail": text or [{"msg"}]};
    DeepInfra: {"detail": {"error": text}}; Mistral: {"message": text or {"detail"}}.
    """
    match body:
        case str():
            return body
        case list():
            return "; ".join(text for item in body if (text := _message(item))) or None
        case dict():
            return next(
                (text for key in ("error", "message", "detail", "msg") if (text := _message(body.get(key)))), None
            )
        case _:
            return None


def _codes(body: Any) -> list[str]:
    """The codes and types of an error body, code before type."""
    inner = body.get("error") if isinstance(body, dict) else None
    objects = [item for item in (inner, body) if isinstance(item, dict)]
    return [str(item[key]).lower() for key in ("code", "type") for item in objects if item.get(key) is not None]


def _was_moderated(body: Any) -> bool:
    """OpenRouter's moderation errors: https://openrouter.ai/docs/api/reference/errors-and-debugging."""
    error = body.get("error") if isinstance(body, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and ("reasons" in metadata or "flagged_input" in metadata)
