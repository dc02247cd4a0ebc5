"""What the operations of Gemini share: authentication, framing and errors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import GatewayError
from shared.framing import SseDecoder
from shared.providers.base import error_body, error_for_status, overloaded, retry_after_seconds
from shared.schemas.chat import JsonObject

if TYPE_CHECKING:
    import httpx


class Gemini:
    """See shared.providers.base.Vendor."""

    name = "gemini"

    def auth(self, api_key: str | None) -> "httpx.Auth | None":
        """Sends the key in `x-goog-api-key`: https://ai.google.dev/gemini-api/docs/api-key."""
        if api_key is None:
            return None
        from shared.providers.auth import HeaderAuth

        return HeaderAuth("x-goog-api-key", api_key)

    def frames(self) -> SseDecoder:
        """Streams are server-sent events without a closing marker."""
        return SseDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """`body` is `{"error": google.rpc.Status}`, or an array of one such object from a streaming method."""
        return _error(status, headers, _status(error_body(body)) or {})


def raise_error(body: Any) -> None:
    """Raises the error in a decoded body or frame that arrived with HTTP status 200, if it is one."""
    if error := _status(body):
        raise _error(error.get("code", 500), {}, error)


def _status(body: Any) -> JsonObject | None:
    """The google.rpc.Status in a decoded body."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def _error(status: int, headers: Mapping[str, str], error: JsonObject) -> GatewayError:
    """See https://ai.google.dev/gemini-api/docs/troubleshooting; the details are those of google.rpc."""
    details = [detail for detail in error.get("details") or () if isinstance(detail, dict)]
    if status == 400 and _is_operator_error(error, details):
        return error_for_status(403, headers, None)
    for detail in details:
        if delay := detail.get("retryDelay"):
            headers = {**headers, "retry-after": str(delay).removesuffix("s")}
    if error.get("status") == "UNAVAILABLE":  # overloaded or down, in various wordings
        return overloaded(retry_after_seconds(headers))
    return error_for_status(status, headers, error.get("message"))


def _is_operator_error(error: JsonObject, details: Sequence[JsonObject]) -> bool:
    """Whether the key is invalid or expired, or the account lacks the billing that the request needs."""
    return error.get("status") == "FAILED_PRECONDITION" or any(
        str(detail.get("reason", "")).startswith("API_KEY") for detail in details
    )


vendor = Gemini()
