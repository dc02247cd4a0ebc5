"""The headers by which a request asks for the stored answer to an earlier one."""

from collections.abc import Mapping

IDEMPOTENCY_KEY, CACHE = "idempotency-key", "x-gateway-cache"


def asks_for_replay(headers: Mapping[str, str]) -> bool:
    """Whether a request may be answered by the answer to an earlier one."""
    return IDEMPOTENCY_KEY in headers or CACHE in headers
