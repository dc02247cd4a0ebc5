"""Token counts and finish reasons, with the same meaning for every vendor."""

from enum import StrEnum
from functools import cache

from shared.schemas.base import Frozen


class FinishReason(StrEnum):
    """Why a candidate ended. The values are OpenAI's, which every dialect uses."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class Usage(Frozen):
    """Tokens of one call.

    `input_tokens` and `output_tokens` are totals; every other token count is *included* in one of them (Anthropic
    reports cached tokens separately; its adapter adds them up).

    Some vendors charge for these instead, or as well: generated `images`, spoken `characters`, `audio_seconds` of
    input, and `searches` of the web. `cache_write_1h_tokens` are those of `cache_write_tokens` that are kept for an
    hour.

    `cost` is what the vendor reports that the call has cost, in micro-dollars; None if it reports nothing.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    images: int = 0
    characters: int = 0
    audio_seconds: float = 0.0
    searches: int = 0
    cost: int | None = None

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        if self is no_usage():
            return other
        sums = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Usage(**sums, cost=sum(costs) if costs else None)


@cache
def no_usage() -> Usage:
    """The usage of what has not used anything yet, to which others are added."""
    return Usage()


COUNTS = tuple(name for name in Usage.model_fields if name != "cost")
"""The fields of `Usage` that count something."""
