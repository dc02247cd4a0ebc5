"""What Claude models take to think and to sample, wherever they are served.

See https://platform.claude.com/docs/en/build-with-claude/thinking and …/effort.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from shared.errors import InvalidRequest
from shared.schemas.chat import REASONING_BUDGETS, ChatRequest, NamedTool, ReasoningEffort
from shared.schemas.model import Model

Block: TypeAlias = dict[str, Any]

DEFAULT_MAX_TOKENS = 8192
"""The longest answer where neither the caller nor the model's row bounds it."""
BINDING_BETA = "thinking-binding-controls-2026-08-01"

_EFFORTS: Mapping[ReasoningEffort, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_SMALLEST_BUDGET = 1024


def thinking(
    request: ChatRequest, model: Model, max_tokens: int, *, may_think: bool
) -> tuple[Block | None, str | None]:
    """The thinking configuration and the effort; None for the vendor's default.

    `may_think` is whether the conversation allows thinking with a budget.
    """
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
    if "budget_thinking" in model.quirks and asked != "none" and may_think and not forces_a_tool(request):
        if request.reasoning_budget is not None:
            return {"type": "enabled", "budget_tokens": _checked_budget(request.reasoning_budget, max_tokens)}, None
        # Leaves room for the answer, which max_tokens includes.
        budget = min(REASONING_BUDGETS[asked], request.thinking_tokens or max_tokens * 3 // 4)
        if budget >= _SMALLEST_BUDGET:
            return {"type": "enabled", "budget_tokens": budget}, None
    return None, None


def _checked_budget(budget: int, max_tokens: int) -> int:
    if budget < _SMALLEST_BUDGET:
        raise InvalidRequest.field("reasoning", f"the budget must be at least {_SMALLEST_BUDGET} tokens for this model")
    if budget >= max_tokens:
        raise InvalidRequest.field("max_tokens", "must be larger than the budget for reasoning, which it includes")
    return budget


def is_off(configuration: Block | None) -> bool:
    """Whether a thinking configuration switches thinking off."""
    return configuration is not None and configuration["type"] in ("disabled", "between_tools")


def bound(configuration: Block | None) -> Block:
    """The configuration with which a model drops a thinking block, instead of refusing the request, where the caller
    has changed the history before it. It needs BINDING_BETA.
    """
    return {"type": "adaptive", **(configuration or {}), "block_binding": {"prefix_mismatch_behavior": "drop_block"}}


def forces_a_tool(request: ChatRequest) -> bool:
    return request.tool_choice == "required" or isinstance(request.tool_choice, NamedTool)


class Sampling(NamedTuple):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


def sampling(request: ChatRequest, model: Model, *, thinks: bool) -> Sampling:
    """The parameters that the model supports. Raises InvalidRequest for a temperature above 1."""
    temperature, top_p = request.temperature, request.top_p
    if "no_sampling" in model.quirks:
        return Sampling()
    if temperature is not None and temperature > 1:
        raise InvalidRequest.field("temperature", f"must be between 0 and 1 for the model '{model.id}'")
    if thinks:  # models that support sampling refuse it together with thinking
        return Sampling()
    if "temperature_or_top_p" in model.quirks and temperature is not None and top_p is not None:
        if temperature == 1:  # the default: nothing is lost without it
            temperature = None
        else:
            top_p = None
    return Sampling(temperature, top_p, request.top_k)
