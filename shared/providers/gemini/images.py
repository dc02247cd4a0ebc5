"""Image generation and editing by generateContent: https://ai.google.dev/gemini-api/docs/image-generation."""

import math
from typing import Any, NamedTuple

from shared.errors import InvalidRequest, UpstreamError, UpstreamRejected
from shared.media import encoded
from shared.providers.base import Call, ImageAdapter, clean, drawn_image, unsupported
from shared.providers.gemini.requests import generate_content, inline_data, int32, without_none
from shared.providers.gemini.responses import parts, raise_if_blocked
from shared.providers.gemini.usage import usage_of
from shared.providers.gemini.vendor import vendor as gemini
from shared.schemas.chat import JsonObject
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.model import Model
from shared.schemas.upload import Upload

# The size of each aspect ratio at 1K; at 2K and 4K, width and height are two and four times that:
# https://ai.google.dev/gemini-api/docs/image-generation#aspect_ratios.
_AT_1K = {
    "1:1": Size(1024, 1024),
    "2:3": Size(848, 1264),
    "3:2": Size(1264, 848),
    "3:4": Size(896, 1200),
    "4:3": Size(1200, 896),
    "4:5": Size(928, 1152),
    "5:4": Size(1152, 928),
    "9:16": Size(768, 1376),
    "16:9": Size(1376, 768),
    "21:9": Size(1584, 672),
}
_EXTREME_AT_1K = {
    "1:4": Size(512, 2048),
    "4:1": Size(2048, 512),
    "1:8": Size(384, 3072),
    "8:1": Size(3072, 384),
}
_SCALES = {"1K": 1, "2K": 2, "4K": 4}

# How far an image may be from the requested size: 3 % in its aspect ratio (OpenAI's 1792x1024 is that far from 16:9,
# and the documented ratios are twice as far from each other), and a factor of 2 in its number of pixels.
_MAX_RATIO_DIFFERENCE = math.log(1.03)
_MAX_AREA_DIFFERENCE = math.log(2)


class _Option(NamedTuple):
    aspect_ratio: str
    image_size: str
    size: Size


class GeminiImages:
    """Images. Of the optional settings, only `size`, `n` and `seed` have an effect."""

    vendor = gemini

    def call(self, request: ImageRequest, model: Model) -> Call:
        """See https://ai.google.dev/gemini-api/docs/image-generation.

        A size becomes the nearest combination of aspect ratio and resolution. Raises InvalidRequest for a size that is
        close to none of them, and UnsupportedFeature for a mask or an output format.
        """
        if request.mask is not None:
            raise unsupported("mask", "this model does not support masks; describe the change in the prompt.")
        if request.output_format is not None:
            raise unsupported("output_format", "this model chooses the format itself; leave this field out.")
        images = [_part(image) for image in request.images]
        config: JsonObject = {
            "responseModalities": ["IMAGE"],
            "candidateCount": request.n if request.n > 1 else None,
            "seed": int32(request.seed),
            "imageConfig": _image_config(request.size, model) if request.size else None,
        }
        contents = [{"role": "user", "parts": [*images, {"text": request.prompt}]}]
        return generate_content({"contents": contents, "generationConfig": without_none(config)}, model)

    def response(self, body: Any) -> ImageResponse:
        """The images of a GenerateContentResponse, without the drafts among its thoughts.

        Raises ContentFiltered, UpstreamRejected with the model's text if it returned only text, and UpstreamError.
        """
        images = tuple(_image(part["inlineData"]) for part in parts(body) if "inlineData" in part)
        if not images:
            raise_if_blocked(body)
            if text := clean("".join(part.get("text", "") for part in parts(body))):
                raise UpstreamRejected(f"The model returned text instead of an image: {text}")
            raise UpstreamError("The model returned no image.")
        return ImageResponse(images=images, usage=usage_of(body.get("usageMetadata", {})))


def _part(upload: Upload) -> JsonObject:
    return inline_data(upload.media_type, encoded(upload.read()))


def _image_config(size: Size, model: Model) -> JsonObject:
    """The aspect ratio and resolution nearest to a size. Raises InvalidRequest if none is close."""
    options = _options(model)
    close = [option for option in options if _ratio_difference(option.size, size) <= _MAX_RATIO_DIFFERENCE]
    best = min(close, key=lambda option: _area_difference(option.size, size), default=None)
    if best is None or _area_difference(best.size, size) > _MAX_AREA_DIFFERENCE:
        supported = ", ".join(str(option.size) for option in options)
        raise InvalidRequest.field("size", f"{size} is not close to a size that this model supports: {supported}")
    # 1K is the default, and the only resolution of models that do not have the field.
    return {"aspectRatio": best.aspect_ratio} | ({} if best.image_size == "1K" else {"imageSize": best.image_size})


def _options(model: Model) -> list[_Option]:
    sizes = _AT_1K | (_EXTREME_AT_1K if "extreme_ratios" in model.quirks else {})
    scales = {"1K": 1} if "images_1k" in model.quirks else _SCALES
    return [
        _Option(aspect_ratio, image_size, Size(size.width * scale, size.height * scale))
        for image_size, scale in scales.items()
        for aspect_ratio, size in sizes.items()
    ]


def _ratio_difference(one: Size, other: Size) -> float:
    return abs(math.log(one.width * other.height / (one.height * other.width)))


def _area_difference(one: Size, other: Size) -> float:
    return abs(math.log(one.width * one.height / (other.width * other.height)))


def _image(blob: JsonObject) -> GeneratedImage:
    return GeneratedImage(source=drawn_image(blob["data"]))


adapter: ImageAdapter = GeminiImages()
