"""Stability AI's images: from text, from text and one image, and inpainting.

Wire format: https://platform.stability.ai/docs/api-reference, groups Generate and Edit.
"""

from typing import Any, TypeAlias

from shared.errors import ContentFiltered, InvalidRequest
from shared.png_mask import has_alpha
from shared.providers.base import Call, ImageAdapter, drawn_image, unsupported
from shared.providers.stability.vendor import vendor as stability
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.model import Model
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

Form: TypeAlias = list[tuple[str, str | Upload]]

_GENERATE = "/v2beta/stable-image/generate/"
_INPAINT = "/v2beta/stable-image/edit/inpaint"

# Models with an endpoint of their own; any other is a model of the endpoint `sd3`.
_CORE, _ULTRA = "core", "ultra"

_ASPECT_RATIOS = ((21, 9), (16, 9), (3, 2), (5, 4), (1, 1), (4, 5), (2, 3), (9, 16), (9, 21))

# A size may differ from its aspect ratio by 1 in 50: OpenAI's 1792x1024 is almost 16:9.
_TOLERANCE = 50

# How much an image may be changed, from 0 (not at all) to 1 (as if there were none). The field is required and has no
# default. For sd3.5-flash the vendor recommends 0.94 to 0.97; the other value is our choice: the result follows both
# the prompt and the image.
_STRENGTH = "0.7"
_STRENGTHS = {"sd3.5-flash": "0.95"}

_MAX_SEED = 4294967294


class StabilityImages:
    """Images. The API makes one per call, so the models have the quirk `single_candidate`; it does not read masks as
    OpenAI's clients write them, so they have the quirk `brightness_mask` as well.
    """

    vendor = stability

    def call(self, request: ImageRequest, model: Model) -> Call:
        """Text to image, image to image, or inpainting if there is a mask.

        Image to image is the only edit by a prompt alone that the requested model performs itself: search and replace
        needs the object named in a field of its own, and the control services keep only outlines or style. Inpainting
        is one service, whatever the model.

        Raises InvalidRequest for a size whose aspect ratio is not supported, and UnsupportedFeature naming `image` for
        several images, or `mask` for a mask whose meaning the vendor would misread.
        """
        match request.images:
            case ():
                path, form = _generation(request, model)
            case (image,) if request.mask is not None:
                path, form = _inpainting(request, image, request.mask)
            case (image,):
                path, form = _variation(request, image, model)
            case _:
                raise unsupported("image", "this provider edits one image per request")
        form.insert(0, ("prompt", request.prompt))
        if request.seed is not None:
            form.append(("seed", str(_seed(request.seed))))
        if request.output_format:
            form.append(("output_format", request.output_format))
        return Call(path, form=form, headers={"accept": "application/json"})

    def response(self, body: Any) -> ImageResponse:
        """`body` is `{"image": base64, "seed", "finish_reason"}`; the vendor counts no tokens."""
        if body["finish_reason"] == "CONTENT_FILTERED":
            raise ContentFiltered("The provider's content filter blocked the generated image.")
        image = GeneratedImage(drawn_image(body["image"]))
        return ImageResponse((image,), Usage(images=1))


def _generation(request: ImageRequest, model: Model) -> tuple[str, Form]:
    if model.upstream in (_CORE, _ULTRA):
        return _GENERATE + model.upstream, _aspect_ratio(request.size)
    return _GENERATE + "sd3", [("model", model.upstream), *_aspect_ratio(request.size)]


def _variation(request: ImageRequest, image: Upload, model: Model) -> tuple[str, Form]:
    if model.upstream == _CORE:
        raise unsupported("image", f"the model '{model.id}' generates images from text only")
    strength = _STRENGTHS.get(model.upstream, _STRENGTH)
    form: Form = [("image", image), ("strength", strength)]
    if model.upstream == _ULTRA:
        return _GENERATE + model.upstream, [*form, *_aspect_ratio(request.size)]
    _check_no_size(request.size)
    return _GENERATE + "sd3", [("model", model.upstream), ("mode", "image-to-image"), *form]


def _inpainting(request: ImageRequest, image: Upload, mask: Upload) -> tuple[str, Form]:
    if not _is_without_alpha(mask):
        raise unsupported(
            "mask",
            "this provider accepts a PNG, transparent where the image is to be edited, or a PNG or JPEG without an "
            "alpha channel, white where it is to be edited and black elsewhere",
        )
    _check_no_size(request.size)
    return _INPAINT, [("image", image), ("mask", mask)]


def _aspect_ratio(size: Size | None) -> Form:
    """The field for a size. Raises InvalidRequest if its aspect ratio is not supported."""
    if size is None:
        return []
    for width, height in _ASPECT_RATIOS:
        expected, given = size.height * width, size.width * height
        if abs(given - expected) * _TOLERANCE <= expected:
            return [("aspect_ratio", f"{width}:{height}")]
    ratios = ", ".join(f"{width}:{height}" for width, height in _ASPECT_RATIOS)
    raise InvalidRequest.field("size", f"{size} has none of the aspect ratios that this provider supports: {ratios}")


def _check_no_size(size: Size | None) -> None:
    """Raises InvalidRequest for a size in a request whose result keeps the size of its input."""
    if size is not None:
        raise InvalidRequest.field("size", "the edited image keeps the size of the original; leave this field out")


def _seed(seed: int) -> int:
    """Any integer as a seed from 1 to 4294967294: equal seeds stay equal, adjacent ones stay different.

    The vendor's 0 is excluded, since it requests a random seed.
    """
    return (seed - 1) % _MAX_SEED + 1


def _is_without_alpha(mask: Upload) -> bool:
    """Whether a mask can only mean what the vendor takes it for: white is edited, black is kept.

    OpenAI's masks mark the area by their alpha channel instead, and their colours mean nothing. The gateway has
    already converted those that are PNGs.
    """
    if mask.media_type == "image/jpeg":
        return True
    if mask.media_type != "image/png":
        return False
    try:
        return not has_alpha(mask.read())
    except ValueError:
        return False


adapter: ImageAdapter = StabilityImages()
