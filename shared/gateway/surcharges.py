"""What a chat request may cost beyond the price of its own tokens."""

from typing import TYPE_CHECKING

from shared.errors import FieldError, UnsupportedFeature
from shared.schemas.chat import ChatRequest
from shared.schemas.model import Model
from shared.schemas.quirk import Quirk

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.schemas.context import RequestContext


def check_surcharge(services: "Services", context: "RequestContext", request: ChatRequest, model: Model) -> None:
    """Raises UnsupportedFeature for a surcharge without a bound where the key has a budget, which could not hold.

    The request is one that has been fitted to the model.
    """
    field = _with_surcharge(request, model)
    if field is None:
        return
    context.meter.is_estimate = True
    caller = context.caller
    budgeted = caller.limits.budgeted or caller.tenant_limits.budgeted
    if budgeted and not services.settings.allow_unpriced:
        message = "what it costs has no known bound, so keys with a budget may not use it"
        raise UnsupportedFeature(f"{field}: {message}.", details=[FieldError(field, message)])


def _with_surcharge(request: ChatRequest, model: Model) -> str | None:
    """The field by which the request may cost more than its tokens do by the price table."""
    if unpriced := next((tool for tool in request.hosted_tools if not tool.is_priced), None):
        return unpriced.field
    if request.web_search is not None:  # the model reads what it finds
        return "web_search_options" if request.original is None or request.original.wire == "chat" else "tools"
    if request.service_tier in ("priority", "scale") and Quirk.NO_TIERS not in model.quirks:
        return "service_tier"
    if Quirk.CACHE_BREAKPOINTS in model.quirks and any(point.ttl == "12h" for point in request.cache_points()):
        return "prompt_cache_breakpoint"
    return None
