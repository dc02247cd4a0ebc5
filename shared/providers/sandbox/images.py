"""Images on the sandbox's wire: `POST /images` takes an Order and answers with an ImageResponse, both as JSON.

Where the model declines, the response has no images but a `text`.
"""

from base64 import b64encode
from functools import cache
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from shared.errors import FieldError, InvalidRequest, UnsupportedFeature, UpstreamRejected
from shared.media import head_bytes
from shared.providers.base import Call, LocalAnswer, clean
from shared.providers.sandbox import behaviour, media, pictures, tokens
from shared.providers.sandbox.triggers import FILTER, REFUSAL, REFUSE
from shared.schemas.base import Frozen
from shared.schemas.content import Inline
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

MOST_IMAGES = 10
_PNG_HEADER_BYTES = 33


class Order(Frozen):
    """What the sandbox's image model is asked for. Without a size it is that of the first PNG, or 1024x1024."""

    model: str
    prompt: str
    images: tuple[Inline, ...] = ()
    mask: Inline | None = None
    n: int = Field(default=1, ge=1, le=MOST_IMAGES)
    size: Size | None = None
    style: Literal["vivid", "natural"] | None = None
    seed: int | None = None


@cache
def _responses() -> TypeAdapter[ImageResponse]:
    return TypeAdapter(ImageResponse)


def call(request: ImageRequest, upstream: str) -> Call:
    """The order for a request.

    Raises InvalidRequest naming `size` or `n` beyond what it draws, UnsupportedFeature for other formats than PNG.
    """
    if request.output_format not in (None, "png"):
        message = "The sandbox draws PNG images only."
        raise UnsupportedFeature(message, details=[FieldError("output_format", message)])
    if request.size and not _is_drawable(request.size):
        least, most = pictures.SMALLEST, pictures.LARGEST
        raise InvalidRequest.field("size", f"the sandbox draws from {least}x{least} to {most}x{most} pixels")
    if request.n > MOST_IMAGES:
        raise InvalidRequest.field("n", f"the sandbox draws at most {MOST_IMAGES} images for one request")
    order = Order(
        model=upstream,
        prompt=request.prompt,
        images=tuple(_inline(image) for image in request.images),
        mask=_inline(request.mask) if request.mask else None,
        n=request.n,
        size=request.size,
        style=request.style,
        seed=request.seed,
    )
    return Call(path="/images", json=order.model_dump(mode="json", exclude_none=True))


def _is_drawable(size: Size) -> bool:
    return all(pictures.SMALLEST <= side <= pictures.LARGEST for side in (size.width, size.height))


def _inline(upload: Upload) -> Inline:
    return Inline(media_type=upload.media_type, data=b64encode(upload.read()).decode("ascii"))


def response(body: Any) -> ImageResponse:
    """See ImageAdapter.image_response."""
    if not body["images"]:
        raise UpstreamRejected(f"The model answered without an image: {clean(body['text'])}")
    return _responses().validate_python(body)


def answer(body: bytes) -> LocalAnswer:
    """The images of an order. Raises ValidationError for a body that is none."""
    order = Order.model_validate_json(body)
    if (other := behaviour.instead(order.model, "image")) is not None:
        return other
    if FILTER in order.prompt:
        return behaviour.filtered()
    if REFUSE in order.prompt:
        return behaviour.whole(order.model, b'{"images":[],"text":"%b"}' % REFUSAL.encode())
    size = order.size or _size_of_first_png(order.images)
    if not _is_drawable(size):
        return behaviour.failure(400, "The size is out of range.")
    return behaviour.whole(order.model, _responses().dump_json(_drawn(order, size), exclude_none=True))


def _size_of_first_png(images: tuple[Inline, ...]) -> Size:
    for image in images:
        if image.media_type == pictures.MEDIA_TYPE:
            pixels = media.pixel_size(head_bytes(image.data, _PNG_HEADER_BYTES))
            if pixels and _is_drawable(Size(*pixels)):
                return Size(*pixels)
    return Size(*pictures.DEFAULT_SIZE)


def _drawn(order: Order, size: Size) -> ImageResponse:
    inputs = [image.data for image in order.images] + ([f"mask {order.mask.data}"] if order.mask else [])
    images = tuple(
        GeneratedImage(
            source=pictures.inline(
                pictures.Motif(
                    order.prompt, order.seed, index, tuple(map(str.encode, inputs)), vivid=order.style != "natural"
                ),
                size.width,
                size.height,
            ),
            revised_prompt=f"{order.prompt}, in a {order.style} style" if order.style else None,
        )
        for index in range(order.n)
    )
    given = tokens.IMAGE_TOKENS * len(inputs)
    made = tokens.of_pixels(size.width, size.height) * order.n
    usage = Usage(
        input_tokens=tokens.count(order.prompt) + given,
        input_image_tokens=given,
        output_tokens=made,
        output_image_tokens=made,
        images=order.n,
    )
    return ImageResponse(images, usage)
