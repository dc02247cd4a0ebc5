"""What goes over Gemini's wire for images and raw content."""

import base64
import io
import json
from dataclasses import replace
from typing import Any

from google.genai import types
from PIL import Image as Picture

from shared.errors import ContentFiltered, ModelNotFound, UpstreamError, UpstreamRateLimited, UpstreamRejected
from shared.gif import first_frame_png
from shared.schemas.content import Inline
from shared.schemas.generated_content import ContentRequest, ContentResponse, SafetySetting
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage
from tests.providers.operation_wire import Answer, OperationWire, Sent
from tests.providers.wire import Failure
from tests.providers.wires.gemini import FAILURES as CHAT_FAILURES
from tests.providers.wires.gemini import PNG, RESPONSE_ID, SIGNATURE, body

ENV = {"GEMINI_API_KEY": "AIza-test-key", "GEMINI_BASE_URL": "https://vendor.test"}
AUTH = ("x-goog-api-key", "AIza-test-key")

FLASH, FLASH_UPSTREAM = "gemini-2.5-flash-image", "gemini-nano-banana-2.1"
PRO, PRO_UPSTREAM = "gemini-3-pro-image-preview", "gemini-3-pro-image"
LITE = "gemini-3.1-flash-lite-image"


def path(upstream: str, method: str = "generateContent") -> str:
    return f"/v1beta/models/{upstream}:{method}"


# --- pictures


def picture(kind: str, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", (2, 2), colour).save(buffer, kind)
    return buffer.getvalue()


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


JPEG, GIF = picture("JPEG"), picture("GIF")
STILL = text64(first_frame_png(GIF))
# A picture whose base64 has + and /, so that the alphabets differ.
GREY = next(
    data
    for data in (picture("PNG", f"#{shade:02x}{shade:02x}{shade:02x}") for shade in range(256))
    if "+" in text64(data) and "/" in text64(data) and text64(data).endswith("=")
)
URL_SAFE = base64.urlsafe_b64encode(GREY).decode().rstrip("=")


def upload(data: bytes, media_type: str) -> Upload:
    return Upload(io.BytesIO(data), f"picture.{media_type.split('/')[1]}", media_type, len(data))


def blob(data: str, media_type: str = "image/png") -> Any:
    return {"inlineData": {"mimeType": media_type, "data": data}}


# --- answers

COUNTS = {
    "promptTokenCount": 265,
    "candidatesTokenCount": 1132,
    "totalTokenCount": 1597,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}, {"modality": "IMAGE", "tokenCount": 258}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    "thoughtsTokenCount": 200,
}
USAGE = Usage(
    input_tokens=265,
    output_tokens=1332,
    reasoning_tokens=200,
    input_image_tokens=258,
    output_image_tokens=1120,
)
NO_IMAGE_COUNTS = {"promptTokenCount": 9, "totalTokenCount": 9}


def answer(*candidates: Any, **more: Any) -> Any:
    whole = {"candidates": list(candidates), "usageMetadata": COUNTS, "modelVersion": FLASH_UPSTREAM}
    return {**whole, "responseId": RESPONSE_ID, **more}


def candidate(*parts: Any, finish: str = "STOP", **more: Any) -> Any:
    return {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish, "index": 0, **more}


DRAFT = {**blob(text64(JPEG), "image/jpeg"), "thought": True}
STORY = {"text": "A red dot:", "thoughtSignature": SIGNATURE}
BLOCKED_PROMPT = {
    "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
    "usageMetadata": NO_IMAGE_COUNTS,
    "modelVersion": FLASH_UPSTREAM,
    "responseId": RESPONSE_ID,
}
RATINGS = [{"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "probability": "HIGH", "blocked": True}]
UNSAFE = answer(
    {
        "content": {},
        "finishReason": "IMAGE_SAFETY",
        "index": 0,
        "finishMessage": "Unable to show the generated image.",
        "safetyRatings": RATINGS,
    },
    usageMetadata=NO_IMAGE_COUNTS,
)


# --- failures


def failure(name: str) -> Failure:
    return CHAT_FAILURES[name]


FAILURES = {
    **{
        name: failure(name)
        for name in ("bad_request", "bad_key", "bad_key_as_400", "server_error", "overloaded", "html")
    },
    "rate_limited": replace(
        failure("rate_limited_with_header"), raises=UpstreamRateLimited, headers={"retry-after": "12"}, retry_after=12
    ),
    "rate_limited_by_detail": failure("rate_limited"),
    "unknown_model": replace(failure("unknown_model"), raises=ModelNotFound),
}
MODERATED = {
    "moderated": Failure(status=200, body=body(UNSAFE), raises=ContentFiltered, message="Unable to show"),
    "moderated_prompt": Failure(status=200, body=body(BLOCKED_PROMPT), raises=ContentFiltered, message="filter"),
    "text_only": Failure(
        status=200,
        body=body(answer(candidate({"text": "Which\ncolour? See https://internal.test/x"}))),
        raises=UpstreamRejected,
        message="Which colour?",
        secret="internal.test",
    ),
    "nothing": Failure(status=200, body=body(answer(candidate(finish="NO_IMAGE"))), raises=UpstreamError),
    "only_drafts": Failure(status=200, body=body(answer(candidate(DRAFT))), raises=UpstreamError),
}


# --- the SDK's types


def validate_request(sent: Sent) -> None:
    """Every field has to be known to the SDK, except the body itself, which it has no type for."""
    value = sent.json
    assert value.keys() <= {"contents", "systemInstruction", "safetySettings", "generationConfig"}
    for item in value["contents"]:
        types.Content.model_validate(item)
    types.Content.model_validate(value.get("systemInstruction", {}))
    for item in value.get("safetySettings", ()):
        types.SafetySetting.model_validate(item)
    config = dict(value.get("generationConfig", {}))
    # The SDK keeps these in the config of the call, and writes them to generationConfig.
    types.ImageConfig.model_validate(config.pop("imageConfig", {}))
    types.GenerationConfig.model_validate(config)


def validate_answer(given: Answer) -> None:
    types.GenerateContentResponse.model_validate(json.loads(given.body))


# --- images


def image(model: str = FLASH, **options: Any) -> ImageRequest:
    return ImageRequest(model=model, prompt="A red dot", **options)


def drawing(upstream: str, *parts: Any, **config: Any) -> Any:
    return {
        "contents": [{"role": "user", "parts": [*parts, {"text": "A red dot"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"], **config},
    }


def sized(size: Size, model: str = FLASH, upstream: str = FLASH_UPSTREAM, **config: str) -> Sent:
    return Sent(
        request=image(model, size=size),
        path=path(upstream),
        json=drawing(upstream, **({"imageConfig": config} if config else {})),
    )


IMAGES = OperationWire(
    operation="images",
    adapter="gemini",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(request=image(), path=path(FLASH_UPSTREAM), json=drawing(FLASH_UPSTREAM)),
        "knobs": Sent(
            request=image(
                quality="hd",
                style="vivid",
                background="transparent",
                output_compression=50,
                moderation="low",
                input_fidelity="high",
                seed=2**31,
                user="user-1",
            ),
            path=path(FLASH_UPSTREAM),
            json=drawing(FLASH_UPSTREAM, seed=-(2**31)),
        ),
        "square": sized(Size(1024, 1024), aspectRatio="1:1"),
        "landscape": sized(Size(1536, 1024), aspectRatio="3:2"),
        "portrait": sized(Size(1024, 1536), aspectRatio="2:3"),
        "wide": sized(Size(1792, 1024), aspectRatio="16:9"),
        "tall": sized(Size(1024, 1792), aspectRatio="9:16"),
        "two_k": sized(Size(2048, 2048), aspectRatio="1:1", imageSize="2K"),
        "four_k": sized(Size(4096, 4096), PRO, PRO_UPSTREAM, aspectRatio="1:1", imageSize="4K"),
        "documented": sized(Size(2752, 1536), PRO, PRO_UPSTREAM, aspectRatio="16:9", imageSize="2K"),
        "extreme": sized(Size(2048, 512), aspectRatio="4:1"),
        "edit": Sent(
            request=image(images=(upload(base64.b64decode(PNG), "image/png"), upload(JPEG, "image/jpeg"))),
            path=path(FLASH_UPSTREAM),
            json=drawing(FLASH_UPSTREAM, blob(PNG), blob(text64(JPEG), "image/jpeg")),
        ),
        "edit_gif": Sent(
            request=image(PRO, images=(upload(GIF, "image/gif"),)),
            path=path(PRO_UPSTREAM),
            json=drawing(PRO_UPSTREAM, blob(STILL)),
        ),
    },
    answers={
        "one": Answer(
            request=image(),
            body=body(answer(candidate(DRAFT, STORY, {**blob(PNG), "thoughtSignature": SIGNATURE}))),
            means=ImageResponse((GeneratedImage(Inline(media_type="image/png", data=PNG)),), USAGE),
        ),
        "several": Answer(
            request=image(),
            body=body(answer(candidate(blob(PNG), blob(text64(JPEG), "image/jpeg")))),
            means=ImageResponse(
                (
                    GeneratedImage(Inline(media_type="image/png", data=PNG)),
                    GeneratedImage(Inline(media_type="image/jpeg", data=text64(JPEG))),
                ),
                USAGE,
            ),
        ),
        "url_safe_and_mislabelled": Answer(
            request=image(),
            body=body(answer(candidate(blob(URL_SAFE, "image/jpeg")))),
            means=ImageResponse((GeneratedImage(Inline(media_type="image/png", data=text64(GREY))),), USAGE),
        ),
        "partly_blocked": Answer(
            request=image(),
            body=body(answer(candidate(blob(PNG)), {"finishReason": "IMAGE_SAFETY", "index": 1})),
            means=ImageResponse((GeneratedImage(Inline(media_type="image/png", data=PNG)),), USAGE),
        ),
    },
    failures={**FAILURES, **MODERATED},
    validate_request=validate_request,
    validate_answer=validate_answer,
    refused={
        "mask": (
            image(images=(upload(JPEG, "image/jpeg"),), mask=upload(base64.b64decode(PNG), "image/png")),
            "mask",
        ),
        "png": (image(output_format="png"), "output_format"),
        "small": (image(size=Size(256, 256)), "size"),
        "odd_shape": (image(size=Size(1024, 600)), "1376x768"),
        "two_k_of_a_1k_model": (image(LITE, size=Size(2048, 2048)), "size"),
        "extreme_of_pro": (image(PRO, size=Size(2048, 512)), "size"),
        "broken_gif": (image(images=(upload(b"GIF89a", "image/gif"),)), "image"),
    },
)


# --- raw content


def content(**options: Any) -> ContentRequest:
    return ContentRequest(model=FLASH, prompt="A red dot", **options)


def counted(prompt: int = 265, candidates: int = 1132, total: int = 1597, **more: Any) -> Any:
    return {"prompt_token_count": prompt, "candidates_token_count": candidates, "total_token_count": total, **more}


def whole(*candidates: Any, **more: Any) -> Any:
    counts = counted(
        prompt_tokens_details=[{"modality": "TEXT", "token_count": 7}, {"modality": "IMAGE", "token_count": 258}],
        candidates_tokens_details=[{"modality": "IMAGE", "token_count": 1120}],
        thoughts_token_count=200,
    )
    common = {"model_version": FLASH_UPSTREAM, "response_id": RESPONSE_ID}
    return {"candidates": list(candidates), "usage_metadata": counts, **common, **more}


BLOCKED_USAGE = Usage(input_tokens=9)
EMPTY = {"role": "model", "parts": []}

CONTENT = OperationWire(
    operation="content",
    adapter="gemini",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(
            request=content(),
            path=path(FLASH_UPSTREAM),
            json={
                "contents": [{"role": "user", "parts": [{"text": "A red dot"}]}],
                "generationConfig": {"responseModalities": ["IMAGE", "TEXT"]},
            },
        ),
        "everything": Sent(
            request=content(
                images=(Inline(media_type="image/png", data=PNG), Inline(media_type="image/gif", data=text64(GIF))),
                modalities=("IMAGE",),
                temperature=0.5,
                top_p=0.9,
                top_k=40,
                seed=2**31,
                max_output_tokens=2048,
                safety_settings=(SafetySetting("HARM_CATEGORY_HARASSMENT", "BLOCK_NONE"),),
                system_instruction="Paint in oil.",
                candidate_count=1,
                stop_sequences=("END",),
                aspect_ratio="16:9",
                image_size="2K",
            ),
            path=path(FLASH_UPSTREAM),
            json={
                "contents": [{"role": "user", "parts": [blob(PNG), blob(STILL), {"text": "A red dot"}]}],
                "systemInstruction": {"parts": [{"text": "Paint in oil."}]},
                "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
                "generationConfig": {
                    "temperature": 0.5,
                    "topP": 0.9,
                    "topK": 40,
                    "maxOutputTokens": 2048,
                    "seed": -(2**31),
                    "stopSequences": ["END"],
                    "responseModalities": ["IMAGE"],
                    "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
                },
            },
        ),
    },
    answers={
        "text_and_image": Answer(
            request=content(),
            body=body(answer(candidate(STORY, {**blob(URL_SAFE), "thoughtSignature": "-_-_AA"}))),
            means=ContentResponse(
                whole(
                    {
                        "content": {
                            "parts": [
                                {"text": "A red dot:", "thought_signature": SIGNATURE},
                                {
                                    "inline_data": {"mime_type": "image/png", "data": text64(GREY)},
                                    "thought_signature": "+/+/AA==",
                                },
                            ],
                            "role": "model",
                        },
                        "finish_reason": "STOP",
                        "index": 0,
                    }
                ),
                USAGE,
            ),
        ),
        "blocked_image": Answer(
            request=content(),
            body=body(UNSAFE),
            means=ContentResponse(
                whole(
                    {
                        "content": EMPTY,
                        "finish_reason": "IMAGE_SAFETY",
                        "index": 0,
                        "finish_message": "Unable to show the generated image.",
                        "safety_ratings": RATINGS,
                    },
                    usage_metadata=counted(9, 0, 9),
                ),
                BLOCKED_USAGE,
            ),
        ),
        "blocked_without_content": Answer(
            request=content(),
            body=body(answer({"finishReason": "SAFETY", "safetyRatings": None}, usageMetadata=NO_IMAGE_COUNTS)),
            means=ContentResponse(
                whole(
                    {"finish_reason": "SAFETY", "content": EMPTY, "index": 0},
                    usage_metadata=counted(9, 0, 9),
                ),
                BLOCKED_USAGE,
            ),
        ),
        "blocked_prompt": Answer(
            request=content(),
            body=body(BLOCKED_PROMPT),
            means=ContentResponse(
                whole(
                    {"finish_reason": "PROHIBITED_CONTENT", "content": EMPTY, "index": 0},
                    usage_metadata=counted(9, 0, 9),
                    prompt_feedback={"block_reason": "PROHIBITED_CONTENT"},
                ),
                BLOCKED_USAGE,
            ),
        ),
    },
    failures={
        **FAILURES,
        "nothing": Failure(status=200, body=body({"modelVersion": FLASH_UPSTREAM}), raises=UpstreamError),
    },
    validate_request=validate_request,
    validate_answer=validate_answer,
    refused={"broken_gif": (content(images=(Inline(media_type="image/gif", data=text64(b"GIF89a")),)), "images.0")},
)

wires = [IMAGES, CONTENT]
