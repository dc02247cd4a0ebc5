"""Images from a prompt, or from a prompt and other images: https://ai.google.dev/gemini-api/docs/image-generation."""

import math
from base64 import b64encode
from typing import Any, NamedTuple

from shared.errors import InvalidRequest, UpstreamError, UpstreamRejected
from shared.providers.base import Call, clean, drawn_image
from shared.providers.gemini.finish import parts, refuse_filtered
from shared.providers.gemini.usage import usage_of
from shared.providers.gemini.wire import generate, given, inline, int32, unsupported
from shared.schemas.chat import JsonObject
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.model import Model
from shared.schemas.upload import Upload

# What each aspect ratio is in pixels at 1K; 2K and 4K are twice and four times that:
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

# How far an image may be from the size asked for: its shape by 3 % (OpenAI's 1792x1024 is that far from 16:9, the
# documented shapes are twice as far from each other), its pixels by half or twice as many.
_MOST_SKEW = math.log(1.03)
_MOST_GROWTH = math.log(2)


class _Offer(NamedTuple):
    ratio: str
    scale: str
    size: Size


def call(request: ImageRequest, model: Model) -> Call:
    """See `Gemini.image`."""
    if request.mask is not None:
        raise unsupported("mask", "this model does not take one; say in the prompt what is to be changed.")
    if request.output_format is not None:
        raise unsupported("output_format", "this model chooses the format itself; leave it out.")
    images = [_part(image) for image in request.images]
    config: JsonObject = {
        "responseModalities": ["IMAGE"],
        "candidateCount": request.n if request.n > 1 else None,
        "seed": int32(request.seed),
        "imageConfig": _image_config(request.size, model) if request.size else None,
    }
    contents = [{"role": "user", "parts": [*images, {"text": request.prompt}]}]
    return generate({"contents": contents, "generationConfig": given(config)}, model)


def _part(upload: Upload) -> JsonObject:
    return inline(upload.media_type, b64encode(upload.read()).decode("ascii"))


def _image_config(size: Size, model: Model) -> JsonObject:
    """The aspect ratio and resolution nearest to a size. Raises InvalidRequest where none is near."""
    offers = _offers(model)
    near = [offer for offer in offers if _skew(offer.size, size) <= _MOST_SKEW]
    best = min(near, key=lambda offer: _growth(offer.size, size), default=None)
    if best is None or _growth(best.size, size) > _MOST_GROWTH:
        known = ", ".join(str(offer.size) for offer in offers)
        raise InvalidRequest.field("size", f"the sizes of this model are {known}; none is near {size}")
    # 1K is the default, and the only resolution of models that do not know the field.
    return {"aspectRatio": best.ratio} | ({} if best.scale == "1K" else {"imageSize": best.scale})


def _offers(model: Model) -> list[_Offer]:
    shapes = _AT_1K | (_EXTREME_AT_1K if "extreme_ratios" in model.quirks else {})
    scales = {"1K": 1} if "images_1k" in model.quirks else _SCALES
    return [
        _Offer(ratio, scale, Size(size.width * factor, size.height * factor))
        for scale, factor in scales.items()
        for ratio, size in shapes.items()
    ]


def _skew(one: Size, other: Size) -> float:
    return abs(math.log(one.width * other.height / (one.height * other.width)))


def _growth(one: Size, other: Size) -> float:
    return abs(math.log(one.width * one.height / (other.width * other.height)))


def response(body: Any) -> ImageResponse:
    """See `Gemini.image_response`."""
    images = tuple(_image(part["inlineData"]) for part in parts(body) if "inlineData" in part)
    if not images:
        refuse_filtered(body)
        if words := clean("".join(part.get("text", "") for part in parts(body))):
            raise UpstreamRejected(f"The model answered without an image: {words}")
        raise UpstreamError("The model gave no image.")
    return ImageResponse(images=images, usage=usage_of(body.get("usageMetadata", {})))


def _image(blob: JsonObject) -> GeneratedImage:
    return GeneratedImage(source=drawn_image(blob["data"]))
