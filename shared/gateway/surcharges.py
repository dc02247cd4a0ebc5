"""What a chat request may cost beyond the price of its own tokens."""

from typing import TYPE_CHECKING

from shared.errors import FieldError, UnsupportedFeature
from shared.schemas.caller import Caller
from shared.schemas.chat import ChatRequest
from shared.schemas.model import Model
from shared.schemas.quirk import Quirk

if TYPE_CHECKING:
    from shared.gateway.services import Services


def has_surcharge(services: "Services", caller: Caller, request: ChatRequest, model: Model) -> bool:
    """Whether the request may cost more than its tokens do.

    Raises UnsupportedFeature for a surcharge without a bound where the key has a budget, which could not hold.
    """
    field = _with_surcharge(request, model)
    if field is None:
        return False
    budgeted = caller.limits.budgeted or caller.tenant_limits.budgeted
    if budgeted and not services.settings.allow_unpriced:
        message = "what it costs has no known bound, so keys with a budget may not use it"
        raise UnsupportedFeature(f"{field}: {message}.", details=[FieldError(field, message)])
    return True


def _with_surcharge(request: ChatRequest, model: Model) -> str | None:
    """The field by which the request may cost more than its tokens do by the price table."""
    if request.web_search is not None:
        return "web_search_options"  # the model reads what it finds
    if request.service_tier in ("priority", "scale") and Quirk.NO_TIERS not in model.quirks:
        return "service_tier"
    if Quirk.CACHE_BREAKPOINTS in model.quirks and any(point.ttl == "12h" for point in request.cache_points()):
        return "prompt_cache_breakpoint"
    return None
