"""Raw content generation, for the stable dialect: a prompt and images in, Gemini's GenerateContentResponse out."""

from dataclasses import field
from typing import Any, Literal, TypeAlias

from shared.dataclass import dataclass
from shared.schemas.content import Inline
from shared.schemas.usage import Usage

JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SafetySetting:
    """A harm category and its blocking threshold, both with Google's names."""

    category: str
    threshold: str


@dataclass(frozen=True, slots=True)
class ContentRequest:
    """Every field is passed on unchanged; None means the vendor's default. `images` precede the prompt's text.
    `modalities` are in capitals. `aspect_ratio` is like "16:9", `image_size` like "2K".
    """

    model: str
    prompt: str
    images: tuple[Inline, ...] = ()
    modalities: tuple[Literal["TEXT", "IMAGE"], ...] = ("IMAGE", "TEXT")
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_output_tokens: int | None = None
    safety_settings: tuple[SafetySetting, ...] = ()
    system_instruction: str | None = None
    candidate_count: int = 1
    stop_sequences: tuple[str, ...] = ()
    aspect_ratio: str | None = None
    image_size: str | None = None


@dataclass(frozen=True, slots=True)
class ContentResponse:
    """`body` is a complete GenerateContentResponse with names in snake case, without nulls, with standard base64; every
    candidate has `content.parts` as a list and `content.role`. `usage` is its token counts.
    """

    body: JsonObject = field(repr=False)
    usage: Usage = field(default_factory=Usage)
