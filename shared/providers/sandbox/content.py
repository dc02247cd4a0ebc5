"""Raw content: `POST /content` takes a ContentRequest and answers with a ContentResponse.

Its body is as Gemini's, with names in snake case: https://ai.google.dev/api/generate-content
"""

import re
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json, to_jsonable_python

from shared.providers.base import Call, ContentAdapter, LocalAnswer
from shared.providers.sandbox import tokens
from shared.providers.sandbox.images import draw
from shared.providers.sandbox.vendor import FILTER, REFUSAL, REFUSE, Unanswerable, vendor, whole
from shared.schemas.generated_content import ContentRequest, ContentResponse, JsonObject
from shared.schemas.model import Model
from shared.schemas.usage import Usage

_SIDES = {None: 1024, "1K": 1024, "2K": 2048, "4K": 4096}  # the longer one in pixels


class SandboxContent:
    vendor = vendor

    def call(self, request: ContentRequest, model: Model) -> Call:
        return Call("/content", {**to_jsonable_python(request), "model": model.upstream})

    def response(self, body: Any) -> ContentResponse:
        return TypeAdapter(ContentResponse).validate_python(body)


adapter: ContentAdapter = SandboxContent()


def answer(body: JsonObject) -> LocalAnswer:
    """Raises Unanswerable."""
    request = TypeAdapter(ContentRequest).validate_python(body)
    ratio = re.fullmatch(r"([1-9]\d?):([1-9]\d?)", request.aspect_ratio or "1:1")
    if not ratio or request.image_size not in _SIDES:
        raise Unanswerable(400, "aspect_ratio must be such as 16:9, image_size one of 1K, 2K, 4K.")
    sides = int(ratio[1]), int(ratio[2])
    width, height = (round(_SIDES[request.image_size] * side / max(sides)) for side in sides)
    candidates = [_candidate(request, index, (width, height)) for index in range(request.candidate_count)]
    parts = [part for candidate in candidates for part in candidate["content"]["parts"]]
    texts = [part["text"] for part in parts if "text" in part]
    given = tokens.count(request.prompt) + tokens.count(request.system_instruction or "")
    usage = Usage(input_tokens=given, output_tokens=sum(map(tokens.count, texts)))
    usage += tokens.of_images(len(request.images), len(parts) - len(texts), width, height)
    content = {
        "candidates": candidates,
        "usage_metadata": {
            "prompt_token_count": usage.input_tokens,
            "candidates_token_count": usage.output_tokens,
            "total_token_count": usage.total_tokens,
        },
        "model_version": "sandbox-image-1",
    }
    if FILTER in request.prompt:
        content["prompt_feedback"] = {"block_reason": "IMAGE_SAFETY"}
    return whole(request.model, to_json(ContentResponse(content, usage)))


def _candidate(request: ContentRequest, index: int, size: tuple[int, int]) -> JsonObject:
    """Text before the image, each only where its modality was asked for."""
    refused, blocked = REFUSE in request.prompt, FILTER in request.prompt
    text = REFUSAL if refused else f'Here is a picture for "{request.prompt[:200]}".'
    text = tokens.until("".join(tokens.split(text)[: request.max_output_tokens]), request.stop_sequences)
    parts: list[JsonObject] = [{"text": text}] if text and "TEXT" in request.modalities and not blocked else []
    if "IMAGE" in request.modalities and not (refused or blocked):
        picture = draw(*size, index, request.prompt, request.seed, *(image.data for image in request.images))
        parts.append({"inline_data": {"data": picture.data, "mime_type": picture.media_type}})
    reason = "IMAGE_SAFETY" if blocked else "STOP" if parts else "NO_IMAGE"
    return {"content": {"role": "model", "parts": parts}, "finish_reason": reason, "index": index}
