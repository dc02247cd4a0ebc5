"""Google's Gemini Developer API: chat with text, tools, pictures, and thinking.

Wire format: https://ai.google.dev/api/generate-content. Thought signatures:
https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, assert_never
from urllib.parse import quote

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
    TokenLogprob,
    Tool,
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
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.model import Capability, Model
from shared.schemas.usage import FinishReason, Usage

# https://ai.google.dev/api/generate-content#FinishReason. A reason in neither table, such as OTHER or one yet to come,
# is a plain end where the model said something and a failure where it did not.
_FINISH_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    # More could be had by a second request with the answer's continuationToken; for our caller the answer is cut short.
    "CONTINUATION": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "ESCALATION": FinishReason.CONTENT_FILTER,
    "PUP_LIMITED_DISABLED": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
}
# The candidate is no answer, whatever it holds: a tool call that nobody can make, or an internal fault.
_FAILURES = {
    "MALFORMED_FUNCTION_CALL": "The model wrote a tool call that cannot be read.",
    "UNEXPECTED_TOOL_CALL": "The model called a tool that it was not given.",
    "TOO_MANY_TOOL_CALLS": "The model made too many tool calls.",
    "MALFORMED_RESPONSE": "The model wrote an answer that cannot be read.",
    "MISSING_THOUGHT_SIGNATURE": "The provider misses the signature of an earlier thought.",
}

# Efforts as Google's own OpenAI-compatible endpoint maps them: https://ai.google.dev/gemini-api/docs/openai#thinking
_LEVELS: dict[ReasoningEffort, str] = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_BUDGETS: dict[ReasoningEffort, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
# The least that a model takes which cannot stop thinking (2.5 Pro).
_LEAST_BUDGET = 128

# Gemini 3 refuses the first function call of a step without a signature, and the model's own is missing when another
# model made the call or a client dropped it. This value, documented for that case, stands in for it.
_ANY_SIGNATURE = "skip_thought_signature_validator"

# What responseJsonSchema and parametersJsonSchema understand, `title` left out as it only repeats the name.
_KEPT_KEYWORDS = frozenset(
    {
        "type",
        "description",
        "default",
        "required",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "additionalProperties",
    }
)
_FORMATS = frozenset({"date-time", "date", "time"})


@dataclass(frozen=True, slots=True)
class Gemini:
    """The adapter. Knobs that the API lacks or that every model refuses are ignored: penalties ("Penalty is not enabled
    for this model", https://github.com/google-gemini/cookbook/issues/1290), logit_bias, verbosity, user, metadata,
    parallel_tool_calls.
    """

    name: str = "gemini"

    def auth(self, api_key: str) -> dict[str, str]:
        return {"x-goog-api-key": api_key}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return _error(status, headers, _error_object(error_body(body)) or {})

    def chat(self, request: ChatRequest, model: Model) -> Call:
        """See https://ai.google.dev/api/generate-content#method:-models.generatecontent.

        Raises UnsupportedFeature for images by URL, for JSON output together with tools and images in tool results
        before Gemini 3, and InvalidRequest for arguments of an earlier tool call that are not a JSON object.
        """
        if request.response_format and request.tools and not _is_gemini_3(model):
            raise UnsupportedFeature(f"The model '{model.id}' does not support JSON output together with tools.")
        budget = Budget()
        body: JsonObject = {"contents": _contents(request.messages, model)}
        if request.system:
            body["systemInstruction"] = {"parts": [{"text": request.system}]}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_function(tool, budget) for tool in request.tools]}]
            if config := _calling_config(request):
                body["toolConfig"] = {"functionCallingConfig": config}
        if config := _generation_config(request, model, budget):
            body["generationConfig"] = config
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        return Call(f"/v1beta/models/{quote(model.upstream, safe='')}:{method}", body)

    def chat_response(self, body: Any) -> ChatResponse:
        """See https://ai.google.dev/api/generate-content#generatecontentresponse."""
        answer, collector = _Answer(self.name), ChatCollector()
        for event in answer.read(body):
            collector.add(event)
        for event in answer.end():
            collector.add(event)
        return collector.response()

    async def chat_events(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[ChatEvent, None]:
        """Each frame is a GenerateContentResponse with the next parts; its finish reasons mark the end."""
        answer = _Answer(self.name)
        started = False
        async for frame in frames:
            chunk = json.loads(frame.data)
            if error := _error_object(chunk):
                raise _error(error.get("code", 500), {}, error)
            if not started:
                started = True
                yield Started()
            for event in answer.read(chunk):
                yield event
        if not answer.complete:
            raise truncated()
        for event in answer.end():
            yield event


adapter = Gemini()


def _is_gemini_3(model: Model) -> bool:
    """The generation that thinks by levels also checks signatures and takes media in tool results, JSON with tools."""
    return "thinking_level" in model.rules


def _draws(request: ChatRequest, model: Model) -> bool:
    """Whether the answer may hold images: asked for, or by an image model. Catalog rows that stand for many models
    claim tools as well, which no image model takes."""
    return request.image_output or (
        Capability.IMAGE_OUTPUT in model.capabilities and Capability.FUNCTION_CALLING not in model.capabilities
    )


# --- the request's parameters


def _generation_config(request: ChatRequest, model: Model, budget: Budget) -> JsonObject:
    """See https://ai.google.dev/api/generate-content#v1beta.GenerationConfig."""
    draws = _draws(request, model)
    config: JsonObject = {
        # An image is 1,120 tokens and more; a limit meant for text would cut it off.
        "maxOutputTokens": None if draws else request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "candidateCount": request.n if request.n > 1 else None,
        "stopSequences": list(request.stop) or None,
        "seed": None if request.seed is None else _int32(request.seed),
        "responseLogprobs": True if request.logprobs else None,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "responseModalities": ["TEXT", "IMAGE"] if draws else None,
        "thinkingConfig": _thinking(request.reasoning_effort, model, draws=draws),
        **_output_format(request.response_format, budget),
    }
    return {name: value for name, value in config.items() if value is not None}


def _int32(seed: int) -> int:
    """The seed in the 32 bits that the field has; one that fits is not changed, equal ones stay equal."""
    return (seed + 2**31) % 2**32 - 2**31


def _output_format(response_format: JsonObjectFormat | JsonSchemaFormat | None, budget: Budget) -> JsonObject:
    match response_format:
        case None:
            return {}
        case JsonObjectFormat():
            return {"responseMimeType": "application/json"}
        case JsonSchemaFormat():
            schema = _cleaned(response_format.json_schema, budget)
            return {"responseMimeType": "application/json", "responseJsonSchema": schema}
        case _:
            assert_never(response_format)


def _thinking(effort: ReasoningEffort | None, model: Model, *, draws: bool) -> JsonObject | None:
    """See https://ai.google.dev/gemini-api/docs/thinking. Thoughts are only shown to callers who ask for an effort."""
    if effort is None or "no_thinking" in model.rules:
        return None
    always = "always_thinks" in model.rules
    config: JsonObject = {"includeThoughts": True} if effort != "none" else {}
    if "thinking_level" in model.rules:
        level = _LEVELS[effort]
        if draws and always:
            return config or None  # its thinking is not adjustable
        if draws:
            level = "MINIMAL" if level in ("MINIMAL", "LOW") else "HIGH"
        elif always and level == "MINIMAL":
            level = "LOW"
        return {**config, "thinkingLevel": level}
    if "thinking_budget" in model.rules:
        budget = _BUDGETS[effort]
        return {**config, "thinkingBudget": budget or (_LEAST_BUDGET if always else 0)}
    return None


def _function(tool: Tool, budget: Budget) -> JsonObject:
    """See https://ai.google.dev/api/caching#FunctionDeclaration; `parameters` would take an OpenAPI subset only."""
    declaration: JsonObject = {"name": tool.name, "description": tool.description or ""}
    if tool.parameters:
        declaration["parametersJsonSchema"] = _cleaned(tool.parameters, budget)
    return declaration


def _calling_config(request: ChatRequest) -> JsonObject | None:
    """See https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes."""
    strict = any(tool.strict for tool in request.tools)
    match request.tool_choice:
        case None:
            return {"mode": "VALIDATED"} if strict else None
        case "auto":
            # VALIDATED is AUTO with arguments held to their schema, which ANY does anyway.
            return {"mode": "VALIDATED" if strict else "AUTO"}
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case NamedTool(name=name):
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case _:
            assert_never(request.tool_choice)


# --- the request's messages


def _contents(messages: Sequence[Message], model: Model) -> list[JsonObject]:
    """The conversation as contents of the roles user and model, which also carry tool results and late system text."""
    contents: list[JsonObject] = []
    for message in messages:
        role = "model" if message.role == "assistant" else "user"
        for part in _parts(message.parts, gemini_3=_is_gemini_3(model)):
            _append(contents, role, part)
    _order_results(contents)
    # A conversation has to begin with the user; an empty part is enough.
    if not contents or contents[0]["role"] == "model":
        contents.insert(0, {"role": "user", "parts": [{"text": ""}]})
    if "no_prefill" in model.rules and contents[-1]["role"] == "model":
        contents.append({"role": "user", "parts": [{"text": "Continue."}]})
    return contents


def _append(contents: list[JsonObject], role: str, part: JsonObject) -> None:
    """Adds to the last content or a new one. The results of parallel calls have to share a content, and nothing else
    may be in it: https://github.com/pydantic/pydantic-ai/issues/4210."""
    last = contents[-1] if contents else None
    if last and last["role"] == role and _is_result(last["parts"][-1]) == _is_result(part):
        last["parts"].append(part)
    else:
        contents.append({"role": role, "parts": [part]})


def _is_result(part: JsonObject) -> bool:
    return "functionResponse" in part


def _order_results(contents: list[JsonObject]) -> None:
    """Brings results into the order of their calls: not every model matches them by id."""
    for calls, results in pairwise(contents):
        if _is_result(results["parts"][0]):
            ids = [part["functionCall"]["id"] for part in calls["parts"] if "functionCall" in part]
            place = {call_id: index for index, call_id in enumerate(ids)}
            results["parts"].sort(key=lambda part: place.get(part["functionResponse"]["id"], len(place)))


def _parts(parts: Sequence[Part], *, gemini_3: bool) -> list[JsonObject]:
    wire: list[JsonObject] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text:
                    wire.append({"text": part.text})
            case Image():
                wire.append(_media(part.source))
            case Audio():
                wire.append({"inlineData": {"mimeType": f"audio/{part.format}", "data": part.data}})
            case File():
                wire.append(_media(part.source))
            case Reasoning():
                _add_thought(wire, part)
            case ToolCall():
                first = not any("functionCall" in other for other in wire)
                wire.append(_function_call(part, needs_signature=gemini_3 and first))
            case ToolResult():
                wire.append(_function_response(part, gemini_3=gemini_3))
            case _:
                assert_never(part)
    return wire


def _media(source: Inline | Remote) -> JsonObject:
    match source:
        case Inline():
            return {"inlineData": {"mimeType": source.media_type, "data": source.data}}
        case Remote():
            raise UnsupportedFeature("This model does not take images by URL; send them inline.")
        case _:
            assert_never(source)


def _add_thought(wire: list[JsonObject], thought: Reasoning) -> None:
    """Gives a thought back where it was. One without text is the signature of the part before it (see `_Answer`)."""
    if thought.issuer != adapter.name:
        return
    signature = {"thoughtSignature": thought.signature} if thought.signature else {}
    if thought.text:
        wire.append({"text": thought.text, "thought": True, **signature})
    elif signature and wire and wire[-1].keys() in ({"text"}, {"inlineData"}):
        wire[-1] |= signature
    elif signature:
        wire.append({"text": "", **signature})


def _function_call(call: ToolCall, *, needs_signature: bool) -> JsonObject:
    part: JsonObject = {"functionCall": {"id": call.id, "name": call.name, "args": _arguments(call)}}
    if call.signature and call.issuer == adapter.name:
        part["thoughtSignature"] = call.signature
    elif needs_signature:
        part["thoughtSignature"] = _ANY_SIGNATURE
    return part


def _arguments(call: ToolCall) -> JsonObject:
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequest.field("messages", f"the arguments of the tool call '{call.id}' are not a JSON object")
    return arguments


def _function_response(result: ToolResult, *, gemini_3: bool) -> JsonObject:
    """The text goes as one string: Gemini takes a `$ref` inside a JSON result for a reference to a part of it."""
    text = "\n".join(piece.text for piece in result.content if isinstance(piece, Text))
    response: JsonObject = {"id": result.call_id, "name": result.name, "response": {"output": text}}
    if images := [_media(piece.source) for piece in result.content if isinstance(piece, Image)]:
        if not gemini_3:
            raise UnsupportedFeature("This model does not take images in tool results.")
        response["parts"] = images
    return {"functionResponse": response}


# --- JSON schemas


def _cleaned(schema: JsonObject, budget: Budget) -> JsonObject:
    """The schema in the subset that Gemini takes: https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support

    References and `allOf` are resolved, since a reference may have nothing beside it and a cycle of required ones is
    refused; `const` becomes `enum`, `oneOf` becomes `anyOf`; other keywords are left out. Raises InvalidRequest for
    what is no schema, a reference that leads nowhere, and a schema that grows beyond the budget.
    """
    try:
        return _SchemaCleaner(schema, budget).clean(schema)
    except (TypeError, AttributeError, RecursionError):
        raise InvalidRequest("The JSON schema is not valid or nested too deeply.") from None


class _SchemaCleaner:
    def __init__(self, root: JsonObject, budget: Budget) -> None:
        self._root = root
        self._budget = budget

    def clean(self, schema: Any, within: frozenset[str] = frozenset()) -> JsonObject:
        """One schema; `within` are the references that led to it."""
        cleaned = self._composed(schema, within)
        # A required name without a property is refused.
        required = [name for name in cleaned.pop("required", ()) if name in cleaned.get("properties", {})]
        return {**cleaned, "required": required} if required else cleaned

    def _composed(self, schema: Any, within: frozenset[str]) -> JsonObject:
        """The schema with what it refers to and what it is composed of; its own keywords win."""
        self._budget.visit(schema)
        if isinstance(schema, bool):
            return {}  # `true`: anything
        composed: JsonObject = {}
        if reference := schema.get("$ref"):
            composed = self._referred(reference, within)
        for member in schema.get("allOf", ()):
            composed = self._overlaid(composed, self._composed(member, within))
        return self._overlaid(composed, self._own(schema, within))

    def _referred(self, reference: str, within: frozenset[str]) -> JsonObject:
        target = self._target(reference)
        if reference in within:
            short: JsonObject = {name: target[name] for name in ("type", "description") if name in target}
            self._budget.inline(short)
            return short
        return self._composed(target, within | {reference})

    def _own(self, schema: JsonObject, within: frozenset[str]) -> JsonObject:
        own = {name: value for name, value in schema.items() if name in _KEPT_KEYWORDS} | _choices(schema)
        if schema.get("format") in _FORMATS:
            own["format"] = schema["format"]
        if alternatives := schema.get("anyOf") or schema.get("oneOf"):
            own["anyOf"] = [self.clean(alternative, within) for alternative in alternatives]
        if "properties" in schema:
            own["properties"] = {name: self.clean(value, within) for name, value in schema["properties"].items()}
        if isinstance(schema.get("additionalProperties"), dict):
            own["additionalProperties"] = self.clean(schema["additionalProperties"], within)
        # A list of items is how older drafts write prefixItems.
        items = schema.get("items")
        if prefix := schema.get("prefixItems") or (items if isinstance(items, list) else None):
            own["prefixItems"] = [self.clean(item, within) for item in prefix]
        if isinstance(items, dict):
            own["items"] = self.clean(items, within)
        return own

    def _target(self, reference: str) -> JsonObject:
        target = pointed_at(self._root, reference)
        if not isinstance(target, dict):
            raise InvalidRequest(f"The JSON schema refers to '{reference[:100]}', which it does not hold.")
        return target

    def _overlaid(self, base: JsonObject, over: JsonObject) -> JsonObject:
        """Both schemas as one; of a keyword that they share, `over` has its way, except that members add up."""
        properties = {**base.get("properties", {}), **over.get("properties", {})}
        required = list(dict.fromkeys((*base.get("required", ()), *over.get("required", ()))))
        self._budget.spend(len(base) + len(over) + len(properties) + len(required))
        both = {"properties": properties, "required": required}
        return {**base, **over, **{name: value for name, value in both.items() if value}}


def _choices(schema: JsonObject) -> JsonObject:
    """`enum` and `const`, which only work for strings and numbers."""
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    usable = [value for value in values if isinstance(value, str | int | float) and not isinstance(value, bool)]
    if usable:
        return {"enum": usable} if "type" in schema else {"enum": usable, "type": _type_of(usable[0])}
    return {"type": _type_of(values[0])} if values and "type" not in schema else {}


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case None:
            return "null"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


# --- the answer


@dataclass(slots=True)
class _Candidate:
    reason: str | None = None
    calls: int = 0
    said_something: bool = False

    def finish_reason(self) -> FinishReason:
        """Raises UpstreamError for a candidate that is no answer."""
        reason = _FINISH_REASONS.get(self.reason or "")
        if reason is None:
            if self.reason in _FAILURES:
                raise UpstreamError(_FAILURES[self.reason])
            if not self.said_something:
                raise _no_answer()
            reason = FinishReason.STOP
        return FinishReason.TOOL_CALLS if self.calls and reason is FinishReason.STOP else reason


@dataclass(slots=True)
class _Answer:
    """Reads an answer, whole or chunk by chunk, into events.

    A signature on text or an image becomes a ReasoningDelta without text right behind it, because those have no place
    for one; on a function call it is the call's own.
    """

    issuer: str
    candidates: dict[int, _Candidate] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    blocked: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is missing from the answer."""
        return all(candidate.reason for candidate in self.candidates.values()) if self.candidates else self.blocked

    def read(self, chunk: JsonObject) -> Iterator[ChatEvent]:
        """The events of a GenerateContentResponse."""
        # Every chunk repeats the usage so far, the last one has all of it.
        if metadata := chunk.get("usageMetadata"):
            self.usage = _usage(metadata)
        self.blocked |= "blockReason" in chunk.get("promptFeedback", {})
        for value in chunk.get("candidates", ()):
            index = value.get("index", 0)
            candidate = self.candidates.setdefault(index, _Candidate())
            candidate.reason = value.get("finishReason", candidate.reason)
            for part in value.get("content", {}).get("parts", ()):
                yield from self._part(part, candidate, index, chunk)
            if logprobs := value.get("logprobsResult"):
                yield LogprobsDelta(_logprobs(logprobs), index)

    def end(self) -> Iterator[ChatEvent]:
        """The last events. Raises UpstreamError when there is no usable answer."""
        reasons = {index: candidate.finish_reason() for index, candidate in sorted(self.candidates.items())}
        if not reasons:
            if not self.blocked:
                raise _no_answer()
            reasons = {0: FinishReason.CONTENT_FILTER}
        last = max(reasons)
        for index, reason in reasons.items():
            yield Finished(reason, self.usage if index == last else Usage(), index)

    def _part(self, part: JsonObject, candidate: _Candidate, index: int, chunk: JsonObject) -> Iterator[ChatEvent]:
        """Kinds of parts that we do not ask for, such as executed code, are passed over."""
        signature = part.get("thoughtSignature")
        if call := part.get("functionCall"):
            candidate.said_something = True
            yield from self._call(call, signature, candidate, index, chunk)
            return
        text = part.get("text", "")
        if part.get("thought"):
            # Image models also think in pictures, which are drafts and no part of the answer.
            if text or (signature and "inlineData" not in part):
                yield ReasoningDelta(text, signature, issuer=self.issuer, index=index)
            return
        if text:
            yield TextDelta(text, index)
        media = part.get("inlineData", {})
        if drawn := media.get("mimeType", "").startswith("image/"):
            yield ImageDelta(media["mimeType"], _standard_base64(media["data"]), index)
        candidate.said_something |= bool(text) or drawn
        if signature:
            yield ReasoningDelta(signature=signature, issuer=self.issuer, index=index)

    def _call(
        self, call: JsonObject, signature: str | None, candidate: _Candidate, index: int, chunk: JsonObject
    ) -> Iterator[ChatEvent]:
        """A function call, which always comes whole."""
        position = candidate.calls
        candidate.calls += 1
        # Ids are optional here but not for our callers, and must not recur in a later turn.
        call_id = call.get("id") or f"call_{_answer_id(chunk)}_{index}_{position}"
        issuer = self.issuer if signature else None
        yield ToolCallStarted(position, call_id, call["name"], signature, issuer, index)
        arguments = json.dumps(call.get("args", {}), ensure_ascii=False, separators=(",", ":"))
        yield ToolCallDelta(position, arguments, index)


def _no_answer() -> UpstreamError:
    return UpstreamError("The model gave no answer.")


def _answer_id(chunk: JsonObject) -> str:
    """What tells this answer from any other."""
    answer_id: str | None = chunk.get("responseId")
    return answer_id or hashlib.sha256(json.dumps(chunk).encode()).hexdigest()[:22]


def _standard_base64(data: str) -> str:
    """Base64 of either alphabet, padded or not, in the standard one with padding."""
    return data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4)


def _logprobs(result: JsonObject) -> tuple[TokenLogprob, ...]:
    """See https://ai.google.dev/api/generate-content#LogprobsResult."""
    chosen = result.get("chosenCandidates", [])
    steps = [step.get("candidates", []) for step in result.get("topCandidates", [])]
    steps += [[]] * (len(chosen) - len(steps))
    return tuple(
        TokenLogprob(**_logprob(token), top_logprobs=tuple(TopLogprob(**_logprob(top)) for top in tops))
        for token, tops in zip(chosen, steps, strict=False)
    )


def _logprob(candidate: JsonObject) -> JsonObject:
    # Proto JSON leaves out a probability of zero, which is a certain token.
    token = candidate.get("token", "")
    return {"token": token, "logprob": candidate.get("logProbability", 0.0), "bytes": tuple(token.encode())}


def _usage(metadata: JsonObject) -> Usage:
    """See https://ai.google.dev/api/generate-content#UsageMetadata: thoughts are counted beside the candidates, cached
    tokens inside the prompt, the results of the vendor's own tools beside it."""
    thoughts = metadata.get("thoughtsTokenCount", 0)
    given = metadata.get("promptTokensDetails", ())
    made = metadata.get("candidatesTokensDetails", ())
    return Usage(
        input_tokens=metadata.get("promptTokenCount", 0) + metadata.get("toolUsePromptTokenCount", 0),
        output_tokens=metadata.get("candidatesTokenCount", 0) + thoughts,
        cached_read_tokens=metadata.get("cachedContentTokenCount", 0),
        reasoning_tokens=thoughts,
        input_image_tokens=_of_modality(given, "IMAGE"),
        output_image_tokens=_of_modality(made, "IMAGE"),
        input_audio_tokens=_of_modality(given, "AUDIO"),
        output_audio_tokens=_of_modality(made, "AUDIO"),
    )


def _of_modality(details: Sequence[JsonObject], modality: str) -> int:
    return sum(detail.get("tokenCount", 0) for detail in details if detail.get("modality") == modality)


# --- errors


def _error_object(body: Any) -> JsonObject | None:
    """The error in a body; a streamed call may answer it in an array."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def _error(status: int, headers: Mapping[str, str], error: JsonObject) -> GatewayError:
    """See https://ai.google.dev/gemini-api/docs/troubleshooting; the details are those of google.rpc."""
    details = [detail for detail in error.get("details") or () if isinstance(detail, dict)]
    if status == 400 and _is_operators_fault(error, details):
        return error_for_status(403, headers, None)
    for detail in details:
        if delay := detail.get("retryDelay"):
            headers = {**headers, "retry-after": str(delay).removesuffix("s")}
    return error_for_status(status, headers, error.get("message"))


def _is_operators_fault(error: JsonObject, details: Sequence[JsonObject]) -> bool:
    """A key that is wrong or expired, or an account without billing where it needs it."""
    return error.get("status") == "FAILED_PRECONDITION" or any(
        str(detail.get("reason", "")).startswith("API_KEY") for detail in details
    )
