"""Errors as OpenAI answers them: https://developers.openai.com/api/docs/guides/error-codes."""

from collections.abc import Mapping

from shared.dialects.base import JsonObject
from shared.errors import GatewayError, UpstreamRejected
from shared.framing import KEEP_ALIVE
from shared.schemas.context import Meter, RequestInfo

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
# OpenAI's type of a 429 that is not a rate limit, and its code for a budget of the caller's own.
_NO_QUOTA = "insufficient_quota"
_SPENT = "project_spend_limit_exceeded"
_CODES = {
    "invalid_request": None,
    "token_missing": "missing_api_key",
    "token_invalid": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "upstream_rate_limited": "rate_limit_exceeded",
    "budget_exceeded": _SPENT,
}


class OpenAIDialect:
    """OpenAI's statuses and error object, without headers of its own."""

    keep_alive = KEEP_ALIVE

    def status(self, error: GatewayError) -> int:
        return error.status

    def error(self, error: GatewayError, request_id: str) -> JsonObject:
        code = _CODES.get(error.code, error.code)
        if isinstance(error, UpstreamRejected):
            code = error.vendor_code or code
        return {
            "error": {
                "message": error.message,
                "type": _NO_QUOTA if code in (_SPENT, _NO_QUOTA) else _TYPES.get(error.status, "server_error"),
                "param": error.param,
                "code": code,
            }
        }

    def headers(self, request: RequestInfo, meter: Meter) -> Mapping[str, str]:
        return {}
