"""Gemini's errors, in error responses and inside streams."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import GatewayError
from shared.providers.base import error_for_status
from shared.schemas.chat import JsonObject


def error_object(body: Any) -> JsonObject | None:
    """The error in a body; a streamed call may answer it in an array."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def error_of(status: int, headers: Mapping[str, str], error: JsonObject) -> GatewayError:
    """See https://ai.google.dev/gemini-api/docs/troubleshooting; the details are those of google.rpc."""
    details = [detail for detail in error.get("details") or () if isinstance(detail, dict)]
    if status == 400 and _is_operators_fault(error, details):
        return error_for_status(403, headers, None)
    for detail in details:
        if delay := detail.get("retryDelay"):
            headers = {**headers, "retry-after": str(delay).removesuffix("s")}
    return error_for_status(status, headers, error.get("message"))


def _is_operators_fault(error: JsonObject, details: Sequence[JsonObject]) -> bool:
    """A key that is wrong or expired, or an account without billing where it needs it."""
    return error.get("status") == "FAILED_PRECONDITION" or any(
        str(detail.get("reason", "")).startswith("API_KEY") for detail in details
    )
