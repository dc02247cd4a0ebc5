"""Images: `POST /images` takes what decides the pictures and answers with an ImageResponse."""

import colorsys
import hashlib
import math
from base64 import b64encode
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from shared import png
from shared.errors import FieldError, InvalidRequest, UnsupportedFeature
from shared.providers.base import Call, ImageAdapter, LocalAnswer
from shared.providers.sandbox import tokens
from shared.providers.sandbox.vendor import FILTER, FILTERED, REFUSAL, REFUSE, Unanswerable, vendor, whole
from shared.schemas.content import Inline
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.model import Model
from shared.schemas.usage import Usage

_SIDES = range(64, 4097)
_MOST_IMAGES = 10
_SKY = 64  # colours


class SandboxImages:
    vendor = vendor

    def call(self, request: ImageRequest, model: Model) -> Call:
        """Of files only their hashes are sent. Without a size it is that of the first file, if a PNG, or 1024x1024."""
        if request.output_format not in (None, "png"):
            message = "The sandbox draws PNG images only."
            raise UnsupportedFeature(message, details=[FieldError("output_format", message)])
        if request.size and not _is_drawable(request.size):
            raise InvalidRequest.field("size", "the sandbox draws from 64x64 to 4096x4096 pixels")
        if request.n > _MOST_IMAGES:
            raise InvalidRequest.field("n", f"the sandbox draws at most {_MOST_IMAGES} images for one request")
        files = [upload.read() for upload in (*request.images, *filter(None, (request.mask,)))]
        found = (Size(*pixels) for pixels in map(png.size, files[:1]) if pixels)
        size = request.size or next(filter(_is_drawable, found), Size(1024, 1024))
        hashes = [hashlib.sha256(file).hexdigest() for file in files]
        json = {"model": model.upstream, "prompt": request.prompt, "n": request.n, "files": len(files)}
        motif = [request.prompt, request.seed, request.style, request.mask is not None, *hashes]
        return Call("/images", {**json, "size": [size.width, size.height], "motif": motif})

    def response(self, body: Any) -> ImageResponse:
        return TypeAdapter(ImageResponse).validate_python(body)


adapter: ImageAdapter = SandboxImages()


def _is_drawable(size: Size) -> bool:
    return size.width in _SIDES and size.height in _SIDES


def answer(body: dict[str, Any]) -> LocalAnswer:
    """Raises Unanswerable."""
    if FILTER in body["prompt"]:
        raise Unanswerable(FILTERED, "The sandbox's content filter refused this prompt.")
    if REFUSE in body["prompt"]:
        raise Unanswerable(400, REFUSAL)
    images = tuple(GeneratedImage(draw(*body["size"], index, *body["motif"])) for index in range(body["n"]))
    usage = Usage(input_tokens=tokens.count(body["prompt"]))
    usage += tokens.of_images(body["files"], len(images), *body["size"])
    return whole(body["model"], to_json(ImageResponse(images, usage)))


def draw(width: int, height: int, *about: object) -> Inline:
    """A PNG of a sun over mountains. The same values in `about` give the same picture, and others another."""
    choices = (byte / 255 for byte in hashlib.shake_256(repr(about).encode()).digest(64))
    hue = next(choices)
    rows = [bytearray((y * _SKY // height,)) * width for y in range(height)]

    def span(y: int, x: float, half: float, colour: int) -> None:
        left, right = max(0, round(x - half)), min(width, round(x + half))
        if left < right and 0 <= y < height:
            rows[y][left:right] = bytes((colour,)) * (right - left)

    x, y = (0.2 + 0.6 * next(choices)) * width, (0.2 + 0.3 * next(choices)) * height
    radius = (0.08 + 0.08 * next(choices)) * min(width, height)
    for row in range(round(y - radius), round(y + radius)):
        span(row, x, math.sqrt(max(0.0, radius**2 - (row - y) ** 2)), _SKY)
    for colour in range(_SKY + 1, _SKY + 4):  # ranges of mountains, from the farthest on
        for peak in range(5):
            x, slope = (peak + next(choices)) / 5 * width, (0.7 + next(choices)) * width / height
            top = round((0.2 + 0.15 * (colour - _SKY) + 0.2 * next(choices)) * height)
            for row in range(top, height):
                span(row, x, (row - top) * slope, colour)

    sky = [(hue + 0.1 * step / _SKY, 0.8 - 0.5 * step / _SKY, 0.9) for step in range(_SKY)]
    rest = [(hue + 0.15, 0.2, 1.0), (hue + 0.5, 0.3, 0.7), (hue + 0.5, 0.4, 0.5), (hue + 0.5, 0.5, 0.3)]
    palette = bytes(round(255 * value) for colour in sky + rest for value in colorsys.hsv_to_rgb(*colour))
    data = png.encode(width, height, rows, palette=palette, level=1)
    return Inline(media_type="image/png", data=b64encode(data).decode("ascii"))
