"""Gemini's token counts as canonical usage."""

from collections.abc import Sequence

from shared.schemas.chat import JsonObject
from shared.schemas.usage import Usage


def usage_of(metadata: JsonObject) -> Usage:
    """The usage in a UsageMetadata: https://ai.google.dev/api/generate-content#UsageMetadata.

    Gemini counts thoughts outside the candidates, cached tokens inside the prompt, and the results of its own tools
    outside the prompt.
    """
    thoughts = metadata.get("thoughtsTokenCount", 0)
    inputs = metadata.get("promptTokensDetails", ())
    outputs = metadata.get("candidatesTokensDetails", ())
    return Usage(
        input_tokens=metadata.get("promptTokenCount", 0) + metadata.get("toolUsePromptTokenCount", 0),
        output_tokens=metadata.get("candidatesTokenCount", 0) + thoughts,
        cached_read_tokens=metadata.get("cachedContentTokenCount", 0),
        reasoning_tokens=thoughts,
        input_image_tokens=_of_modality(inputs, "IMAGE"),
        output_image_tokens=_of_modality(outputs, "IMAGE"),
        input_audio_tokens=_of_modality(inputs, "AUDIO"),
        output_audio_tokens=_of_modality(outputs, "AUDIO"),
    )


def _of_modality(details: Sequence[JsonObject], modality: str) -> int:
    return sum(detail.get("tokenCount", 0) for detail in details if detail.get("modality") == modality)
