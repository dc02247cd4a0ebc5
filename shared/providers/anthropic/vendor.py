"""What the operations of Anthropic's API share: authentication, framing and errors.

Errors: https://platform.claude.com/docs/en/api/errors.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import CredentialsRefused, GatewayError, InvalidRequest, NotFound
from shared.framing import SseDecoder
from shared.providers.base import FrameDecoder, Vendor, clean, error_body, error_for_status, no_credit

if TYPE_CHECKING:
    import httpx

NAME = "anthropic"

# The HTTP status of an error that is sent inside a stream, by its type.
_ERROR_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# The operator's account is at fault, though the status (400, 429) says that the caller is. Older errors have no code.
_NO_CREDIT_CODES = frozenset({"contract_spend_limit_reached", "enforced_spend_limit_reached"})
_NO_CREDIT_MESSAGES = ("Your credit balance is too low", "You have reached your specified")
_ACCOUNT_CODES = frozenset({"organization_on_hold", "cmek_key_disabled", "cmek_key_network_blocked"})
_ACCOUNT_MESSAGE = "This organization has been disabled"
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MOST_CODES = 20


class Anthropic:
    """Anthropic's own API."""

    name = NAME

    def auth(self, api_key: str | None) -> "httpx.Auth | None":
        if not api_key:
            return None
        from shared.providers.auth import HeaderAuth

        return HeaderAuth("x-api-key", api_key)

    def frames(self) -> FrameDecoder:
        return SseDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        parsed = error_body(body)
        return _error(status, headers, parsed.get("error") if isinstance(parsed, dict) else None)


def stream_error(error: Any) -> GatewayError:
    """The error of the `error` object in a stream's error event."""
    kind = error.get("type") if isinstance(error, dict) else None
    return _error(_ERROR_STATUSES.get(kind or "", 500), {}, error)


def _error(status: int, headers: Mapping[str, str], error: Any) -> GatewayError:
    """The error of a status and of the `error` object in its body, if there is one."""
    fields = error if isinstance(error, dict) else {}
    message = fields.get("message")
    message = message if isinstance(message, str) else None
    details = fields.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    if code in _NO_CREDIT_CODES or (message or "").startswith(_NO_CREDIT_MESSAGES):
        return no_credit()
    if code in _ACCOUNT_CODES or (message or "").startswith(_ACCOUNT_MESSAGE):
        return CredentialsRefused("The provider refused the gateway's account.")
    if code == "thread_not_found":
        found: GatewayError = NotFound(clean(message) or "The thread does not exist.")
    else:
        found = error_for_status(status, headers, message)
    if isinstance(details, dict) and isinstance(found, InvalidRequest | NotFound):
        found.vendor_details = {name: value for name, value in details.items() if _is_public(value)}
    return found


def _is_public(value: Any) -> bool:
    """Whether a detail is a short code or a list of them, and no text that would have to be cleaned."""
    if isinstance(value, list):
        return len(value) <= _MOST_CODES and all(isinstance(item, str) and _is_public(item) for item in value)
    return isinstance(value, bool | int) or (isinstance(value, str) and _CODE.fullmatch(value) is not None)


vendor: Vendor = Anthropic()
