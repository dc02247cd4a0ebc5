"""The canonical image request and response: pictures made from a prompt, or from a prompt and other pictures."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

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
    """One request for `n` images. With `images` these are edited, by `mask` only where its pixels are transparent.

    A `size` of None leaves the choice to the model. Every other field that is None was not asked for. `seed`,
    `quality`, `style`, `background`, `moderation`, `complexity`, `input_fidelity` and `user` are knobs: a vendor that
    lacks them ignores them. `output_format` and `size` are promises: an adapter raises for what its vendor cannot give.
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
    """One image. Inline it is standard base64, with the media type that its bytes show; Remote it is at a URL.

    `revised_prompt` is the prompt as the vendor changed it, where it says so. `url` is where an inline image is stored
    as well.
    """

    source: Inline | Remote
    revised_prompt: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ImageResponse:
    """At least one image. Usage is in tokens where the vendor counts them, and zero where it does not."""

    images: tuple[GeneratedImage, ...]
    usage: Usage = field(default_factory=Usage)
