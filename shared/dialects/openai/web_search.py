"""The search of the web that a caller asks a chat model for.

https://developers.openai.com/api/docs/guides/tools-web-search
"""

from typing import Literal

from shared.dialects.base import Wire
from shared.schemas.chat import WebSearch


class WireApproximateLocation(Wire):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class WireUserLocation(Wire):
    type: Literal["approximate"]
    approximate: WireApproximateLocation


class WireWebSearch(Wire):
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: WireUserLocation | None = None

    def canonical(self) -> WebSearch:
        place = WireApproximateLocation() if self.user_location is None else self.user_location.approximate
        return WebSearch(
            context_size=self.search_context_size,
            city=place.city,
            country=place.country,
            region=place.region,
            timezone=place.timezone,
        )
