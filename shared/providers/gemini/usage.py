"""What Gemini counts, in the terms that every vendor's usage is told in."""

from collections.abc import Sequence

from shared.schemas.chat import JsonObject
from shared.schemas.usage import Usage


def usage_of(metadata: JsonObject) -> Usage:
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
