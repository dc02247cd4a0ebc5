"""How Gemini's models are told how much to think."""

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


def thinking_config(effort: ReasoningEffort | None, model: Model, *, image_output: bool) -> JsonObject | None:
    """The model's ThinkingConfig for an effort, or None for its default.

    See https://ai.google.dev/gemini-api/docs/thinking. Thoughts are returned only to callers that ask for an effort.
    """
    if effort is None or "thinking_level" not in model.quirks:
        return None
    always = "always_thinks" in model.quirks
    config: JsonObject = {"includeThoughts": True} if effort != "none" else {}
    level = _LEVELS[effort]
    if image_output and always:
        return config or None  # its level cannot be set
    if image_output:
        level = "MINIMAL" if level in ("MINIMAL", "LOW") else "HIGH"
    elif always and level == "MINIMAL":
        level = "LOW"
    return {**config, "thinkingLevel": level}
