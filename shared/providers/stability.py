"""Stability AI's REST API v2beta: images from text, from text and one image, and inpainting.

Follows https://platform.stability.ai/docs/api-reference, its groups Generate and Edit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from shared.errors import (
    ContentFiltered,
    FieldError,
    GatewayError,
    InvalidRequest,
    PayloadTooLarge,
    UnsupportedFeature,
    UpstreamRateLimited,
)
from shared.png_mask import has_alpha
from shared.providers.base import Call, clean, drawn_image, error_body, error_for_status, retry_after_seconds
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.model import Model
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

Form: TypeAlias = list[tuple[str, str | Upload]]

_GENERATE = "/v2beta/stable-image/generate/"
_INPAINT = "/v2beta/stable-image/edit/inpaint"

# Models with an endpoint of their own; every other one is a model of the endpoint `sd3`.
_CORE, _ULTRA = "core", "ultra"

_ASPECT_RATIOS = ((21, 9), (16, 9), (3, 2), (5, 4), (1, 1), (4, 5), (2, 3), (9, 16), (9, 21))

# A size stands for an aspect ratio from which it differs by at most 1 in 50: OpenAI's 1792x1024 is nearly 16:9.
_TOLERANCE = 50

# How far an image may be changed, from 0 (not at all) to 1 (as if there were none). The vendor wants a number and has
# no default; for sd3.5-flash it recommends 0.94 to 0.97. The other one is our choice: prompt and image both show in it.
_STRENGTH = "0.7"
_STRENGTHS = {"sd3.5-flash": "0.95"}

_MAX_SEED = 4294967294

# Names of errors by which the vendor refuses what a prompt or an image shows.
_FILTERED = frozenset({"content_moderation", "public_figure"})

# For so long everything is refused after its rate limit; it sends no Retry-After.
_RATE_LIMIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class StabilityAdapter:
    """See ImageAdapter. The vendor makes one image a call, so its models have the rule `single_candidate`; for it to
    read masks as OpenAI's clients write them, they have the rule `brightness_mask`.
    """

    name: str = "stability"

    def auth(self, api_key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """`body` is `{"id", "name", "errors": [text]}`. By the name a 403 of the content filter is told from others."""
        name, message = _named(error_body(body))
        if name in _FILTERED:
            return ContentFiltered(clean(message) or "The provider's content filter refused the request.")
        if status == 413:
            return PayloadTooLarge("The provider takes at most 10 MiB a request: send a smaller image.")
        if status == 429:
            return UpstreamRateLimited(
                "The provider's rate limit was reached.",
                retry_after=retry_after_seconds(headers) or _RATE_LIMIT_SECONDS,
            )
        return error_for_status(status, headers, message)

    def image(self, request: ImageRequest, model: Model) -> Call:
        """Text to image, image to image, or inpainting where there is a mask.

        Image to image is the vendor's only edit by a prompt alone that is done by the model asked for. Its search and
        replace wants the thing to be replaced named apart; its control services keep outlines or style and nothing
        else. There is one service for inpainting, whatever the model.

        Raises InvalidRequest naming `size` for an aspect ratio that there is none of, and UnsupportedFeature naming
        `image` for several images, or `mask` for a mask that the vendor would read otherwise than it is meant.
        """
        match request.images:
            case ():
                path, form = _generation(request, model)
            case (image,) if request.mask is not None:
                path, form = _inpainting(request, image, request.mask)
            case (image,):
                path, form = _variation(request, image, model)
            case _:
                raise _unsupported("image", "this provider edits one image at a time")
        form.insert(0, ("prompt", request.prompt))
        if request.seed is not None:
            form.append(("seed", str(_seed(request.seed))))
        if request.output_format:
            form.append(("output_format", request.output_format))
        return Call(path, form=form, headers={"accept": "application/json"})

    def image_response(self, body: Any) -> ImageResponse:
        """`body` is `{"image": base64, "seed", "finish_reason"}`. No tokens are counted."""
        if body["finish_reason"] == "CONTENT_FILTERED":
            raise ContentFiltered("The provider's content filter refused the generated image.")
        image = GeneratedImage(drawn_image(body["image"]))
        return ImageResponse((image,), Usage(images=1))


adapter = StabilityAdapter()


def _generation(request: ImageRequest, model: Model) -> tuple[str, Form]:
    if model.upstream in (_CORE, _ULTRA):
        return _GENERATE + model.upstream, _aspect_ratio(request.size)
    return _GENERATE + "sd3", [("model", model.upstream), *_aspect_ratio(request.size)]


def _variation(request: ImageRequest, image: Upload, model: Model) -> tuple[str, Form]:
    if model.upstream == _CORE:
        raise _unsupported("image", f"the model '{model.id}' makes images from text only")
    strength = _STRENGTHS.get(model.upstream, _STRENGTH)
    form: Form = [("image", image), ("strength", strength)]
    if model.upstream == _ULTRA:
        return _GENERATE + model.upstream, [*form, *_aspect_ratio(request.size)]
    _refuse_size(request.size)
    return _GENERATE + "sd3", [("model", model.upstream), ("mode", "image-to-image"), *form]


def _inpainting(request: ImageRequest, image: Upload, mask: Upload) -> tuple[str, Form]:
    if not _is_without_alpha(mask):
        raise _unsupported(
            "mask",
            "this provider takes a PNG, transparent where the image is to be edited, or brightness instead: a PNG or "
            "JPEG without an alpha channel, white where it is to be edited and black elsewhere",
        )
    _refuse_size(request.size)
    return _INPAINT, [("image", image), ("mask", mask)]


def _aspect_ratio(size: Size | None) -> Form:
    if size is None:
        return []
    for width, height in _ASPECT_RATIOS:
        wanted, given = size.height * width, size.width * height
        if abs(given - wanted) * _TOLERANCE <= wanted:
            return [("aspect_ratio", f"{width}:{height}")]
    ratios = ", ".join(f"{width}:{height}" for width, height in _ASPECT_RATIOS)
    raise InvalidRequest.field("size", f"{size} is not of an aspect ratio that this provider has: {ratios}")


def _refuse_size(size: Size | None) -> None:
    if size is not None:
        raise InvalidRequest.field("size", "the edited image has the shape of the one sent: leave it out")


def _seed(seed: int) -> int:
    """Any integer as a seed of the vendor's, 1 to 4294967294: equal ones stay equal, neighbours stay different.

    Its 0 is left out, since that stands for a random one.
    """
    return (seed - 1) % _MAX_SEED + 1


def _is_without_alpha(mask: Upload) -> bool:
    """Whether a mask can only mean what the vendor reads into it: white is edited, black is kept.

    OpenAI's masks say it by an alpha channel instead, transparent is edited; nothing reads their colours. The gateway
    has turned those of PNGs into brightness.
    """
    if mask.media_type == "image/jpeg":
        return True
    if mask.media_type != "image/png":
        return False
    try:
        return not has_alpha(mask.read())
    except ValueError:
        return False


def _named(body: Any) -> tuple[str | None, str | None]:
    """The name and the messages of an error body, as far as it is one."""
    if not isinstance(body, dict):
        return None, None
    name, errors = body.get("name"), body.get("errors")
    messages = [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []
    return name if isinstance(name, str) else None, "; ".join(messages)


def _unsupported(field: str, message: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"{field}: {message}", details=[FieldError(field, message)])
