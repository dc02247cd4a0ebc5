"""Images as OpenAI's SDKs ask for and read them, generated and edited.

https://developers.openai.com/api/reference/resources/images
"""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from shared.dialects.base import Form, FormWire, JsonObject, Unsupported, Wire, read, read_form
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.media import IMAGE_TYPES, MAX_MEDIA_BYTES
from shared.schemas.content import Inline
from shared.schemas.context import RequestContext
from shared.schemas.image import Delivery, GeneratedImage, ImageRequest, ImageResponse, Quality, Size
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

MAX_PROMPT = 4000
MAX_EDIT_PROMPT = 32_000
MAX_EDITED_IMAGES = 16
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")


class ImageFields(Wire):
    """The fields that a request for images has in every dialect."""

    model: Annotated[str, Field(min_length=1)]
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
    n: Annotated[int, Field(ge=1, le=10)] = 1
    size: str = "1024x1024"
    quality: Quality | None = None
    style: Literal["vivid", "natural"] | None = None
    response_format: Delivery | None = None

    def canonical(self) -> ImageRequest:
        """Raises InvalidRequest for a size that is none."""
        return ImageRequest(
            model=self.model,
            prompt=self.prompt,
            n=self.n,
            size=_size(self.size),
            quality=self.quality,
            style=self.style,
        )


def _size(text: str) -> Size | None:
    if text == "auto":
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidRequest.field("size", "must be width x height in pixels, such as 1024x1024, or auto")
    return Size(int(found[1]), int(found[2]))


class OpenAIImages(ImageFields):
    """The body of /v1/images/generations."""

    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    moderation: Literal["low", "auto"] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    stream: bool = False
    user: str | None = None
    safety_identifier: str | None = None  # OpenAI's successor of `user`
    frame_count: Unsupported = None
    frame_duration_ms: Unsupported = None
    partial_images: Unsupported = None
    svg: Unsupported = None

    def canonical(self) -> ImageRequest:
        if self.stream:
            raise InvalidRequest.field("stream", "images cannot be streamed here")
        return replace(
            super().canonical(),
            background=self.background,
            output_format=self.output_format,
            output_compression=self.output_compression,
            moderation=self.moderation,
            complexity=self.complexity,
            user=self.user or self.safety_identifier,
        )


class OpenAIImageEdit(OpenAIImages, FormWire):
    """The fields of /v1/images/edits."""

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_EDIT_PROMPT)]
    size: str = "auto"
    input_fidelity: Literal["high", "low"] | None = None
    markup: Unsupported = None

    def canonical(self) -> ImageRequest:
        return replace(super().canonical(), input_fidelity=self.input_fidelity)


def generation(body: JsonObject) -> "ImagesOperation":
    """/v1/images/generations."""
    fields = read(OpenAIImages, body)
    return ImagesOperation(fields.canonical(), fields.response_format)


def edit(form: Form) -> "ImagesOperation":
    """/v1/images/edits: one `image`, or several as `image[]`, and a `mask` for the first."""
    fields = read_form(OpenAIImageEdit, form)
    images = [*_images(form, "image"), *_images(form, "image[]")]
    if not images:
        raise InvalidRequest.field("image", "is required")
    if len(images) > MAX_EDITED_IMAGES:
        raise InvalidRequest.field("image", f"at most {MAX_EDITED_IMAGES} images can be edited at once")
    if "markup" in form.files:
        raise InvalidRequest.field("markup", "is not supported")
    mask = _image("mask", form.only("mask")) if "mask" in form.files or "mask" in form.fields else None
    request = replace(fields.canonical(), images=tuple(images), mask=mask)
    return ImagesOperation(request, fields.response_format)


def _images(form: Form, name: str) -> Iterator[Upload]:
    if name in form.fields:
        raise InvalidRequest.field(name, "must be a file, with a filename")
    return (_image(name, upload) for upload in form.files.get(name, ()))


def _image(name: str, upload: Upload) -> Upload:
    if upload.media_type not in IMAGE_TYPES:
        raise InvalidRequest.field(name, "is not a PNG, JPEG, GIF or WebP image")
    if upload.size > MAX_MEDIA_BYTES:
        raise PayloadTooLarge(f"An image is larger than {MAX_MEDIA_BYTES // 2**20} MB. Send a smaller one.")
    return upload


class ImagesOperation:
    """One request for images, answered as OpenAI does."""

    def __init__(self, request: ImageRequest, delivery: Delivery | None) -> None:
        self.request = request
        self.delivery = delivery

    def body(self, response: ImageResponse, context: RequestContext) -> JsonObject:
        return {
            "created": int(time.time()),
            "data": [_image_body(image) for image in response.images],
            "usage": _usage_body(response.usage),
        }


def _image_body(image: GeneratedImage) -> JsonObject:
    source = image.source
    body = {"b64_json": source.data} if isinstance(source, Inline) else {"url": source.url}
    if image.url:
        body["url"] = image.url
    return {**body, "revised_prompt": image.revised_prompt} if image.revised_prompt else body


def _usage_body(usage: Usage) -> JsonObject:
    """The five parts are always there: zero where the vendor counts no tokens."""
    image_tokens = usage.input_image_tokens
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"image_tokens": image_tokens, "text_tokens": usage.input_tokens - image_tokens},
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
