"""Images with Stability's models, through InvokeModel: from text, from text and one image, and inpainting.

Wire formats: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-stability-diffusion.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/stable-image-services.html. Amazon's own image models have ended.
"""

from typing import Any, TypeAlias

from shared.errors import ContentFiltered, UpstreamError
from shared.media import encoded
from shared.providers.base import Call, ImageAdapter, drawn_image, unsupported
from shared.providers.bedrock.vendor import model_path
from shared.providers.bedrock.vendor import vendor as bedrock
from shared.providers.stability.parameters import aspect_ratio, check_mask, check_no_size, strength, usable_seed
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse
from shared.schemas.model import Model
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

JsonObject: TypeAlias = dict[str, Any]

_CORE, _INPAINT, _SD3 = "stable-image-core", "stable-image-inpaint", ".sd3"
_FILTERED = "Filter reason"


class BedrockImages:
    """Images. A call makes one, so the models have the quirk `single_candidate`."""

    vendor = bedrock

    def call(self, request: ImageRequest, model: Model) -> Call:
        """Text to image, image to image, or inpainting, for which there is a model of its own.

        Raises InvalidRequest for a size whose aspect ratio is not supported, and UnsupportedFeature naming `image` or
        `mask` for what the model cannot do, or for a mask whose meaning it would misread.
        """
        body: JsonObject = {"prompt": request.prompt, **_task(request, model)}
        if request.seed is not None:
            body["seed"] = usable_seed(request.seed)
        if request.output_format:
            body["output_format"] = request.output_format
        return Call(model_path(model, "invoke"), body)

    def response(self, body: Any) -> ImageResponse:
        """`body` is `{"images": [base64], "seeds", "finish_reasons": [text or null]}`; no tokens are counted."""
        for reason in body["finish_reasons"]:
            if reason and reason.startswith(_FILTERED):
                raise ContentFiltered("The provider's content filter blocked the prompt or the image.")
            if reason:
                raise UpstreamError("The provider could not make the image.")
        images = tuple(GeneratedImage(drawn_image(image)) for image in body["images"])
        return ImageResponse(images, Usage(images=len(images)))


def _task(request: ImageRequest, model: Model) -> JsonObject:
    """The fields that tell what is made of what."""
    match request.images:
        case () if _INPAINT not in model.upstream:
            ratio = aspect_ratio(request.size)
            return {"aspect_ratio": ratio} if ratio else {}
        case (image,) if _INPAINT in model.upstream:
            return _inpainting(request, image)
        case (image,) if _CORE not in model.upstream:
            return _variation(request, image, model)
        case (_,):
            raise unsupported("image", f"the model '{model.id}' generates images from text only")
        case ():
            raise unsupported("image", f"the model '{model.id}' edits an image, and there is none")
        case _:
            raise unsupported("image", "this provider edits one image per request")


def _variation(request: ImageRequest, image: Upload, model: Model) -> JsonObject:
    if request.mask is not None:
        raise unsupported("mask", f"the model '{model.id}' has no masks; stability.stable-image-inpaint-v1:0 does")
    check_no_size(request.size)
    mode = {"mode": "image-to-image"} if _SD3 in model.upstream else {}
    return {"image": _base64(image), "strength": strength(model.upstream), **mode}


def _inpainting(request: ImageRequest, image: Upload) -> JsonObject:
    """Without a mask, the image's own transparency is where it is edited."""
    check_no_size(request.size)
    if request.mask is None:
        return {"image": _base64(image)}
    check_mask(request.mask)
    return {"image": _base64(image), "mask": _base64(request.mask)}


def _base64(upload: Upload) -> str:
    return encoded(upload.read())


adapter: ImageAdapter = BedrockImages()
