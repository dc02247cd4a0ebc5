"""Images in the stable dialect: Gemini's generateContent in snake case, with its complete response.

https://ai.google.dev/api/generate-content
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from shared.dialects.base import JsonObject, Wire, read
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.media import (
    IMAGE_TYPES,
    MAX_MEDIA_BYTES,
    SNIFF_BYTES,
    head_bytes,
    parse_data_uri,
    sniff,
    standard_base64,
)
from shared.schemas.content import Inline
from shared.schemas.generated_content import ContentRequest, SafetySetting

MAX_PROMPT = 100_000
MAX_IMAGES = 14
_NAME = r"^[A-Z][A-Z_0-9]{1,63}$"


class WireSafetySetting(Wire):
    category: Annotated[str, Field(pattern=_NAME)]
    threshold: Annotated[str, Field(pattern=_NAME)]


class WireImageConfig(Wire):
    aspect_ratio: Annotated[str, Field(pattern=r"^[0-9]{1,3}:[0-9]{1,3}$")] | None = None
    image_size: Literal["512", "1K", "2K", "4K"] | None = None


class StableImages(Wire):
    """The body of /v1/image/generation/stable."""

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
    model: Literal["gemini-2.5-flash-image", "gemini-3-pro-image-preview"] = "gemini-2.5-flash-image"
    response_modalities: Annotated[list[Literal["IMAGE", "TEXT"]], Field(min_length=1, max_length=2)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    safety_settings: Annotated[list[WireSafetySetting], Field(fail_fast=True, max_length=20)] | None = None
    system_instruction: str | None = None
    candidate_count: Annotated[int, Field(ge=1, le=8)] = 1
    stop_sequences: Annotated[list[str], Field(max_length=5)] | None = None
    images: Annotated[list[Any], Field(max_length=MAX_IMAGES)] | None = None
    image_config: WireImageConfig | None = None

    @field_validator("response_modalities", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return [item.upper() if isinstance(item, str) else item for item in value] if isinstance(value, list) else value

    @field_validator("top_k", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        # A float in the dialect's reference, an integer in Google's API.
        return int(value) if isinstance(value, float) and value.is_integer() else value


def content_request(body: JsonObject) -> ContentRequest:
    """/v1/image/generation/stable. Raises InvalidRequest naming the invalid field, and PayloadTooLarge."""
    fields = read(StableImages, body)
    config = fields.image_config or WireImageConfig()
    return ContentRequest(
        model=fields.model,
        prompt=fields.prompt,
        images=tuple(_image(image, f"images[{at}]") for at, image in enumerate(fields.images or ())),
        modalities=tuple(dict.fromkeys(fields.response_modalities or ("IMAGE", "TEXT"))),
        temperature=fields.temperature,
        top_p=fields.top_p,
        top_k=fields.top_k,
        seed=fields.seed,
        max_output_tokens=fields.max_output_tokens,
        safety_settings=tuple(SafetySetting(item.category, item.threshold) for item in fields.safety_settings or ()),
        system_instruction=fields.system_instruction,
        candidate_count=fields.candidate_count,
        stop_sequences=tuple(fields.stop_sequences or ()),
        aspect_ratio=config.aspect_ratio,
        image_size=config.image_size,
    )


def _image(item: Any, field: str) -> Inline:
    """An image from `{"data", "mime_type"}` or a data URI."""
    try:
        match item:
            case str():
                declared, data = parse_data_uri(item)
            case {"data": str(text), "mime_type": str(media_type)}:
                declared, data = media_type.strip().lower(), standard_base64(text)
            case _:
                raise InvalidRequest.field(field, 'must be {"data", "mime_type"} or a data URI')
    except ValueError as error:
        raise InvalidRequest.field(field, str(error)) from None
    if declared not in IMAGE_TYPES:
        raise InvalidRequest.field(field, "must be declared as image/png, image/jpeg, image/gif or image/webp")
    if len(data) * 3 // 4 > MAX_MEDIA_BYTES:
        raise PayloadTooLarge(f"{field} is larger than {MAX_MEDIA_BYTES // 2**20} MB. Send a smaller image.")
    if sniff(head_bytes(data, SNIFF_BYTES)) != declared:
        raise InvalidRequest.field(field, f"is not {declared}")
    return Inline(media_type=declared, data=data)
