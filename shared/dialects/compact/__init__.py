"""The compact dialect of /ai: flat objects without choices, bare delta frames."""

from collections.abc import Mapping

from shared.dialects.base import JsonObject
from shared.errors import GatewayError
from shared.framing import KEEP_ALIVE
from shared.schemas.context import Meter, RequestInfo
from shared.schemas.usage import Usage

_CODES_OF_STATUS = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    429: "rate_limit_exceeded",
    500: "internal_error",
    502: "provider_error",
    503: "model_unavailable",
    504: "provider_timeout",
}
# Codes that their status does not tell.
_CODES = {
    "model_not_found": "model_not_found",
    "overloaded": "provider_error",
    "idempotency_key_reused": "idempotency_key_reused",
}


class CompactDialect:
    """Errors as `{"error": {code, message, status, retry_after?}}`."""

    keep_alive = KEEP_ALIVE

    def status(self, error: GatewayError) -> int:
        return error.status

    def error(self, error: GatewayError, request_id: str) -> JsonObject:
        body: JsonObject = {
            "code": _CODES.get(error.code) or _CODES_OF_STATUS[error.status],
            "message": error.message,
            "status": error.status,
        }
        if error.retry_after is not None:
            body["retry_after"] = error.retry_after
            body["message"] = f"{error.message} Retry after {error.retry_after} seconds."
        return {"error": body}

    def headers(self, request: RequestInfo, meter: Meter) -> Mapping[str, str]:
        return {}


dialect = CompactDialect()


def usage_body(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
