"""The envelope dialect of /v1/inference: OpenAI's objects inside `{"status", "data", "meta"}`."""

import time
from collections.abc import Mapping

from shared.dialects.base import JsonObject
from shared.errors import GatewayError, ValidationFailed
from shared.framing import KEEP_ALIVE
from shared.schemas.context import Meter, RequestContext, RequestInfo

_CODES = {
    "token_missing": "AUTH_TOKEN_MISSING",
    "token_invalid": "AUTH_TOKEN_INVALID",
    "permission_denied": "AUTHZ_PERMISSION_DENIED",
    "upstream_rate_limited": "BACKEND_RATE_LIMITED",
    "upstream_error": "BACKEND_ERROR",
    "idempotency_key_in_use": "CONFLICT",
    "idempotency_key_reused": "VALIDATION_ERROR",
    "overloaded": "MODEL_UNAVAILABLE",
    "upstream_timeout": "BACKEND_TIMEOUT",
}


class EnvelopeDialect:
    """Errors as `{"status": "error", "error": {code, message, retry_after?, details?}, "meta"}`."""

    keep_alive = KEEP_ALIVE

    def status(self, error: GatewayError) -> int:
        return 422 if isinstance(error, ValidationFailed) else error.status

    def error(self, error: GatewayError, request_id: str) -> JsonObject:
        body = self.error_object(error)
        if error.retry_after is not None:
            body["retry_after"] = error.retry_after
        if error.details:
            body["details"] = [{"field": detail.field, "message": detail.message} for detail in error.details]
        return {"status": "error", "error": body, "meta": {"request_id": request_id}}

    def error_object(self, error: GatewayError) -> JsonObject:
        """The code and message alone, as a stream carries them."""
        code = "VALIDATION_ERROR" if error.status == 400 else _CODES.get(error.code, error.code.upper())
        return {"code": code, "message": error.message}

    def headers(self, request: RequestInfo, meter: Meter) -> Mapping[str, str]:
        headers = {"x-scaigrid-request-id": request.id}
        if meter.model is not None:
            headers["x-scaigrid-model"] = meter.model.id
            headers["x-scaigrid-backend"] = meter.backend or ""
        if meter.rates is not None:
            requests = meter.rates.requests
            headers["x-scaigrid-ratelimit-limit"] = str(requests.limit)
            headers["x-scaigrid-ratelimit-remaining"] = str(requests.remaining)
            headers["x-scaigrid-ratelimit-reset"] = str(requests.reset_at or int(time.time()))
        return headers


dialect = EnvelopeDialect()


def enveloped(data: JsonObject, context: RequestContext) -> JsonObject:
    """A successful response with its data."""
    return {"status": "ok", "data": data, "meta": {"request_id": context.request.id}}
