"""Cache points on the wire: Anthropic's `cache_control`, which OpenRouter takes as well, and OpenAI's own breakpoints.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching and
https://developers.openai.com/api/docs/guides/prompt-caching.
"""

from typing import Literal

from shared.dialects.base import Wire
from shared.schemas.content import CachePoint


class WireCacheControl(Wire):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None

    def canonical(self) -> CachePoint:
        return CachePoint(ttl=self.ttl)


class WireCacheBreakpoint(Wire):
    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | None = None

    def canonical(self) -> CachePoint:
        return CachePoint(ttl=self.ttl)


class WirePromptCacheOptions(Wire):
    mode: Literal["implicit", "explicit"] = "implicit"
    ttl: Literal["30m"] | None = None


class Cacheable(Wire):
    """What may carry a cache point."""

    cache_control: WireCacheControl | None = None
    prompt_cache_breakpoint: WireCacheBreakpoint | None = None

    @property
    def cache(self) -> CachePoint | None:
        if self.cache_control is not None:
            return self.cache_control.canonical()
        return None if self.prompt_cache_breakpoint is None else self.prompt_cache_breakpoint.canonical()
