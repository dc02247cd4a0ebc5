"""A row of the catalog as the rest of the code sees it."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from shared.schemas.base import Frozen


class Capability(StrEnum):
    """What a model can do. A request that needs one which its model lacks is refused."""

    CHAT = "chat"
    VISION = "vision"
    AUDIO_INPUT = "audio_input"
    FILE_INPUT = "file_input"
    FUNCTION_CALLING = "function_calling"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    IMAGE_GENERATION = "image_generation"
    IMAGE_EDITING = "image_editing"
    IMAGE_OUTPUT = "image_output"
    EMBEDDINGS = "embeddings"
    TRANSCRIPTION = "transcription"
    SPEECH = "speech"


class Listed(Frozen):
    """What `GET /ai/models` shows of a model where that differs from what is true of it."""

    capabilities: tuple[str, ...] | None = None
    context_length: int | None = None


class Model(Frozen):
    """A model that clients may name.

    `upstream` is the vendor's name of the model that serves it, `context_length` and `max_output_tokens` are in
    tokens, `created` is in Unix seconds, `retires` is the date announced for `upstream`. `quirks` are the wire quirks
    (see `catalog.toml`) that its adapter absorbs: those of the vendor and of the model together. `wildcard` is the id
    of the row that let a caller name any model of the vendor, None for a model with a row of its own.
    """

    id: str
    provider: str
    upstream: str
    owned_by: str
    created: int = 0
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[Capability] = Field(default_factory=frozenset)
    quirks: frozenset[str] = Field(default_factory=frozenset)
    retires: date | None = None
    listed: Listed = Listed()
    wildcard: str | None = None
