"""Raw content generation as the stable dialect has it: a prompt and images in, Gemini's GenerateContentResponse out."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from shared.schemas.content import Inline
from shared.schemas.usage import Usage

JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SafetySetting:
    """A harm category and the threshold at which it blocks, both by Google's names."""

    category: str
    threshold: str


@dataclass(frozen=True, slots=True)
class ContentRequest:
    """Every field is passed on as it is; None means that the vendor's default holds. `images` go before the prompt's
    text. `modalities` are in capitals. `aspect_ratio` is such as "16:9", `image_size` such as "2K".
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
    """`body` is a GenerateContentResponse whole, its names in snake case, without nulls, its base64 in the standard
    alphabet; every candidate has `content.parts` as a list and `content.role`. `usage` is what it says of tokens.
    """

    body: JsonObject = field(repr=False)
    usage: Usage = field(default_factory=Usage)
