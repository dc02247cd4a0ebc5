"""Raw content by generateContent: Gemini's own response, in snake case.

Wire format: https://ai.google.dev/api/generate-content.
"""

import re
from typing import Any

from shared.media import standard_base64
from shared.providers.base import Call, ContentAdapter
from shared.providers.gemini.requests import generate_content, inline_data, int32, without_none
from shared.providers.gemini.responses import empty_response
from shared.providers.gemini.usage import usage_of
from shared.providers.gemini.vendor import vendor as gemini
from shared.schemas.generated_content import ContentRequest, ContentResponse, JsonObject
from shared.schemas.model import Model

# The finish reason for each reason to block a prompt. One that has no counterpart, or is added later, is OTHER.
_FINISH_REASONS = {
    "SAFETY": "SAFETY",
    "BLOCKLIST": "BLOCKLIST",
    "PROHIBITED_CONTENT": "PROHIBITED_CONTENT",
    "IMAGE_SAFETY": "IMAGE_SAFETY",
    "MODEL_ARMOR": "MODEL_ARMOR",
    "JAILBREAK": "PROHIBITED_CONTENT",
}

# Objects whose keys are chosen by the caller or the model and must not be renamed.
_FREE_FORM = frozenset({"args", "response", "partMetadata"})
# Bytes, which proto JSON writes in base64 of either alphabet.
_BYTES = frozenset({"data", "thoughtSignature", "sdkBlob", "continuationToken"})

_CAPITAL = re.compile("[A-Z]")


class GeminiContent:
    """Raw content."""

    vendor = gemini

    def call(self, request: ContentRequest, model: Model) -> Call:
        """See https://ai.google.dev/api/generate-content#method:-models.generatecontent."""
        images = [inline_data(image.media_type, image.data) for image in request.images]
        image_config = {"aspectRatio": request.aspect_ratio, "imageSize": request.image_size}
        config = without_none(
            {
                "temperature": request.temperature,
                "topP": request.top_p,
                "topK": request.top_k,
                "maxOutputTokens": request.max_output_tokens,
                "seed": int32(request.seed),
                "candidateCount": request.candidate_count if request.candidate_count > 1 else None,
                "stopSequences": list(request.stop_sequences) or None,
                "responseModalities": list(request.modalities) or None,
                "imageConfig": without_none(image_config) or None,
            }
        )
        body: JsonObject = {"contents": [{"role": "user", "parts": [*images, {"text": request.prompt}]}]}
        if request.system_instruction:
            body["systemInstruction"] = {"parts": [{"text": request.system_instruction}]}
        if request.safety_settings:
            body["safetySettings"] = [
                {"category": setting.category, "threshold": setting.threshold} for setting in request.safety_settings
            ]
        if config:
            body["generationConfig"] = config
        return generate_content(body, model)

    def response(self, body: Any) -> ContentResponse:
        """The whole GenerateContentResponse. A blocked prompt gets one candidate without parts.

        Raises UpstreamError if there is neither a candidate nor a reason why the prompt was blocked.
        """
        usage = usage_of(body.get("usageMetadata") or {})
        response: JsonObject = _snake_case(body)
        candidates = response.pop("candidates", [])
        if not candidates:
            candidates = [{"finish_reason": _blocked_finish_reason(response)}]
        for index, candidate in enumerate(candidates):
            content = candidate.setdefault("content", {})
            content.setdefault("parts", [])
            content.setdefault("role", "model")
            candidate.setdefault("index", index)
        _set_missing_counts(response.setdefault("usage_metadata", {}))
        return ContentResponse(body={"candidates": candidates, **response}, usage=usage)


def _blocked_finish_reason(response: JsonObject) -> str:
    """The finish reason of a blocked prompt. Raises UpstreamError if the prompt was not blocked."""
    reason = response.get("prompt_feedback", {}).get("block_reason")
    if reason is None:
        raise empty_response()
    return _FINISH_REASONS.get(reason, "OTHER")


def _set_missing_counts(counts: JsonObject) -> None:
    """Sets the three counts that every response has; proto JSON leaves out those that are zero."""
    prompt = counts.setdefault("prompt_token_count", 0)
    output = counts.setdefault("candidates_token_count", 0) + counts.get("thoughts_token_count", 0)
    counts.setdefault("total_token_count", prompt + output)


def _snake_case(value: Any) -> Any:
    """Renames Google's keys to snake case, drops nulls and standardises base64. Changes objects and lists in place."""
    if isinstance(value, list):
        value[:] = [_snake_case(item) for item in value]
    elif isinstance(value, dict):
        for name in list(value):
            inner = value.pop(name)
            if inner is None:
                continue
            if name in _BYTES and isinstance(inner, str):
                inner = standard_base64(inner)
            elif name not in _FREE_FORM:
                inner = _snake_case(inner)
            value[_CAPITAL.sub(lambda capital: "_" + capital[0].lower(), name)] = inner
    return value


adapter: ContentAdapter = GeminiContent()
