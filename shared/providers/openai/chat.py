"""Chat: by chat completions, and by the Responses API for models that can do more there.

Wire format: https://developers.openai.com/api/reference/resources/chat/subresources/completions.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, assert_never

from shared.providers.base import Call, ChatAdapter, FrameDecoder, Reader
from shared.providers.json_schema import Budget
from shared.providers.openai.abilities import check_features, reasoning_effort, takes_sampling
from shared.providers.openai.chat_reader import EitherReader
from shared.providers.openai.messages import cache_control, messages
from shared.providers.openai.responses.original import original_payload
from shared.providers.openai.responses.request import payload as responses_payload
from shared.providers.openai.strict_schema import strict_schema
from shared.providers.openai.vendor import vendor as openai
from shared.schemas.chat import (
    ChatRequest,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    ServiceTier,
    Tool,
    ToolChoice,
)
from shared.schemas.content import ToolCall
from shared.schemas.events import ChatEvent
from shared.schemas.model import Model
from shared.schemas.original import WireFormat

# The fields that are left out for a model with the quirk.
_LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "conversation_header": ("prompt_cache_key",),
    "default_temperature_only": ("presence_penalty", "frequency_penalty", "logit_bias"),
    "no_logit_bias": ("logit_bias",),
    "no_penalties": ("presence_penalty", "frequency_penalty"),
    "no_cache_key": ("prompt_cache_key",),
    "no_tiers": ("service_tier",),
    "no_stop": ("stop",),
    "no_stream_usage": ("stream_options",),
    "no_user": ("user",),
    "no_verbosity": ("verbosity",),
}

# Groq's names of OpenAI's tiers: https://console.groq.com/docs/service-tiers.
_ON_DEMAND_TIERS: Mapping[ServiceTier | None, str] = {
    "auto": "auto",
    "default": "on_demand",
    "flex": "flex",
    "priority": "performance",
}

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}

# The Responses API refuses a smaller `max_output_tokens`.
_LEAST_RESPONSE = 16


class OpenAIChat:
    """Chat, whole and streamed.

    `metadata` is not sent: OpenAI accepts it only together with `store`, for conversations that it is to keep.
    """

    vendor = openai

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for log probabilities, image output or a forced tool call that the model lacks, and
        InvalidRequest for a strict JSON schema that is invalid or too large.
        """
        original = request.original
        if self.wire(model) == "responses":
            if original is not None and original.wire == "responses":
                payload = original_payload(request, original, model)
                return Call("/responses", payload, headers=original.headers, streamed=request.stream)
            if not _is_for_chat(request):
                return Call("/responses", responses_payload(request, model), streamed=request.stream)
        payload = _payload(request, model)
        return Call("/chat/completions", payload, headers=_headers(request, model), streamed=request.stream)

    def wire(self, model: Model) -> WireFormat:
        return "responses" if "responses" in model.quirks else "chat"

    def frames(self) -> FrameDecoder:
        return openai.frames()

    def reader(self, request: ChatRequest) -> Reader[ChatEvent]:
        return EitherReader(request)


def _is_for_chat(request: ChatRequest) -> bool:
    """Whether the answer must be shorter than the Responses API allows, and needs nothing that only that API has."""
    most = request.max_output_tokens
    if most is None or most >= _LEAST_RESPONSE or request.web_search is not None:
        return False
    return not any(tool.custom for tool in request.tools) and not any(
        isinstance(part, ToolCall) and part.custom for message in request.messages for part in message.parts
    )


def _headers(request: ChatRequest, model: Model) -> Mapping[str, str]:
    if request.cache_key is None or "conversation_header" not in model.quirks:
        return {}
    # https://docs.x.ai/developers/advanced-api-usage/prompt-caching. A caller's key need not be fit for a header.
    return {"x-grok-conv-id": sha256(request.cache_key.encode(errors="replace")).hexdigest()[:32]}


def _payload(request: ChatRequest, model: Model) -> JsonObject:
    quirks = model.quirks
    budget = Budget()
    effort = reasoning_effort(request, model)
    check_features(request, model, effort)
    samples = takes_sampling(model, effort)
    fields: JsonObject = {
        **_unknown_fields(request, quirks),
        "model": model.upstream,
        "messages": messages(request, quirks),
        "max_completion_tokens" if "max_completion_tokens" in quirks else "max_tokens": request.max_output_tokens,
        "temperature": request.temperature if samples else None,
        "top_p": request.top_p if samples else None,
        "n": request.n if request.n > 1 else None,
        "stop": list(request.stop) or None,
        "random_seed" if "random_seed" in quirks else "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "logit_bias": _logit_bias(request.logit_bias),
        "logprobs": request.logprobs or None,
        "top_logprobs": request.top_logprobs if request.logprobs else None,
        "verbosity": request.verbosity,
        "user": request.user,
        "response_format": _response_format(request, budget),
        "modalities": ["image", "text"] if request.image_output else None,
        "stream": request.stream or None,
        "stream_options": {"include_usage": True} if request.stream else None,
        "service_tier": _service_tier(request, quirks),
        "prompt_cache_key": request.cache_key,
        **_cache_fields(request, quirks),
        **_effort_fields(effort, request.reasoning_budget, quirks),
        **_tool_fields(request, quirks, budget),
        **_search_fields(request, quirks, budget),
    }
    left_out = {name for quirk in quirks for name in _LEFT_OUT.get(quirk, ())}
    return {name: value for name, value in fields.items() if value is not None and name not in left_out}


def _unknown_fields(request: ChatRequest, quirks: frozenset[str]) -> Mapping[str, Any]:
    original = request.original
    return original.body if original is not None and original.wire == "chat" and "unknown_fields" in quirks else {}


def _effort_fields(effort: str | None, budget: int | None, quirks: frozenset[str]) -> JsonObject:
    if budget is not None and effort is not None and "reasoning_budget" in quirks:
        # https://openrouter.ai/docs/use-cases/reasoning-tokens: a budget or an effort, not both.
        return {"reasoning": {"max_tokens": budget}}
    if effort == "none" and "thinking_switch" in quirks:
        # https://api-docs.deepseek.com/guides/thinking_mode
        return {"thinking": {"type": "disabled"}}
    return {"reasoning_effort": effort}


def _service_tier(request: ChatRequest, quirks: frozenset[str]) -> str | None:
    tier = request.service_tier
    return _ON_DEMAND_TIERS.get(tier) if "on_demand_tier" in quirks else tier


def _cache_fields(request: ChatRequest, quirks: frozenset[str]) -> JsonObject:
    if "cache_control" in quirks:
        return {"cache_control": request.cache and cache_control(request.cache)}
    if "cache_breakpoints" in quirks and request.explicit_cache:
        return {"prompt_cache_options": {"mode": "explicit"}}
    return {}


def _search_fields(request: ChatRequest, quirks: frozenset[str], budget: Budget) -> JsonObject:
    """`tools` as well where the search is one of them."""
    search = request.web_search
    if search is None:
        return {}
    names = ("city", "country", "region", "timezone")
    place = {name: value for name in names if (value := getattr(search, name)) is not None}
    options: JsonObject = {"search_context_size": search.context_size} if search.context_size else {}
    if "search_tool" in quirks:
        # https://openrouter.ai/docs/guides/features/server-tools/web-search
        if place:
            options["user_location"] = {"type": "approximate", **place}
        tool = {"type": "openrouter:web_search", "parameters": options}
        return {"tools": [*(_tool(tool, quirks, budget) for tool in request.tools), tool]}
    if place:
        options["user_location"] = {"type": "approximate", "approximate": place}
    return {"web_search_options": options}


def _logit_bias(bias: dict[str, float] | None) -> dict[str, float] | None:
    """OpenAI accepts integers only."""
    if bias is None:
        return None
    return {token: int(value) if value.is_integer() else value for token, value in bias.items()}


def _tool_fields(request: ChatRequest, quirks: frozenset[str], budget: Budget) -> JsonObject:
    if not request.tools:
        return {}  # tool_choice and parallel_tool_calls are refused without tools
    return {
        "tools": [_tool(tool, quirks, budget) for tool in request.tools],
        "tool_choice": _tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
    }


def _tool(tool: Tool, quirks: frozenset[str], budget: Budget) -> JsonObject:
    parameters = tool.parameters or _NO_PARAMETERS  # Mistral requires them
    if tool.strict:
        parameters = strict_schema(parameters, budget)
    function: JsonObject = {"name": tool.name, "parameters": parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    if tool.cache is not None and "cache_control" in quirks:
        return {"type": "function", "function": function, "cache_control": cache_control(tool.cache)}
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice | None) -> Any:
    return {"type": "function", "function": {"name": choice.name}} if isinstance(choice, NamedTool) else choice


def _response_format(request: ChatRequest, budget: Budget) -> JsonObject | None:
    wanted = request.response_format
    match wanted:
        case None:
            return None
        case JsonObjectFormat():
            return {"type": "json_object"}
        case JsonSchemaFormat():
            schema: JsonObject = {
                "name": wanted.name,
                "schema": strict_schema(wanted.json_schema, budget) if wanted.strict else wanted.json_schema,
            }
            if wanted.description is not None:
                schema["description"] = wanted.description
            if wanted.strict is not None:
                schema["strict"] = wanted.strict
            return {"type": "json_schema", "json_schema": schema}
        case _:
            assert_never(wanted)


adapter: ChatAdapter = OpenAIChat()
