"""Raw content: Google's own request and, in snake case, its own response.

Wire format: https://ai.google.dev/api/generate-content.
"""

import re
from typing import Any

from shared.media import standard_base64
from shared.providers.base import Call
from shared.providers.gemini.finish import no_answer
from shared.providers.gemini.usage import usage_of
from shared.providers.gemini.wire import generate, given, inline, int32
from shared.schemas.generated_content import ContentRequest, ContentResponse, JsonObject
from shared.schemas.model import Model

# How a candidate ends that there is none of, since the prompt was blocked. A reason that only prompts have, or one yet
# to come, is OTHER.
_ENDS = {
    "SAFETY": "SAFETY",
    "BLOCKLIST": "BLOCKLIST",
    "PROHIBITED_CONTENT": "PROHIBITED_CONTENT",
    "IMAGE_SAFETY": "IMAGE_SAFETY",
    "MODEL_ARMOR": "MODEL_ARMOR",
    "JAILBREAK": "PROHIBITED_CONTENT",
}

# Objects whose names are the caller's or the model's own, not Google's.
_FREE_FORM = frozenset({"args", "response", "partMetadata"})
# Bytes, which JSON holds in base64 of either alphabet.
_BYTES = frozenset({"data", "thoughtSignature", "sdkBlob", "continuationToken"})

_CAPITAL = re.compile("[A-Z]")


def call(request: ContentRequest, model: Model) -> Call:
    """See `Gemini.content`."""
    images = [inline(image.media_type, image.data) for image in request.images]
    config = given(
        {
            "temperature": request.temperature,
            "topP": request.top_p,
            "topK": request.top_k,
            "maxOutputTokens": request.max_output_tokens,
            "seed": int32(request.seed),
            "candidateCount": request.candidate_count if request.candidate_count > 1 else None,
            "stopSequences": list(request.stop_sequences) or None,
            "responseModalities": list(request.modalities) or None,
            "imageConfig": given({"aspectRatio": request.aspect_ratio, "imageSize": request.image_size}) or None,
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
    return generate(body, model)


def response(body: Any) -> ContentResponse:
    """See `Gemini.content_response`."""
    usage = usage_of(body.get("usageMetadata") or {})
    whole: JsonObject = _snake_case(body)
    candidates = whole.pop("candidates", [])
    if not candidates:
        candidates = [{"finish_reason": _end_of_blocked(whole)}]
    for index, candidate in enumerate(candidates):
        content = candidate.setdefault("content", {})
        content.setdefault("parts", [])
        content.setdefault("role", "model")
        candidate.setdefault("index", index)
    _complete(whole.setdefault("usage_metadata", {}))
    return ContentResponse(body={"candidates": candidates, **whole}, usage=usage)


def _end_of_blocked(whole: JsonObject) -> str:
    """Raises UpstreamError where no reason is given for the want of an answer."""
    reason = whole.get("prompt_feedback", {}).get("block_reason")
    if reason is None:
        raise no_answer()
    return _ENDS.get(reason, "OTHER")


def _complete(counts: JsonObject) -> None:
    """The three counts that are always there; Google leaves out what is zero."""
    prompt = counts.setdefault("prompt_token_count", 0)
    answer = counts.setdefault("candidates_token_count", 0) + counts.get("thoughts_token_count", 0)
    counts.setdefault("total_token_count", prompt + answer)


def _snake_case(value: Any) -> Any:
    """Google's names in snake case, nulls left out, bytes in standard base64. Changes objects and lists in place."""
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
