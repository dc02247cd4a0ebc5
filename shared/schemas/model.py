"""A model of the catalog."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from shared.schemas.base import Frozen
from shared.schemas.quirk import Quirk
from shared.schemas.replay import KEPT_SECONDS

LEAST_HEDGE_MS, MOST_HEDGE_MS = 50, 60_000
"""After how much silence a second candidate may be asked."""


class Capability(StrEnum):
    """What a model can do. A request that needs a capability that its model lacks is refused."""

    CHAT = "chat"
    VISION = "vision"
    AUDIO_INPUT = "audio_input"
    FILE_INPUT = "file_input"
    FUNCTION_CALLING = "function_calling"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    WEB_SEARCH = "web_search"
    IMAGE_GENERATION = "image_generation"
    IMAGE_EDITING = "image_editing"
    IMAGE_OUTPUT = "image_output"
    EMBEDDINGS = "embeddings"
    TRANSCRIPTION = "transcription"
    SPEECH = "speech"


class Listed(Frozen):
    """Values that `GET /ai/models` shows for a model in place of the actual ones."""

    capabilities: tuple[str, ...] | None = None
    context_length: int | None = None


class Model(Frozen):
    """A model that clients may name.

    `upstream` is the provider's name of the model that serves it, `context_length` and `max_output_tokens` are in
    tokens, `created` is in Unix seconds, `retires` is the day on which the provider switches `upstream` off. `quirks`
    are those of the provider and of the model combined. `wildcard` is the id of the row that let a caller name any
    model of the provider, None for a model with a row of its own. `fallbacks` are ids of the models that are tried in
    turn when this one fails; `fallback_when_filtered` is whether a refusal by its content filter counts as a failure.
    After `hedge_after_ms` of silence the next candidate is asked beside it, where the request sets no other time. For
    `cache_seconds` its answers are given again to equal requests of a tenant, where neither the request nor its key
    sets another time.
    """

    id: str
    provider: str
    upstream: str
    owned_by: str
    created: int = 0
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[Capability] = Field(default_factory=frozenset)
    quirks: frozenset[Quirk] = Field(default_factory=frozenset)
    retires: date | None = None
    listed: Listed = Field(default_factory=Listed)  # a default made here would build its schema at import
    wildcard: str | None = None
    fallbacks: tuple[str, ...] = ()
    fallback_when_filtered: bool = False
    hedge_after_ms: int | None = Field(default=None, ge=LEAST_HEDGE_MS, le=MOST_HEDGE_MS)
    cache_seconds: int | None = Field(default=None, ge=0, le=KEPT_SECONDS)

    @property
    def target(self) -> str:
        """What is called: the provider and the upstream model, as `provider/upstream`."""
        return f"{self.provider}/{self.upstream}"

    def counted_as(self, *, is_answered: bool) -> str:
        """Its id in usage, logs and traces: the wildcard's, until the provider has answered for a name that the caller
        may have made up.
        """
        return self.id if is_answered else self.wildcard or self.id

    def is_retired(self, today: date) -> bool:
        """Whether `upstream` has been switched off."""
        return self.retires is not None and self.retires <= today
