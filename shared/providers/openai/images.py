"""Images: generations and edits.

Wire format: https://developers.openai.com/api/reference/resources/images. Compatible vendors agree on the answer, but
not on the request.
"""

from typing import Any, TypeAlias

from shared.errors import ContentFiltered, InvalidRequest, UnsupportedFeature
from shared.media import encoded
from shared.providers.base import Call, ImageAdapter, drawn_image
from shared.providers.openai.usage import reported_cost
from shared.providers.openai.vendor import raise_error
from shared.providers.openai.vendor import vendor as openai
from shared.schemas.content import Remote
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Quality, Size
from shared.schemas.model import Model
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

JsonObject: TypeAlias = dict[str, Any]

_GENERATIONS = "/images/generations"
_EDITS = "/images/edits"

# `size` in https://developers.openai.com/api/reference/resources/images/methods/generate. Older GPT Image models accept
# fewer sizes and refuse the others themselves.
_GPT_STEP = 16
_GPT_MAX_EDGE = 3840
_GPT_MAX_RATIO = 3
_GPT_PIXELS = range(655_360, 3840 * 2160 + 1)
_GPT_SIZES = (
    "width and height must be multiples of 16, at most 3840, and at most 3:1 in ratio, with 655360 to 8294400 pixels in"
    " total, such as 1024x1024, 1536x1024 or 1024x1536"
)
# The qualities of retired models, of which "standard" was the default.
_GPT_QUALITIES: dict[Quality | None, str | None] = {"standard": None, "hd": "high"}

# https://docs.x.ai/developers/model-capabilities/images/generation: each aspect ratio comes in about one million ("1k")
# or four million ("2k") pixels.
_XAI_RATIOS = (
    *("1:1", "3:4", "4:3", "9:16", "16:9", "2:3", "3:2", "9:19.5", "19.5:9", "9:20", "20:9", "1:2", "2:1"),
    *("21:9", "5:2"),
)
_XAI_1K_PIXELS = 2**21
_XAI_2K_PIXELS = 2**22
_XAI_QUALITIES: dict[Quality | None, str | None] = {"high": "medium", "hd": "medium", "standard": None}


class OpenAIImages:
    """Generations and, for requests with input images, edits."""

    vendor = openai

    def call(self, request: ImageRequest, model: Model) -> Call:
        """Raises InvalidRequest for a size that the model does not support, and UnsupportedFeature for an output
        format, a mask or input images that it does not support.
        """
        if "image_b64_only" in model.quirks:
            return _gpt_call(request, model)
        if "image_aspect_ratio" in model.quirks:
            return _xai_call(request, model)
        if "image_pixels" in model.quirks:
            return _together_call(request, model)
        return _compatible_call(request, model)

    def response(self, body: Any) -> ImageResponse:
        raise_error(body)
        images = tuple(_image(item) for item in body["data"] if _was_returned(item))
        if not images:
            raise ContentFiltered("The provider's content filter withheld the image.")
        return ImageResponse(images, _usage(body.get("usage") or {}, len(images)))


# --- requests ---


def _gpt_call(request: ImageRequest, model: Model) -> Call:
    """OpenAI's GPT Image models, which return base64 only."""
    _check_gpt_size(request.size)
    fields: JsonObject = {
        **_common(request, model),
        "size": None if request.size is None else str(request.size),
        "quality": _GPT_QUALITIES.get(request.quality, request.quality),
        "background": request.background,
        "output_format": request.output_format,
        "output_compression": request.output_compression,
        "complexity": request.complexity,
        "user": request.user,
    }
    if request.images:
        fidelity = None if "no_input_fidelity" in model.quirks else request.input_fidelity
        return _edit_form(request, {**fields, "input_fidelity": fidelity})
    return Call(_GENERATIONS, _present({**fields, "moderation": request.moderation}))


def _compatible_call(request: ImageRequest, model: Model) -> Call:
    """The fields of OpenAI's earlier models, which compatible vendors have adopted."""
    if request.output_format:
        raise _unsupported(model, "output_format", "has a fixed output format")
    fields: JsonObject = {
        **_common(request, model),
        "size": None if request.size is None else str(request.size),
        "quality": request.quality,
        "style": request.style,
        "response_format": "b64_json",
        "user": request.user,
    }
    return _edit_form(request, fields) if request.images else Call(_GENERATIONS, _present(fields))


def _together_call(request: ImageRequest, model: Model) -> Call:
    """https://docs.together.ai/reference/post-images-generations. It accepts input images by public URL only."""
    if request.images:
        raise _unsupported(model, "image", "does not accept input images")
    if request.output_format == "webp":
        raise _unsupported(model, "output_format", "supports png and jpeg only")
    size = request.size
    fields = {
        **_common(request, model),
        "width": size.width if size else None,
        "height": size.height if size else None,
        "seed": request.seed,
        "output_format": request.output_format,
        "response_format": "base64",
    }
    return Call(_GENERATIONS, _present(fields))


def _xai_call(request: ImageRequest, model: Model) -> Call:
    """https://docs.x.ai/developers/model-capabilities/images: aspect ratios instead of sizes, and edits in JSON."""
    if request.output_format:
        raise _unsupported(model, "output_format", "has a fixed output format")
    if request.mask:
        raise _unsupported(model, "mask", "does not accept a mask")
    if request.size and len(request.images) == 1:
        raise _unsupported(model, "size", "keeps the size of a single input image")
    fields: JsonObject = {
        **_common(request, model),
        **_xai_size(request.size),
        "quality": _XAI_QUALITIES.get(request.quality, request.quality),
        "response_format": "b64_json",
        "user": request.user,
    }
    sources = [{"type": "image_url", "url": _data_uri(image)} for image in request.images]
    if not sources:
        return Call(_GENERATIONS, _present(fields))
    named = {"image": sources[0]} if len(sources) == 1 else {"images": sources}
    return Call(_EDITS, _present({**fields, **named}))


def _common(request: ImageRequest, model: Model) -> JsonObject:
    return {"model": model.upstream, "prompt": request.prompt, "n": request.n if request.n > 1 else None}


def _present(fields: JsonObject) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}


def _edit_form(request: ImageRequest, fields: JsonObject) -> Call:
    """The multipart call of https://developers.openai.com/api/reference/resources/images/methods/edit."""
    image_field = "image" if len(request.images) == 1 else "image[]"
    form: list[tuple[str, str | Upload]] = [(name, str(value)) for name, value in _present(fields).items()]
    form += [(image_field, image) for image in request.images]
    if request.mask:
        form.append(("mask", request.mask))
    return Call(_EDITS, form=form)


def _data_uri(image: Upload) -> str:
    return f"data:{image.media_type};base64,{encoded(image.read())}"


def _unsupported(model: Model, field: str, fact: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"{field}: the model '{model.id}' {fact}.")


def _check_gpt_size(size: Size | None) -> None:
    if size is None:
        return
    short, long = sorted((size.width, size.height))
    fits = (
        size.width % _GPT_STEP == size.height % _GPT_STEP == 0
        and long <= min(_GPT_MAX_EDGE, short * _GPT_MAX_RATIO)
        and short * long in _GPT_PIXELS
    )
    if not fits:
        raise InvalidRequest.field("size", _GPT_SIZES)


def _xai_size(size: Size | None) -> JsonObject:
    """The aspect ratio and the resolution for a size in pixels; xAI documents no exact sizes."""
    if size is None:
        return {}
    ratio = next((ratio for ratio in _XAI_RATIOS if _has_ratio(size, ratio)), None)
    pixels = size.width * size.height
    if ratio is None or pixels > _XAI_2K_PIXELS:
        raise InvalidRequest.field(
            "size", f"must have one of the aspect ratios {', '.join(_XAI_RATIOS)} and at most {_XAI_2K_PIXELS} pixels"
        )
    return {"aspect_ratio": ratio, "resolution": "1k" if pixels < _XAI_1K_PIXELS else "2k"}


def _has_ratio(size: Size, ratio: str) -> bool:
    width, height = (float(number) for number in ratio.split(":"))
    return size.width * height == size.height * width


# --- answer ---


def _was_returned(item: JsonObject) -> bool:
    """False for an image that xAI's moderation removed."""
    return bool(item.get("b64_json") or item.get("url")) and item.get("respect_moderation") is not False


def _image(item: JsonObject) -> GeneratedImage:
    encoded = item.get("b64_json")
    source = drawn_image(encoded) if encoded else Remote(url=item["url"])
    return GeneratedImage(source, item.get("revised_prompt") or None)


def _usage(usage: JsonObject, images: int) -> Usage:
    inputs = usage.get("input_tokens_details") or {}
    outputs = usage.get("output_tokens_details") or {}
    output_tokens = usage.get("output_tokens") or 0
    image_tokens = outputs.get("image_tokens")
    return Usage(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=output_tokens,
        input_image_tokens=inputs.get("image_tokens") or 0,
        output_image_tokens=output_tokens if image_tokens is None else image_tokens,
        images=images,
        cost=reported_cost(usage),
    )


adapter: ImageAdapter = OpenAIImages()
