"""Fits a chat request to its model, where a dialect leaves that to the gateway."""

from shared.gateway.custom_tools import has_custom_tools, with_functions
from shared.gateway.text_files import has_text_files, with_texts
from shared.gateway.thinking import with_thinking_room
from shared.schemas.chat import ChatRequest
from shared.schemas.model import Capability, Model
from shared.schemas.original import WireFormat
from shared.schemas.quirk import Quirk


def fitted(request: ChatRequest, model: Model, wire: WireFormat | None) -> ChatRequest:
    """The request as the model can serve it; `wire` is the wire format of the model's API.

    An original of another wire format and optional tools that its provider lacks are left out, `max_tokens` is lowered
    where the dialect wants that, custom tools become functions, files of text become texts, and thinking gets room of
    its own.
    """
    if any(tool.wire != wire for tool in request.hosted_tools):
        own = tuple(tool for tool in request.hosted_tools if tool.wire == wire)
        request = request.model_copy(update={"hosted_tools": own})
    if request.web_search is not None and request.web_search.optional and not _can_search(request, model):
        request = request.model_copy(update={"web_search": None})
    if (most := lowered_max_tokens(request, model)) is not None:
        request = request.model_copy(update={"max_tokens": most})
    if wire != "responses" and has_custom_tools(request):
        request = with_functions(request)
    if wire != "responses" and has_text_files(request):
        request = with_texts(request)
    if request.original is not None and request.original.wire != wire:
        request = request.model_copy(update={"original": None})
    return with_thinking_room(request, model)


def _can_search(request: ChatRequest, model: Model) -> bool:
    """Whether the model can search the web for this request."""
    if Capability.WEB_SEARCH not in model.capabilities:
        return False
    return Quirk.SEARCH_WITHOUT_TOOLS not in model.quirks or not request.tools


def lowered_max_tokens(request: ChatRequest, model: Model) -> int | None:
    """The model's maximum, if the request's `max_tokens` is above it and is to be lowered."""
    most = model.max_output_tokens
    if request.lower_max_tokens and most is not None and request.max_tokens is not None and request.max_tokens > most:
        return most
    return None
