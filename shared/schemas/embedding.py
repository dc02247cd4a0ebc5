"""The canonical embedding request and response."""

from array import array
from dataclasses import field
from typing import TypeAlias

from shared.dataclass import dataclass
from shared.schemas.usage import Usage

# Text, or the ids of its tokens in the model's own vocabulary.
EmbeddingInput: TypeAlias = str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request for one vector for each input, with `dimensions` elements if given."""

    model: str
    inputs: tuple[EmbeddingInput, ...]
    dimensions: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """The vectors in the order of the inputs, each an `array("f")`, all with the same length."""

    vectors: tuple["array[float]", ...]
    usage: Usage = field(default_factory=Usage)
