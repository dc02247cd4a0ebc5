"""The canonical image request and response: images generated from a prompt, or from a prompt and other images."""

from dataclasses import field
from typing import Literal, TypeAlias

from shared.dataclass import dataclass
from shared.schemas.content import Inline, Remote
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

Quality: TypeAlias = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
Delivery: TypeAlias = Literal["url", "b64_json"]


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One request for `n` images. If `images` is given they are edited, with a `mask` only where it is transparent.

    A `size` of None leaves the choice to the model. Every other field that is None was not set. `seed`, `quality`,
    `style`, `background`, `moderation`, `complexity`, `input_fidelity` and `user` are hints: they are ignored for a
    vendor that lacks them. `output_format` and `size` are binding: an adapter raises for values that its vendor does
    not support.
    """

    model: str
    prompt: str
    images: tuple[Upload, ...] = ()
    mask: Upload | None = None
    n: int = 1
    size: Size | None = None
    quality: Quality | None = None
    style: Literal["vivid", "natural"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = None
    moderation: Literal["low", "auto"] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    input_fidelity: Literal["high", "low"] | None = None
    seed: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One image, either Inline, with the media type detected from its bytes, or Remote, at a URL.

    `revised_prompt` is the prompt as changed by the vendor, if it reports that. `url` is where an inline image is
    stored as well.
    """

    source: Inline | Remote
    revised_prompt: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ImageResponse:
    """At least one image. Usage is zero if the vendor does not report tokens."""

    images: tuple[GeneratedImage, ...]
    usage: Usage = field(default_factory=Usage)
