"""Errors, headers and pings as Anthropic sends them: https://platform.claude.com/docs/en/api/errors."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from shared.dialects.base import JsonObject, data_frame
from shared.errors import ContextTooLong, GatewayError, UnsupportedFeature, UpstreamOverloaded
from shared.schemas.context import Meter, RequestInfo
from shared.schemas.limits import Rate

THREAD = "thread"
"""The field by which a request continues a conversation that Anthropic holds."""
PING = data_frame({"type": "ping"}, "ping")
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
}
# The details by which Anthropic's SDKs know that they have to send the whole conversation again.
_LOST_THREAD = {"error_code": "thread_not_found"}
# The words by which agents recognize that they have to shorten the conversation.
_TOO_LONG = "prompt is too long"


class MessagesDialect:
    """Errors as `{"type": "error", "error": {type, message}, "request_id"}`."""

    keep_alive = PING

    def status(self, error: GatewayError) -> int:
        return 404 if _is_lost_thread(error) else error.status

    def error(self, error: GatewayError, request_id: str) -> JsonObject:
        is_overload = isinstance(error, UpstreamOverloaded)
        kind = "overloaded_error" if is_overload else _TYPES.get(self.status(error), "api_error")
        message = error.message
        if isinstance(error, ContextTooLong) and _TOO_LONG not in message.lower():
            message = f"{_TOO_LONG}: {message}"
        body: JsonObject = {"type": kind, "message": message}
        if details := _LOST_THREAD if _is_lost_thread(error) else error.vendor_details:
            body["details"] = dict(details)
        return {"type": "error", "error": body, "request_id": request_id}

    def headers(self, request: RequestInfo, meter: Meter) -> Mapping[str, str]:
        """https://platform.claude.com/docs/en/api/rate-limits#response-headers. Tokens in and out share one limit."""
        headers = {"request-id": request.id}
        if meter.rates is not None:
            headers |= _rate_headers("requests", meter.rates.requests) | _rate_headers("tokens", meter.rates.tokens)
        return headers


def _is_lost_thread(error: GatewayError) -> bool:
    """Whether a request continues a thread with a model of another vendor, which does not hold it."""
    return isinstance(error, UnsupportedFeature) and error.param == THREAD


def _rate_headers(kind: str, rate: Rate) -> dict[str, str]:
    reset = datetime.fromtimestamp(rate.reset_at or int(time.time()), UTC)
    return {
        f"anthropic-ratelimit-{kind}-limit": str(rate.limit),
        f"anthropic-ratelimit-{kind}-remaining": str(rate.remaining),
        f"anthropic-ratelimit-{kind}-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
