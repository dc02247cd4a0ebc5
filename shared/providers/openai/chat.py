"""Chat completions.

Wire format: https://developers.openai.com/api/reference/resources/chat/subresources/completions.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, assert_never

from shared.errors import UnsupportedFeature
from shared.providers.base import Call, ChatAdapter, FrameDecoder, Reader
from shared.providers.json_schema import Budget
from shared.providers.openai.chat_answer import ChatReader
from shared.providers.openai.messages import cache_control, messages
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
from shared.schemas.events import ChatEvent
from shared.schemas.model import Capability, Model
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
# A quirk, the effort that a model with it refuses, and the nearest effort that it accepts.
_REFUSED_EFFORTS: tuple[tuple[str, str, str], ...] = (
    ("always_thinks", "none", "low"),
    ("no_minimal_effort", "minimal", "low"),
    ("no_max_effort", "max", "xhigh"),
)

# Groq's names of OpenAI's tiers: https://console.groq.com/docs/service-tiers.
_ON_DEMAND_TIERS: Mapping[ServiceTier | None, str] = {
    "auto": "auto",
    "default": "on_demand",
    "flex": "flex",
    "priority": "performance",
}

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


class OpenAIChat:
    """Chat completions, whole and streamed.

    `metadata` is not sent: OpenAI accepts it only together with `store`, for conversations that it is to keep.
    """

    vendor = openai

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for log probabilities, image output or a forced tool call that the model lacks, and
        InvalidRequest for a strict JSON schema that is invalid or too large.
        """
        payload = _payload(request, model)
        return Call("/chat/completions", payload, headers=_headers(request, model), streamed=request.stream)

    def wire(self, model: Model) -> WireFormat:
        return "chat"

    def frames(self) -> FrameDecoder:
        return openai.frames()

    def reader(self, request: ChatRequest) -> Reader[ChatEvent]:
        return ChatReader()


def _headers(request: ChatRequest, model: Model) -> Mapping[str, str]:
    if request.cache_key is None or "conversation_header" not in model.quirks:
        return {}
    # https://docs.x.ai/developers/advanced-api-usage/prompt-caching. A caller's key need not be fit for a header.
    return {"x-grok-conv-id": sha256(request.cache_key.encode(errors="replace")).hexdigest()[:32]}


def _payload(request: ChatRequest, model: Model) -> JsonObject:
    quirks = model.quirks
    budget = Budget()
    effort = _effort(request, model)
    samples = "default_temperature_only" not in quirks or ("tools_without_reasoning" in quirks and effort == "none")
    if lacking := _lacking_feature(request, model, samples=samples):
        raise UnsupportedFeature(f"The model '{model.id}' does not support {lacking}.")
    fields: JsonObject = {
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


def _lacking_feature(request: ChatRequest, model: Model, *, samples: bool) -> str | None:
    """A feature that the request needs and the model lacks; `samples` says whether it accepts sampling parameters."""
    if request.logprobs and ("no_logprobs" in model.quirks or not samples):
        return "logprobs"
    if request.image_output and Capability.IMAGE_OUTPUT not in model.capabilities:
        return "image output"
    if "no_forced_tool_choice" in model.quirks and "thinking_switch" not in model.quirks and _forces_a_tool(request):
        return "a tool_choice that forces a tool"
    return None


def _forces_a_tool(request: ChatRequest) -> bool:
    return bool(request.tools) and request.tool_choice not in (None, "auto", "none")


def _effort(request: ChatRequest, model: Model) -> str | None:
    """The reasoning effort to ask for; None leaves it to the model."""
    quirks = model.quirks
    if Capability.REASONING not in model.capabilities:
        return None
    if "tools_without_reasoning" in quirks and request.tools:
        return "none"
    if "no_forced_tool_choice" in quirks and _forces_a_tool(request):  # a model that can do so while it does not think
        return "none"
    effort: str | None = request.reasoning_effort
    if effort is None and "reasoning_opt_in" in quirks:
        effort = "none"
    for quirk, refused, nearest in _REFUSED_EFFORTS:
        if quirk in quirks and effort == refused:
            effort = nearest
    return effort


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
