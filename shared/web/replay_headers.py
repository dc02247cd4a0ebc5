"""Which requests may be answered by the stored answer to an earlier one: by a header, their key, or their model."""

from collections.abc import Mapping

from shared.routes import Route
from shared.schemas.caller import Caller

IDEMPOTENCY_KEY, CACHE = "idempotency-key", "x-gateway-cache"


def may_be_replayed(route: Route, headers: Mapping[str, str], caller: Caller, *, has_cached_models: bool) -> bool:
    """Whether a request may be answered by the answer to an earlier one.

    `has_cached_models` is whether that is so for some models by default; the body says whether for this one.
    """
    if route.method != "POST":
        return False
    if IDEMPOTENCY_KEY in headers or CACHE in headers:
        return True
    has_default = caller.cache_seconds or (caller.cache_seconds is None and has_cached_models)
    return bool(has_default) and route.is_answered_by_model
