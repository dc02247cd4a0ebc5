"""What the operations of Stability AI share: authentication and errors."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import ContentFiltered, GatewayError, PayloadTooLarge, UpstreamRateLimited
from shared.framing import ChunkDecoder
from shared.providers.base import clean, error_body, error_for_status, retry_after_seconds

if TYPE_CHECKING:
    import httpx

# Names of the errors for a prompt or an image that the vendor's content filter rejects.
_FILTERED = frozenset({"content_moderation", "public_figure"})

# How long the vendor rejects every request after its rate limit was reached; it sends no Retry-After.
_RATE_LIMIT_SECONDS = 60


class Stability:
    """See shared.providers.base.Vendor."""

    name = "stability"

    def auth(self, api_key: str | None) -> "httpx.Auth | None":
        """See https://platform.stability.ai/docs/getting-started/authentication."""
        if api_key is None:
            return None
        from shared.providers.auth import HeaderAuth

        return HeaderAuth("authorization", f"Bearer {api_key}")

    def frames(self) -> ChunkDecoder:
        """The API streams no response."""
        return ChunkDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """`body` is `{"id", "name", "errors": [text]}`. The name tells a 403 of the content filter from others."""
        name, message = _name_and_message(error_body(body))
        if name in _FILTERED:
            return ContentFiltered(clean(message) or "The provider's content filter blocked the request.")
        if status == 413:
            return PayloadTooLarge("The provider accepts at most 10 MiB per request. Send a smaller image.")
        if status == 429:
            return UpstreamRateLimited(
                "The provider's rate limit was reached.",
                retry_after=retry_after_seconds(headers) or _RATE_LIMIT_SECONDS,
            )
        return error_for_status(status, headers, message)


def _name_and_message(body: Any) -> tuple[str | None, str | None]:
    """The name of an error body and its messages joined; None for what it lacks."""
    if not isinstance(body, dict):
        return None, None
    name, errors = body.get("name"), body.get("errors")
    messages = [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []
    return name if isinstance(name, str) else None, "; ".join(messages)


vendor = Stability()
