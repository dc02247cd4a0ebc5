"""The sandbox's pictures: a sun over mountains and a lake, all of it chosen by the hash of what was asked for."""

import colorsys
import hashlib
import math
import struct
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.providers.sandbox import lettering
from shared.providers.sandbox.png import Canvas, Rgb
from shared.schemas.content import Inline

SMALLEST, LARGEST = 64, 4096
DEFAULT_SIZE = (1024, 1024)
MEDIA_TYPE = "image/png"

# The palette: gradients for sky and water, then single colours.
_SKY = range(128)
_WATER = range(128, 160)
_HALO = range(160, 168)
_STAR, _CAPTION, _PLATE, _FRAME = range(168, 172)
_MOUNTAINS = range(172, 180)  # for each of four ranges its lit and its dark side
_INPUTS = range(180, 196)

_SHORE = 0.8  # where the lake begins, as a share of the height
_LONGEST_CAPTION = 24


@dataclass(frozen=True, slots=True)
class Motif:
    """What decides how a picture looks; the same motif gives the same bytes. `inputs` are the images to start from."""

    prompt: str
    seed: int | None = None
    index: int = 0
    inputs: tuple[bytes, ...] = ()
    vivid: bool = True


def inline(motif: Motif, width: int, height: int) -> Inline:
    """The picture as it travels in JSON."""
    return Inline(media_type=MEDIA_TYPE, data=b64encode(draw(motif, width, height)).decode("ascii"))


def draw(motif: Motif, width: int, height: int) -> bytes:
    """The picture as PNG, `width` times `height` pixels."""
    inputs = [hashlib.sha256(data).digest() for data in motif.inputs]
    about = f"{motif.seed}\0{motif.index}\0{motif.prompt}".encode()
    choices = _choices(hashlib.sha256(about + b"".join(inputs)).digest())
    hue = next(choices)
    canvas = Canvas(width, _background(height))
    _draw_stars(canvas, choices)
    sun = _draw_sun(canvas, choices)
    _draw_mountains(canvas, choices)
    _draw_reflection(canvas, sun, choices)
    _draw_inputs(canvas, len(inputs))
    _draw_caption(canvas, motif.prompt)
    return canvas.png(_palette(hue, motif.vivid, inputs))


def _choices(digest: bytes) -> Iterator[float]:
    """Numbers from 0 to 1."""
    numbers = struct.unpack(">256H", hashlib.shake_256(digest).digest(512))
    return (number / 65536 for number in numbers)


def _background(height: int) -> list[int]:
    shore = round(height * _SHORE)
    sky = [_SKY[y * len(_SKY) // shore] for y in range(shore)]
    return sky + [_WATER[y * len(_WATER) // (height - shore)] for y in range(height - shore)]


def _draw_stars(canvas: Canvas, choices: Iterator[float]) -> None:
    size = max(1, min(canvas.width, canvas.height) // 256)
    for _ in range(40):
        x, y = next(choices) * canvas.width, next(choices) * canvas.height * 0.5
        canvas.rectangle(x, y, x + size, y + size, _STAR)


def _draw_sun(canvas: Canvas, choices: Iterator[float]) -> float:
    """Draws the sun in its halo, from the outermost ring to the disc; gives the x of its middle."""
    x, y = (0.2 + 0.6 * next(choices)) * canvas.width, (0.2 + 0.3 * next(choices)) * canvas.height
    radius = (0.07 + 0.06 * next(choices)) * min(canvas.width, canvas.height)
    for ring, colour in enumerate(_HALO):
        _draw_disc(canvas, x, y, radius * (1 + 0.2 * (len(_HALO) - 1 - ring)), colour)
    return x


def _draw_disc(canvas: Canvas, x: float, y: float, radius: float, colour: int) -> None:
    for row in range(math.ceil(y - radius), math.floor(y + radius) + 1):
        half = math.sqrt(max(0.0, radius * radius - (row - y) ** 2))
        canvas.span(row, x - half, x + half, colour)


def _draw_mountains(canvas: Canvas, choices: Iterator[float]) -> None:
    """Draws the ranges from the farthest on, each peak with a lit and a dark side."""
    base = round(canvas.height * _SHORE)
    for distance in range(4):
        peaks = 3 + distance
        for peak in range(peaks):
            x = (peak + next(choices)) / peaks * canvas.width
            top = base - (0.18 + 0.25 * next(choices)) * canvas.height * (1 - 0.22 * distance)
            slope = 0.7 + 0.9 * next(choices)
            lit, dark = _MOUNTAINS[2 * distance : 2 * distance + 2]
            for y in range(round(top), base):
                half = (y - top) * slope
                canvas.span(y, x - half, x, lit)
                canvas.span(y, x, x + half, dark)


def _draw_reflection(canvas: Canvas, x: float, choices: Iterator[float]) -> None:
    """Draws the sun's light on the water, in strips that grow towards the viewer."""
    strips = 10
    top, depth = canvas.height * _SHORE, canvas.height * (1 - _SHORE)
    for strip in range(strips):
        y = top + depth * (strip + 0.3) / strips
        half = canvas.width * (0.02 + 0.01 * strip) * (0.5 + next(choices))
        canvas.rectangle(x - half, y, x + half, y + depth / strips / 3, _HALO[-1])


def _draw_inputs(canvas: Canvas, count: int) -> None:
    """Hangs a framed tile for each input image along the upper edge, in a colour that its bytes choose."""
    unit = canvas.width / 80
    for number, colour in zip(range(count), _INPUTS, strict=False):
        left = unit * (1 + 4.5 * number)
        canvas.rectangle(left, unit, left + 4 * unit, 5 * unit, _FRAME)
        canvas.rectangle(left + unit / 2, 1.5 * unit, left + 3.5 * unit, 4.5 * unit, colour)


def _draw_caption(canvas: Canvas, prompt: str) -> None:
    """Writes the prompt's first words at the lower edge, on a plate of their own."""
    line = lettering.written(prompt, _LONGEST_CAPTION)
    square = min(canvas.width // (lettering.width(line) + 8), canvas.height // 90 + 1)
    if not line or not square:
        return
    width, height = lettering.width(line) * square, lettering.HEIGHT * square
    left, top = (canvas.width - width) // 2, canvas.height - height - 3 * square
    canvas.rectangle(left - 2 * square, top - 2 * square, left + width + 2 * square, top + height + 2 * square, _PLATE)
    lettering.write(canvas, line, left, top, square, _CAPTION)


def _palette(hue: float, vivid: bool, inputs: Sequence[bytes]) -> list[Rgb]:
    """The colours of the constants above; natural ones are less saturated."""
    strength = 1.0 if vivid else 0.5

    def colour(turn: float, saturation: float, value: float) -> Rgb:
        red, green, blue = colorsys.hsv_to_rgb((hue + turn) % 1, saturation * strength, value)
        return round(red * 255), round(green * 255), round(blue * 255)

    horizon, sun = colour(0.1, 0.45, 1.0), colour(0.14, 0.15, 1.0)
    return [
        *_gradient(colour(0, 0.8, 0.3), horizon, len(_SKY)),
        *_gradient(colour(0.08, 0.5, 0.8), colour(0, 0.8, 0.25), len(_WATER)),
        *_gradient(horizon, sun, len(_HALO)),
        colour(0.1, 0.1, 0.9),
        (255, 255, 255),
        colour(0, 0.6, 0.15),
        (250, 246, 238),
        *(
            colour(0.02 * distance, 0.3 + 0.12 * distance, value * (0.85 - 0.2 * distance))
            for distance in range(4)
            for value in (1.0, 0.85)
        ),
        *((digest[0], digest[1], digest[2]) for digest in inputs[: len(_INPUTS)]),
    ]


def _gradient(first: Rgb, last: Rgb, steps: int) -> Iterator[Rgb]:
    for step in range(steps):
        share = step / (steps - 1)
        red, green, blue = (round(start + (end - start) * share) for start, end in zip(first, last, strict=True))
        yield red, green, blue
