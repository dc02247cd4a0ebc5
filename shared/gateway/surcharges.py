"""What a chat request may cost beyond the price of its own tokens."""

from typing import TYPE_CHECKING, TypeGuard

from shared.errors import FieldError, UnsupportedFeature
from shared.schemas.caller import Caller
from shared.schemas.chat import ChatRequest, HostedTool, WebSearch
from shared.schemas.model import Model
from shared.schemas.original import Original
from shared.schemas.quirk import Quirk

if TYPE_CHECKING:
    from shared.gateway.services import Services


# The fields of the Responses API by which a response costs what its tokens do. Others are passed on to OpenAI as well.
_PRICED = frozenset(
    {
        *("background", "client_metadata", "frequency_penalty", "image", "include", "input", "instructions"),
        *("max_output_tokens", "max_tool_calls", "metadata", "model", "parallel_tool_calls", "presence_penalty"),
        *("previous_response_id", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning"),
        *("safety_identifier", "service_tier", "store", "stream", "stream_options", "temperature", "text"),
        *("tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
    }
)


def has_surcharge(services: "Services", caller: Caller, request: ChatRequest, model: Model) -> bool:
    """Whether the request, which has been fitted to the model, may cost more than its tokens do.

    Raises UnsupportedFeature for a surcharge without a bound where the key has a budget, which could not hold.
    """
    field = _with_surcharge(request, model)
    if field is None:
        return False
    if _must_be_priced(services, caller):
        message = "what it costs has no known bound, so keys with a budget may not use it"
        raise UnsupportedFeature(f"{field}: {message}.", details=[FieldError(field, message)])
    return True


def without_offered_search(services: "Services", caller: Caller, request: ChatRequest) -> ChatRequest:
    """The request without a web search that it offers beside other tools, if the key may not use it.

    Agents offer it always. A request with no other tool is made to search, and is refused.
    """
    searches = [tool for tool in (request.web_search, *request.hosted_tools) if _is_search(tool)]
    others = tuple(tool for tool in request.hosted_tools if not tool.is_search)
    if not searches or not all(search.optional for search in searches) or not (request.tools or others):
        return request
    if not _must_be_priced(services, caller):
        return request
    return request.model_copy(update={"web_search": None, "hosted_tools": others, "withholds_search": True})


def _is_search(tool: WebSearch | HostedTool | None) -> TypeGuard[WebSearch | HostedTool]:
    return isinstance(tool, WebSearch) or (tool is not None and tool.is_search)


def _must_be_priced(services: "Services", caller: Caller) -> bool:
    budgeted = caller.limits.budgeted or caller.tenant_limits.budgeted
    return budgeted and not services.settings.allow_unpriced


def _with_surcharge(request: ChatRequest, model: Model) -> str | None:
    """The field by which the request may cost more than its tokens do by the price table."""
    if unpriced := next((tool for tool in request.hosted_tools if not tool.is_priced), None):
        return unpriced.field
    if request.original is not None and (unknown := _unpriced_field(request.original, model)) is not None:
        return unknown
    if request.web_search is not None:  # the model reads what it finds
        return request.web_search.field
    if request.service_tier in ("priority", "scale") and Quirk.NO_TIERS not in model.quirks:
        return "service_tier"
    if Quirk.CACHE_BREAKPOINTS in model.quirks and any(point.ttl == "12h" for point in request.cache_points()):
        return "prompt_cache_breakpoint"
    return None


def _unpriced_field(original: Original, model: Model) -> str | None:
    """The field by which a request that is passed on as it came may cost more than is known."""
    if original.wire == "chat" and Quirk.UNKNOWN_FIELDS in model.quirks:
        return next(iter(original.body))
    if original.wire != "responses":
        return None
    body = original.body
    if unknown := next((name for name, value in body.items() if name not in _PRICED and value is not None), None):
        return unknown
    reasoning, caching = body.get("reasoning"), body.get("prompt_cache_options")
    if isinstance(reasoning, dict) and reasoning.get("mode") not in (None, "standard"):
        return "reasoning.mode"  # several answers are made, of which one is returned
    if isinstance(caching, dict) and caching.get("ttl") == "12h":
        return "prompt_cache_options.ttl"
    return None
