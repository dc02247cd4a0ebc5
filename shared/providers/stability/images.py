"""Stability AI's images: from text, from text and one image, and inpainting.

Wire format: https://platform.stability.ai/docs/api-reference, groups Generate and Edit.
"""

from typing import Any, TypeAlias

from shared.errors import ContentFiltered
from shared.providers.base import Call, ImageAdapter, drawn_image, unsupported
from shared.providers.stability.parameters import aspect_ratio, check_mask, check_no_size, strength, usable_seed
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
            form.append(("seed", str(usable_seed(request.seed))))
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
    form: Form = [("image", image), ("strength", str(strength(model.upstream)))]
    if model.upstream == _ULTRA:
        return _GENERATE + model.upstream, [*form, *_aspect_ratio(request.size)]
    check_no_size(request.size)
    return _GENERATE + "sd3", [("model", model.upstream), ("mode", "image-to-image"), *form]


def _inpainting(request: ImageRequest, image: Upload, mask: Upload) -> tuple[str, Form]:
    check_mask(mask)
    check_no_size(request.size)
    return _INPAINT, [("image", image), ("mask", mask)]


def _aspect_ratio(size: Size | None) -> Form:
    """The field for a size. Raises InvalidRequest if its aspect ratio is not supported."""
    ratio = aspect_ratio(size)
    return [("aspect_ratio", ratio)] if ratio else []


adapter: ImageAdapter = StabilityImages()
