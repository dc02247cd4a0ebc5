"""How much Gemini's models are let think."""

from shared.schemas.chat import JsonObject, ReasoningEffort
from shared.schemas.model import Model

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


def thinking(effort: ReasoningEffort | None, model: Model, *, draws: bool) -> JsonObject | None:
    """See https://ai.google.dev/gemini-api/docs/thinking. Thoughts are only shown to callers who ask for an effort."""
    if effort is None or "no_thinking" in model.quirks:
        return None
    always = "always_thinks" in model.quirks
    config: JsonObject = {"includeThoughts": True} if effort != "none" else {}
    if "thinking_level" in model.quirks:
        level = _LEVELS[effort]
        if draws and always:
            return config or None  # its thinking is not adjustable
        if draws:
            level = "MINIMAL" if level in ("MINIMAL", "LOW") else "HIGH"
        elif always and level == "MINIMAL":
            level = "LOW"
        return {**config, "thinkingLevel": level}
    if "thinking_budget" in model.quirks:
        budget = _BUDGETS[effort]
        return {**config, "thinkingBudget": budget or (_LEAST_BUDGET if always else 0)}
    return None
