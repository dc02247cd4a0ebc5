"""The Anthropic adapter: canonical chat to and from the Messages API of the Claude models.

Follows https://platform.claude.com/docs/en/api/messages/create, …/build-with-claude/streaming, …/thinking, …/effort,
…/structured-outputs and …/api/errors. The quirks that it knows are described at the top of `shared/catalog.toml`.
"""

import base64
import json
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias, assert_never

from shared.errors import GatewayError, InvalidRequest, UnsupportedFeature, UpstreamError
from shared.framing import Frame
from shared.providers.base import Call, error_body, error_for_status, truncated
from shared.providers.json_schema import Budget, pointed_at
from shared.schemas.chat import (
    ChatRequest,
    ChatResponse,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    ReasoningEffort,
    Tool,
)
from shared.schemas.content import (
    Audio,
    File,
    Image,
    Inline,
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
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.model import Model
from shared.schemas.usage import FinishReason, Usage

Block: TypeAlias = dict[str, Any]

NAME = "anthropic"

# From version 2026-10-21 on, temperature and top_p are refused for every model, also for those that still obey them.
_VERSION = "2023-06-01"
_BINDING_BETA = "thinking-binding-controls-2026-08-01"

_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}

_ERROR_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# The operator's account is at fault, though the status (400, 429) blames the caller. Older errors have no code.
_ACCOUNT_CODES = frozenset(
    {
        "organization_on_hold",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "cmek_key_disabled",
        "cmek_key_network_blocked",
    }
)
_ACCOUNT_MESSAGES = (
    "Your credit balance is too low",
    "You have reached your specified",
    "This organization has been disabled",
)

_EFFORTS: Mapping[ReasoningEffort, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_BUDGETS: Mapping[ReasoningEffort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32768,
}
_SMALLEST_BUDGET = 1024
_DEFAULT_MAX_TOKENS = 8192

_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_MEDIA = frozenset({"image", "document"})
_THINKING = frozenset({"thinking", "redacted_thinking"})

_JSON_ONLY = "Answer with a single JSON object and nothing else: no text around it and no code fence."
_GO_ON = "Go on exactly where your last message ends."


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """Claude models on Anthropic's own API."""

    name: str = NAME

    def auth(self, api_key: str) -> dict[str, str]:
        return {"x-api-key": api_key}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        parsed = error_body(body)
        return _error(status, headers, parsed.get("error") if isinstance(parsed, dict) else None)

    def chat(self, request: ChatRequest, model: Model) -> Call:
        try:
            return _call(request, model)
        except RecursionError:  # schemas and arguments are the caller's JSON
            raise InvalidRequest("The request holds JSON that is nested too deeply.") from None

    def chat_response(self, body: Any) -> ChatResponse:
        collector = ChatCollector()
        content = _Content()
        for index, block in enumerate(body["content"]):
            for event in (*content.start(index, block), *content.stop(index)):
                collector.add(event)
        for event in content.finish(body["stop_reason"], body.get("stop_details"), body["usage"]):
            collector.add(event)
        return collector.response()

    async def chat_events(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[ChatEvent, None]:
        content = _Content()
        usage: Block = {}
        last: Block = {}
        async for frame in frames:
            data = json.loads(frame.data)
            events: Iterable[ChatEvent] = ()
            match data.get("type"):
                case "message_start":
                    usage.update(data["message"].get("usage") or {})
                    events = (Started(_usage(usage)),)
                case "content_block_start":
                    events = content.start(data["index"], data["content_block"])
                case "content_block_delta":
                    events = content.delta(data["index"], data["delta"])
                case "content_block_stop":
                    events = content.stop(data["index"])
                case "message_delta":
                    last.update(data["delta"])
                    # Counts are totals so far; those that do not apply are missing or null.
                    usage.update((name, n) for name, n in (data.get("usage") or {}).items() if n is not None)
                case "message_stop":
                    for event in content.finish(last.get("stop_reason"), last.get("stop_details"), usage):
                        yield event
                    return
                case "error":
                    raise _stream_error(data.get("error"))
            for event in events:
                yield event
        raise truncated()


adapter = AnthropicAdapter()


# --- what is asked for ------------------------------------------------------------------------------------------------


def _call(request: ChatRequest, model: Model) -> Call:
    _refuse_what_is_lacking(request, model)
    system, messages = _conversation(request, model)
    max_tokens = request.max_tokens or model.max_output_tokens or _DEFAULT_MAX_TOKENS
    thinking, effort = _reasoning(request, model, messages, max_tokens)
    budget = Budget()
    headers = {"anthropic-version": _VERSION}
    if "bound_thinking" in model.quirks and _has_thinking(messages) and not _is_off(thinking):
        # Thinking behind a history that the caller has changed since is left out instead of refused.
        headers["anthropic-beta"] = _BINDING_BETA
        binding = {"prefix_mismatch_behavior": "drop_block"}
        thinking = {"type": "adaptive", **(thinking or {}), "block_binding": binding}
    body: Block = {
        "model": model.upstream,
        "max_tokens": max_tokens,
        "system": system or None,
        "messages": messages,
        "stream": request.stream or None,
        "thinking": thinking,
        "output_config": _output_config(request, effort, budget) or None,
        "stop_sequences": [stop for stop in request.stop if stop.strip()] or None,  # blank ones are refused
        "metadata": _metadata(request.user),
        **_sampling(request, model, thinks=thinking is not None and not _is_off(thinking)),
        **_tools(request, messages, budget),
    }
    given = {name: value for name, value in body.items() if value is not None}
    return Call("/v1/messages", json=given, headers=headers)


def _refuse_what_is_lacking(request: ChatRequest, model: Model) -> None:
    if request.logprobs:
        raise UnsupportedFeature(f"The model '{model.id}' does not support logprobs.")
    if request.image_output:
        raise UnsupportedFeature(f"The model '{model.id}' does not support image output.")
    if request.tools and _forces_a_tool(request) and "no_forced_tool_choice" in model.quirks:
        raise UnsupportedFeature(f"The model '{model.id}' does not support a tool_choice that forces a tool.")


def _forces_a_tool(request: ChatRequest) -> bool:
    return request.tool_choice == "required" or isinstance(request.tool_choice, NamedTool)


def _sampling(request: ChatRequest, model: Model, *, thinks: bool) -> dict[str, float | None]:
    """temperature and top_p as far as the model takes them."""
    temperature, top_p = request.temperature, request.top_p
    if "no_sampling" in model.quirks:
        return {}
    if temperature is not None and temperature > 1:
        raise InvalidRequest.field("temperature", f"must be between 0 and 1 for the model '{model.id}'")
    if thinks:  # models with sampling refuse it while they think
        return {}
    if "temperature_or_top_p" in model.quirks and temperature is not None and top_p is not None:
        if temperature == 1:  # the default, so that top_p says more
            temperature = None
        else:
            top_p = None
    return {"temperature": temperature, "top_p": top_p}


def _reasoning(
    request: ChatRequest, model: Model, messages: list[Block], max_tokens: int
) -> tuple[Block | None, str | None]:
    """The thinking configuration and the effort; None where the vendor's default shall hold."""
    asked = request.reasoning_effort
    if asked is None and "reasoning_opt_in" in model.quirks:
        asked = "none"
    if asked is None:
        return None, None
    if "adaptive_thinking" in model.quirks:
        if asked != "none":
            return {"type": "adaptive", "display": "summarized"}, _EFFORTS[asked]
        if "always_thinks" in model.quirks:
            return None, "low"
        return {"type": "between_tools" if "thinking_between_tools" in model.quirks else "disabled"}, None
    if "budget_thinking" in model.quirks and asked != "none" and _may_think(request, messages):
        budget = min(_BUDGETS[asked], max_tokens * 3 // 4)  # leaves room for the answer, which max_tokens counts too
        if budget >= _SMALLEST_BUDGET:
            return {"type": "enabled", "budget_tokens": budget}, None
    return None, None


def _may_think(request: ChatRequest, messages: list[Block]) -> bool:
    """Whether thinking by budget is allowed: not with a forced tool, nor when the turn has begun without thinking.

    A turn reaches back over tool calls and their results to the last message of the user's own.
    """
    if _forces_a_tool(request):
        return False
    begun: Block | None = None
    for message in reversed(messages):
        if message["role"] == "assistant":
            begun = message
        elif message["content"][0]["type"] != "tool_result":
            break
    return begun is None or begun["content"][0]["type"] in _THINKING


def _has_thinking(messages: list[Block]) -> bool:
    return any(block["type"] in _THINKING for message in messages for block in message["content"])


def _is_off(thinking: Block | None) -> bool:
    return thinking is not None and thinking["type"] in ("disabled", "between_tools")


def _output_config(request: ChatRequest, effort: str | None, budget: Budget) -> Block:
    config: Block = {}
    if effort:
        config["effort"] = effort
    if isinstance(request.response_format, JsonSchemaFormat):
        schema = _Schema(request.response_format.json_schema, budget).compilable()
        config["format"] = {"type": "json_schema", "schema": schema}
    return config


def _metadata(user: str | None) -> Block | None:
    # The vendor wants an opaque identifier and refuses what looks like an email address or is long.
    return {"user_id": sha256(user.encode(errors="replace")).hexdigest()} if user else None


def _tools(request: ChatRequest, messages: list[Block], budget: Budget) -> Block:
    if request.tools:
        return {"tools": [_tool(tool, budget) for tool in request.tools], "tool_choice": _tool_choice(request)}
    # A conversation with tool calls in it is refused unless tools are declared.
    calls = (block for message in messages for block in message["content"] if block["type"] == "tool_use")
    names = dict.fromkeys(call["name"] for call in calls)
    if not names:
        return {}
    declared = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return {"tools": declared, "tool_choice": {"type": "none"}}


def _tool(tool: Tool, budget: Budget) -> Block:
    schema = _Schema(tool.parameters or {"properties": {}}, budget).object_at_root()
    body: Block = {"name": tool.name}
    if tool.description:
        body["description"] = tool.description
    body["input_schema"] = _Schema(schema, budget).compilable() if tool.strict else schema
    if tool.strict:
        body["strict"] = True
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


# --- messages ---------------------------------------------------------------------------------------------------------


def _conversation(request: ChatRequest, model: Model) -> tuple[str, list[Block]]:
    """The system text and the messages: turns of user and assistant that alternate, none of them empty."""
    system = [request.system] if request.system else []
    instructions: list[str] = []
    shown: list[Block] = []
    turns: list[Block] = []
    for message in request.messages:
        if message.role == "system":
            instructions.append("\n".join(part.text for part in message.parts if isinstance(part, Text)))
            continue
        blocks = [block for part in message.parts for block in _blocks(part)]
        if message.role == "assistant":
            # Media is refused in the assistant's turns: what another model drew is shown with the user's next words.
            shown += [block for block in blocks if block["type"] in _MEDIA]
            if said := [block for block in blocks if block["type"] not in _MEDIA]:
                system += _placed(instructions, turns, model)
                _append(turns, "assistant", said)
        else:
            _append(turns, "user", shown + blocks)
            shown = []
    system += _placed(instructions, turns, model)
    if not turns and not any(piece.strip() for piece in system):
        raise InvalidRequest.field("messages", "holds no text")
    if isinstance(request.response_format, JsonObjectFormat):
        system.append(_JSON_ONLY)
    text = "\n\n".join(piece for piece in system if piece.strip())
    if not turns:
        return "", [{"role": "user", "content": [{"type": "text", "text": text}]}]
    for turn in turns:  # results come first, right behind their calls
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    _end(turns, model)
    return text, turns


def _append(turns: list[Block], role: str, blocks: list[Block]) -> None:
    if blocks and turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    elif blocks:
        turns.append({"role": role, "content": blocks})


def _placed(instructions: list[str], turns: list[Block], model: Model) -> list[str]:
    """Puts system text that came between turns in its place, which is behind a user's turn.

    Gives back what has to go to the head of the conversation, since not every model takes it elsewhere.
    """
    given = [text for text in instructions if text.strip()]
    instructions.clear()
    if given and "system_messages" in model.quirks and turns and turns[-1]["role"] == "user":
        turns.append({"role": "system", "content": [{"type": "text", "text": text} for text in given]})
        return []
    return given


def _end(turns: list[Block], model: Model) -> None:
    """Makes the last turn one that the model can answer."""
    if not turns or turns[-1]["role"] != "assistant":
        return
    if "no_prefill" in model.quirks:
        turns.append({"role": "user", "content": [{"type": "text", "text": _GO_ON}]})
        return
    last = turns[-1]["content"][-1]
    if last["type"] == "text":  # white space at its end is refused
        turns[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}


def _blocks(part: Part) -> Iterator[Block]:
    match part:
        case Text(text=text) | Refusal(text=text):
            if text.strip():  # blank blocks are refused
                yield {"type": "text", "text": text}
        case Image():
            yield _image(part)
        case File():
            yield _document(part)
        case Audio():
            raise UnsupportedFeature("Claude models do not support audio input.")
        case Reasoning():
            # Only what this vendor has signed is taken back.
            if part.issuer == NAME and part.signature and part.redacted:
                yield {"type": "redacted_thinking", "data": part.signature}
            elif part.issuer == NAME and part.signature:
                yield {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case ToolCall():
            call_id = _valid_id(part.id)
            yield {"type": "tool_use", "id": call_id, "name": part.name, "input": _input(part.arguments)}
        case ToolResult():
            result: Block = {"type": "tool_result", "tool_use_id": _valid_id(part.call_id)}
            if content := [block for piece in part.content for block in _blocks(piece)]:
                result["content"] = content
            yield result
        case _:
            assert_never(part)


def _valid_id(call_id: str) -> str:
    """A tool call's id in the vendor's alphabet; ids of other vendors that differ stay different."""
    if re.fullmatch(r"[a-zA-Z0-9_-]+", call_id):
        return call_id
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', call_id)}_{zlib.crc32(call_id.encode(errors='replace')):08x}"


def _input(arguments: str) -> JsonObject:
    try:
        value = json.loads(arguments.strip() or "{}")
    except ValueError:
        value = None
    # A call that was cut off is no JSON, but the model can still be shown what it wrote.
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def _image(image: Image) -> Block:
    match image.source:
        case Remote(url=url):
            return {"type": "image", "source": {"type": "url", "url": url}}
        case Inline(media_type=media_type, data=data):
            media_type = "image/jpeg" if media_type == "image/jpg" else media_type
            if media_type not in _IMAGE_TYPES:
                raise UnsupportedFeature(f"Claude models take JPEG, PNG, GIF and WebP images, not {media_type}.")
            return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        case _:
            assert_never(image.source)


def _document(file: File) -> Block:
    media_type, data = file.source.media_type, file.source.data
    if media_type == "application/pdf":
        document: Block = {"type": "document", "source": {"type": "base64", "media_type": media_type, "data": data}}
    elif media_type.startswith("text/"):
        try:
            text = base64.b64decode(data).decode()
        except ValueError:
            raise InvalidRequest.field("messages", "a text file is not UTF-8") from None
        document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    else:
        raise UnsupportedFeature(f"Claude models take PDF and text files, not {media_type}.")
    if file.name:
        document["title"] = file.name
    return document


# --- JSON schemas -----------------------------------------------------------------------------------------------------

_PLAIN_KEYWORDS = frozenset({"type", "const", "default", "required", "title", "description"})
_SILENT_KEYWORDS = frozenset({"additionalProperties", "$schema", "$id", "$comment", "examples"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)


@dataclass(frozen=True, slots=True)
class _Schema:
    """A caller's schema on its way to one that the vendor takes."""

    root: JsonObject
    budget: Budget

    def compilable(self) -> JsonObject:
        """The schema with only the keywords that the vendor compiles for output and strict tools.

        Objects are closed, alternatives become `anyOf`, `allOf` is merged, and what a removed keyword demanded is told
        to the model in the description. See …/build-with-claude/structured-outputs#json-schema-limitations.
        """
        return self._subset(self.root)

    def _subset(self, schema: Any) -> JsonObject:
        if not isinstance(schema, dict):
            return {}
        kept: JsonObject = {}
        notes: JsonObject = {}
        for keyword, value in self._with_all_of_merged(schema).items():
            match keyword:
                case "properties" | "$defs" | "definitions" if isinstance(value, dict):
                    kept[keyword] = {name: self._subset(inner) for name, inner in value.items()}
                case "items" if isinstance(value, dict):
                    kept[keyword] = self._subset(value)
                case "anyOf" | "oneOf" if isinstance(value, list):
                    kept["anyOf"] = [self._subset(inner) for inner in value]
                case "enum" if not any(isinstance(choice, dict | list) for choice in _list(value)):
                    kept[keyword] = value
                case "format" if str(value) in _FORMATS:
                    kept[keyword] = value
                case "minItems" if value in (0, 1):
                    kept[keyword] = value
                case "$ref":
                    kept[keyword] = value
                case _ if keyword in _PLAIN_KEYWORDS:
                    kept[keyword] = value
                case _ if keyword not in _SILENT_KEYWORDS:
                    notes[keyword] = value
        if "$ref" in kept:  # nothing may stand beside a reference but what it refers to
            return {name: kept[name] for name in ("$ref", "$defs", "definitions") if name in kept}
        if "properties" in kept or "object" in (kept.get("type"), *_list(kept.get("type"))):
            kept["additionalProperties"] = False
        if notes:
            told = ", ".join(f"{keyword}: {json.dumps(value)}" for keyword, value in notes.items())
            self.budget.spend(len(told))
            kept["description"] = f"{kept['description']} ({told})" if kept.get("description") else told
        return kept

    def _with_all_of_merged(self, schema: JsonObject) -> JsonObject:
        """The schema with the parts of its `allOf` written into it, since references are refused there."""
        self.budget.visit(schema)
        merged = {keyword: value for keyword, value in schema.items() if keyword != "allOf"}
        for part in _list(schema.get("allOf")):
            for keyword, value in self._with_all_of_merged(self._resolved(part)).items():
                self.budget.spend(1)
                if keyword == "properties":
                    merged[keyword] = self._joined(_object(merged.get(keyword)), _object(value))
                elif keyword == "required":
                    merged[keyword] = self._union(_list(merged.get(keyword)), _list(value))
                else:
                    merged.setdefault(keyword, value)
        return merged

    def _resolved(self, schema: Any) -> JsonObject:
        """The schema, or what it refers to within `root`, with the keywords beside the reference."""
        reference = _object(schema).get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return _object(schema)
        target = pointed_at(self.root, reference)
        self.budget.inline(target)
        beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        resolved = self._resolved(target)
        self.budget.spend(len(resolved) + len(beside))
        return {**resolved, **beside}

    def object_at_root(self) -> JsonObject:
        """A tool's schema as the vendor takes it: an object, with no alternatives at its root.

        The properties of all alternatives are allowed, and those required that every alternative requires.
        """
        flat = self._with_all_of_merged(self._resolved(self.root))
        for keyword in ("anyOf", "oneOf"):
            branches = [self._resolved(branch) for branch in _list(flat.pop(keyword, None))]
            for branch in branches:
                flat["properties"] = self._joined(_object(branch.get("properties")), _object(flat.get("properties")))
            if common := _required_by_all(branches):
                flat["required"] = self._union(_list(flat.get("required")), common)
        return {**flat, "type": "object"}

    def _joined(self, some: JsonObject, others: JsonObject) -> JsonObject:
        self.budget.spend(len(some) + len(others))
        return {**some, **others}

    def _union(self, some: list[Any], others: list[Any]) -> list[Any]:
        self.budget.spend(len(some) + len(others))
        known = _names(some)
        return some + [value for value in others if not isinstance(value, str) or value not in known]


def _required_by_all(branches: list[JsonObject]) -> list[str]:
    demands = [_names(_list(branch.get("required"))) for branch in branches]
    return [name for name in demands[0] if all(name in demand for demand in demands)] if demands else []


def _names(values: list[Any]) -> dict[str, None]:
    return {value: None for value in values if isinstance(value, str)}


# A caller's schema may be malformed; the vendor says so better than we could.
def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


# --- what is answered -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Content:
    """The content blocks of one answer as events: of a stream as they grow, of a body each whole.

    Blocks of types that only the vendor's own tools bring are passed over.
    """

    calls: dict[int, int] = field(default_factory=dict)  # the position of the tool call that a block's index has
    bare: set[int] = field(default_factory=set)  # blocks of calls that have no arguments yet

    def start(self, index: int, block: Block) -> Iterator[ChatEvent]:
        match block["type"]:
            case "text":
                if block["text"]:
                    yield TextDelta(block["text"])
            case "thinking":
                if block["thinking"]:
                    yield ReasoningDelta(block["thinking"], issuer=NAME)
                if block.get("signature"):
                    yield ReasoningDelta(signature=block["signature"], issuer=NAME)
            case "redacted_thinking":
                yield ReasoningDelta(signature=block["data"], redacted=True, issuer=NAME)
            case "tool_use":
                position = self.calls[index] = len(self.calls)
                yield ToolCallStarted(position, block["id"], block["name"])
                if block.get("input"):
                    yield ToolCallDelta(position, json.dumps(block["input"], ensure_ascii=False))
                else:  # also the placeholder from which a streamed call grows
                    self.bare.add(index)

    def delta(self, index: int, delta: Block) -> Iterator[ChatEvent]:
        match delta["type"]:
            case "text_delta":
                if delta["text"]:
                    yield TextDelta(delta["text"])
            case "thinking_delta":
                if delta["thinking"]:
                    yield ReasoningDelta(delta["thinking"], issuer=NAME)
            case "signature_delta":
                yield ReasoningDelta(signature=delta["signature"], issuer=NAME)
            case "input_json_delta":
                if index in self.calls and delta["partial_json"]:
                    self.bare.discard(index)
                    yield ToolCallDelta(self.calls[index], delta["partial_json"])

    def stop(self, index: int) -> Iterator[ChatEvent]:
        if index in self.bare:
            yield ToolCallDelta(self.calls[index], "{}")

    def finish(self, stop_reason: str | None, details: Block | None, usage: Block) -> Iterator[ChatEvent]:
        """The end. Why the vendor refused is the answer's refusal: it is meant to be shown."""
        reason = _FINISH_REASONS.get(stop_reason or "", FinishReason.STOP)
        if reason is FinishReason.STOP and self.calls:
            reason = FinishReason.TOOL_CALLS
        if details and details.get("explanation"):
            yield RefusalDelta(details["explanation"])
        yield Finished(reason, _usage(usage))


def _usage(counts: Block) -> Usage:
    """Cached tokens are counted beside input_tokens by this vendor, and inside it by us."""
    read = counts.get("cache_read_input_tokens") or 0
    written = counts.get("cache_creation_input_tokens") or 0
    details = counts.get("output_tokens_details") or {}
    return Usage(
        input_tokens=(counts.get("input_tokens") or 0) + read + written,
        output_tokens=counts.get("output_tokens") or 0,
        cached_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=details.get("thinking_tokens") or 0,
    )


# --- errors -----------------------------------------------------------------------------------------------------------


def _stream_error(error: Any) -> GatewayError:
    kind = error.get("type") if isinstance(error, dict) else None
    return _error(_ERROR_STATUSES.get(kind or "", 500), {}, error)


def _error(status: int, headers: Mapping[str, str], error: Any) -> GatewayError:
    """The error of a status and of the `error` object of its body, where there is one."""
    fields = error if isinstance(error, dict) else {}
    message = fields.get("message")
    message = message if isinstance(message, str) else None
    details = fields.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    if code in _ACCOUNT_CODES or (message or "").startswith(_ACCOUNT_MESSAGES):
        return UpstreamError("The provider refused the gateway's account.")
    return error_for_status(status, headers, message)
