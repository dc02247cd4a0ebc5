"""What every response has: errors in the dialect of their path, and the common headers."""

from collections.abc import MutableMapping
from typing import Any

from shared.dialects import dialect_named
from shared.dialects.base import Dialect
from shared.errors import GatewayError, MethodNotAllowed
from shared.schemas.context import Meter, RequestInfo
from shared.web.dialects import dialect_of_request
from shared.web.http import Response
from shared.web.json_response import json_response


def error_response(scope: MutableMapping[str, Any], error: GatewayError) -> Response:
    """An error in the dialect of its path."""
    dialect = dialect_at(scope)
    request: RequestInfo = scope["state"]["request"]
    scope["state"]["meter"].error = error.code
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if not error.sdk_may_retry:
        headers["x-should-retry"] = "false"  # OpenAI's and Anthropic's SDKs obey it
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allow
    return json_response(dialect.error(error, request.id), dialect.status(error), headers)


def dialect_at(scope: MutableMapping[str, Any]) -> Dialect:
    """The dialect in which a request is answered."""
    return dialect_named(dialect_of_request(scope))


def headers_of_answer(meter: Meter) -> dict[str, str]:
    """The headers that say who has answered and for how much."""
    headers: dict[str, str] = {}
    if meter.model is not None:
        headers["x-gateway-model"] = meter.model.id
        headers["x-gateway-backend"] = meter.backend or ""
    if meter.lowered_max_tokens is not None:
        headers["x-gateway-max-tokens"] = str(meter.lowered_max_tokens)
    if meter.left_out_search:
        headers["x-gateway-left-out"] = "web_search"
    if len(meter.attempts) > 1:
        headers["x-gateway-attempts"] = ", ".join(meter.attempts)
    if meter.cost is not None:
        # In dollars. Unknown for a stream, whose headers are sent first.
        headers["x-gateway-cost"] = f"{meter.cost / 1_000_000:.6f}"
    return headers
