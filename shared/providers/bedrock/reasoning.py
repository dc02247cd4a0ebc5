"""How Bedrock's models are asked to reason: fields of `additionalModelRequestFields`, in each vendor's own words.

Claude: https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html. Nova:
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html. OpenAI:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeAlias

from shared.dataclass import dataclass
from shared.providers.anthropic.thinking import BINDING_BETA, DEFAULT_MAX_TOKENS, bound, is_off, thinking
from shared.schemas.chat import ChatRequest, ReasoningEffort
from shared.schemas.model import Model

Block: TypeAlias = dict[str, Any]

_THREE: Mapping[ReasoningEffort, str] = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}

_OPENAIS: Mapping[ReasoningEffort, str] = {"minimal": "low", "max": "xhigh"}


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a request says about reasoning.

    `fields` are additional ones, `max_tokens` bounds the answer and its thoughts; `thinks` where sampling is refused,
    `is_unlimited` where `max_tokens` is as well.
    """

    max_tokens: int | None
    fields: Block = field(default_factory=dict)
    thinks: bool = False
    is_unlimited: bool = False


def reasoning(request: ChatRequest, model: Model, messages: list[Block]) -> Reasoning:
    """Raises InvalidRequest for a budget that the model cannot keep."""
    limit = request.max_output_tokens
    quirks, asked = model.quirks, request.reasoning_effort
    if not quirks.isdisjoint(("adaptive_thinking", "budget_thinking")):
        return _claudes(request, model, messages)
    if asked is None:
        return Reasoning(limit)
    if "effort_field" in quirks:
        return Reasoning(limit, {"reasoning_effort": _THREE[asked]})
    if "effort_object" in quirks:
        return Reasoning(limit, {"reasoning": {"effort": _OPENAIS.get(asked, asked)}})
    if "nova_reasoning" in quirks and asked != "none":
        # With high effort, limits are refused: a caller who has set one keeps it.
        effort = "medium" if limit is not None and _THREE[asked] == "high" else _THREE[asked]
        config = {"type": "enabled", "maxReasoningEffort": effort}
        return Reasoning(limit, {"reasoningConfig": config}, thinks=effort == "high", is_unlimited=effort == "high")
    return Reasoning(limit)


def _claudes(request: ChatRequest, model: Model, messages: list[Block]) -> Reasoning:
    limit = request.max_output_tokens
    most = limit or model.max_output_tokens or DEFAULT_MAX_TOKENS
    configuration, effort = thinking(request, model, most, may_think=_may_think(messages))
    if configuration is None and "budget_thinking" in model.quirks:
        limit = request.max_tokens  # the model does not think
    elif configuration is not None and "budget_tokens" in configuration:
        limit = most  # must be larger than the budget
    thinks = configuration is not None and not is_off(configuration)
    fields: Block = {}
    if "bound_thinking" in model.quirks and _has_thinking(messages) and not is_off(configuration):
        configuration = bound(configuration)
        fields["anthropic_beta"] = [BINDING_BETA]
    if configuration is not None:
        fields["thinking"] = configuration
    if effort is not None:
        fields["output_config"] = {"effort": effort}
    return Reasoning(limit, fields, thinks=thinks)


def _may_think(messages: list[Block]) -> bool:
    """Whether thinking with a budget is allowed: not in a turn that began without thinking.

    A turn begins after the last user message that is not a tool result.
    """
    begun: Block | None = None
    for message in reversed(messages):
        if message["role"] == "assistant":
            begun = message
        elif "toolResult" not in message["content"][0]:
            break
    return begun is None or "reasoningContent" in begun["content"][0]


def _has_thinking(messages: list[Block]) -> bool:
    return any("reasoningContent" in block for message in messages for block in message["content"])
