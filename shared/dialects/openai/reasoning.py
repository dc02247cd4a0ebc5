"""How much a model is to think, in the ways in which callers say it.

`reasoning_effort` is OpenAI's, `reasoning` OpenRouter's (https://openrouter.ai/docs/use-cases/reasoning-tokens),
`thinking` Anthropic's (https://platform.claude.com/docs/en/api/messages/create) and, without a budget, that of DeepSeek
and Z.ai.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from shared.dialects.base import Ignored, Wire
from shared.errors import InvalidRequest
from shared.schemas.chat import REASONING_BUDGETS, ReasoningEffort

# "default" is Groq's name for the model's own effort.
WireReasoningEffort = Literal[ReasoningEffort, "default"]

# For a model that is to think, but not told how much.
USUAL_EFFORT: ReasoningEffort = "medium"
_Budget = Annotated[int, Field(ge=1, le=10_000_000)]


class WireReasoning(Wire):
    """`exclude` keeps the reasoning out of the answer."""

    effort: ReasoningEffort | None = None
    max_tokens: _Budget | None = None
    exclude: bool = False
    enabled: bool | None = None
    summary: Ignored = None  # reasoning comes in the form in which the vendor gives it


class WireThinking(Wire):
    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: _Budget | None = None
    display: Literal["summarized", "omitted"] | None = None


class ReasoningFields(Wire):
    """The fields of a chat request that say how much the model is to think."""

    reasoning_effort: WireReasoningEffort | None = None
    reasoning: WireReasoning | None = None
    thinking: WireThinking | None = None
    include_reasoning: bool | None = None  # Groq's, and OpenRouter's older form of `reasoning.exclude`

    @property
    def hides_reasoning(self) -> bool:
        """Whether the caller does not want to see what the model thought."""
        return (
            self.include_reasoning is False
            or (self.reasoning is not None and self.reasoning.exclude)
            or (self.thinking is not None and self.thinking.display == "omitted")
        )

    def effort_and_budget(self) -> tuple[ReasoningEffort | None, int | None]:
        """The canonical effort, and the budget in tokens where the caller gives one.

        Raises InvalidRequest where the fields contradict each other.
        """
        reasoning, thinking = self.reasoning or WireReasoning(), self.thinking
        efforts: dict[str, ReasoningEffort | None] = {
            "reasoning_effort": None if self.reasoning_effort == "default" else self.reasoning_effort,
            "reasoning.effort": reasoning.effort,
            "reasoning.enabled": "none" if reasoning.enabled is False else None,
            "thinking.type": "none" if thinking and thinking.type == "disabled" else None,
        }
        budgets = {
            "reasoning.max_tokens": reasoning.max_tokens,
            "thinking.budget_tokens": thinking.budget_tokens if thinking else None,
        }
        effort: ReasoningEffort | None = _agreed(efforts)
        budget = _agreed(budgets)
        is_on = reasoning.enabled or (thinking is not None and thinking.type != "disabled")
        if effort == "none" and (is_on or budget is not None):
            raise InvalidRequest.field("thinking" if thinking else "reasoning", "is switched off and on")
        if effort is None and budget is not None:
            effort = nearest_effort(budget)
        if effort is None and is_on:
            effort = USUAL_EFFORT
        return effort, budget


def nearest_effort(budget: int) -> ReasoningEffort:
    """The effort whose usual budget is nearest."""
    return min(REASONING_BUDGETS, key=lambda effort: abs(REASONING_BUDGETS[effort] - budget))


_ValueT = TypeVar("_ValueT")


def _agreed(values: Mapping[str, _ValueT | None]) -> _ValueT | None:
    """The one value that is given, be it several times."""
    given = {name: value for name, value in values.items() if value is not None}
    if len(set(given.values())) > 1:
        *_, field = given
        raise InvalidRequest.field(field, f"contradicts {next(iter(given))}")
    return next(iter(given.values()), None)
