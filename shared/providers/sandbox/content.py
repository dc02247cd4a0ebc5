"""Raw content on the sandbox's wire: `POST /content` takes a ContentRequest as JSON and answers as Gemini would.

The answer is a GenerateContentResponse (https://ai.google.dev/api/generate-content) with its names in snake case.
"""

import hashlib
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from shared.providers.base import Call, LocalAnswer
from shared.providers.sandbox import behaviour, pictures, tokens
from shared.providers.sandbox.triggers import FILTER, REFUSAL, REFUSE
from shared.schemas.generated_content import ContentRequest, ContentResponse, JsonObject
from shared.schemas.usage import Usage

_MOST_CANDIDATES = 8
# The longer side in pixels.
_SIZES = {None: 1024, "1K": 1024, "2K": 2048, "4K": 4096}
# No picture gets narrower than the sandbox draws.
_WIDEST_RATIO = 16


@cache
def _requests() -> TypeAdapter[ContentRequest]:
    return TypeAdapter(ContentRequest)


def call(request: ContentRequest, upstream: str) -> Call:
    """The request as it is, addressed to the model's upstream name."""
    json = _requests().dump_python(request, mode="json", exclude_none=True)
    return Call(path="/content", json={**json, "model": upstream})


def response(body: Any) -> ContentResponse:
    """The body as it is, and what it says of tokens."""
    counts = body["usage_metadata"]
    return ContentResponse(
        body,
        Usage(
            input_tokens=counts["prompt_token_count"],
            input_image_tokens=_of_images(counts["prompt_tokens_details"]),
            output_tokens=counts["candidates_token_count"],
            output_image_tokens=_of_images(counts["candidates_tokens_details"]),
            images=sum("inline_data" in part for found in body["candidates"] for part in found["content"]["parts"]),
        ),
    )


def _of_images(details: list[JsonObject]) -> int:
    return sum(detail["token_count"] for detail in details if detail["modality"] == "IMAGE")


def answer(body: bytes) -> LocalAnswer:
    """The GenerateContentResponse to a request. Raises ValidationError for a body that is none."""
    request = _requests().validate_json(body)
    if (other := behaviour.instead(request.model, "image")) is not None:
        return other
    if not 1 <= request.candidate_count <= _MOST_CANDIDATES:
        return behaviour.failure(400, f"candidate_count must be from 1 to {_MOST_CANDIDATES}.")
    size = _pixel_size(request)
    if size is None:
        return behaviour.failure(400, "aspect_ratio must be such as 16:9, image_size one of 1K, 2K, 4K.")
    return behaviour.whole(request.model, to_json(_content(request, size, hashlib.sha256(body).hexdigest()[:24])))


def _pixel_size(request: ContentRequest) -> tuple[int, int] | None:
    """Width and height as `aspect_ratio` and `image_size` have them; None for what these do not mean."""
    longer = _SIZES.get(request.image_size)
    wide, colon, high = (request.aspect_ratio or "1:1").partition(":")
    if longer is None or not (colon and wide.isdecimal() and high.isdecimal() and len(wide + high) <= 6):
        return None
    width, height = int(wide), int(high)
    if not width or not height or max(width, height) > _WIDEST_RATIO * min(width, height):
        return None
    scale = longer / max(width, height)
    return round(width * scale), round(height * scale)


def _content(request: ContentRequest, size: tuple[int, int], response_id: str) -> JsonObject:
    candidates = [_candidate(request, index, size) for index in range(request.candidate_count)]
    parts = [part for candidate in candidates for part in candidate["content"]["parts"]]
    text = tokens.count(request.prompt) + tokens.count(request.system_instruction or "")
    prompt = {"TEXT": text, "IMAGE": tokens.IMAGE_TOKENS * len(request.images)}
    made = {
        "TEXT": sum(tokens.count(part["text"]) for part in parts if "text" in part),
        "IMAGE": sum(tokens.of_pixels(*size) for part in parts if "inline_data" in part),
    }
    body = {
        "candidates": candidates,
        "usage_metadata": {
            "prompt_token_count": sum(prompt.values()),
            "candidates_token_count": sum(made.values()),
            "total_token_count": sum(prompt.values()) + sum(made.values()),
            "prompt_tokens_details": _details(prompt),
            "candidates_tokens_details": _details(made),
        },
        "model_version": "sandbox-image-1",
        "response_id": response_id,
    }
    if FILTER in request.prompt:
        body["prompt_feedback"] = {"block_reason": "IMAGE_SAFETY", "safety_ratings": _BLOCKED}
    return body


_BLOCKED = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]


def _details(counts: dict[str, int]) -> list[JsonObject]:
    return [{"modality": modality, "token_count": count} for modality, count in counts.items() if count]


def _candidate(request: ContentRequest, index: int, size: tuple[int, int]) -> JsonObject:
    """One candidate: text before the image, each only where its modality was asked for."""
    if FILTER in request.prompt:
        return {**_ended(index, [], "IMAGE_SAFETY"), "safety_ratings": _BLOCKED}
    refused = REFUSE in request.prompt
    parts: list[JsonObject] = []
    if "TEXT" in request.modalities:
        number = f" (alternative {index + 1})" if index else ""
        said = REFUSAL if refused else f'Here is a picture for "{request.prompt[:200]}"{number}.'
        if text := _limited(said, request):
            parts.append({"text": text})
    if refused:
        return _ended(index, parts, "STOP" if parts else "NO_IMAGE")
    if "IMAGE" in request.modalities:
        inputs = tuple(image.data.encode() for image in request.images)
        picture = pictures.inline(pictures.Motif(request.prompt, request.seed, index, inputs), *size)
        parts.append({"inline_data": {"data": picture.data, "mime_type": picture.media_type}})
    return _ended(index, parts, "STOP")


def _ended(index: int, parts: list[JsonObject], reason: str) -> JsonObject:
    return {"content": {"role": "model", "parts": parts}, "finish_reason": reason, "index": index}


def _limited(text: str, request: ContentRequest) -> str:
    """What `max_output_tokens` and `stop_sequences` leave of the text; they do not touch images."""
    if request.max_output_tokens is not None:
        text = tokens.first(text, request.max_output_tokens)
    ends = [text.find(sequence) for sequence in request.stop_sequences if sequence and sequence in text]
    return text[: min(ends)] if ends else text
