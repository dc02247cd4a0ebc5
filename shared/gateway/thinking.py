"""Room for thinking, on top of an answer whose length the caller has left open."""

from shared.schemas.chat import ChatRequest, NamedTool
from shared.schemas.model import Capability, Model
from shared.schemas.quirk import Quirk

_THINKS_WHEN_ASKED = frozenset({Quirk.REASONING_OPT_IN, Quirk.BUDGET_THINKING, Quirk.THINKS_WHEN_ASKED})


def with_thinking_room(request: ChatRequest, model: Model) -> ChatRequest:
    """The request with as much of its `thinking_tokens` as the model will use, within the model's longest answer."""
    room = request.thinking_tokens if _will_think(request, model) else 0
    if model.max_output_tokens is not None and request.max_tokens is not None:
        room = min(room, max(0, model.max_output_tokens - request.max_tokens))
    return request if room == request.thinking_tokens else request.model_copy(update={"thinking_tokens": room})


def _will_think(request: ChatRequest, model: Model) -> bool:
    """Whether the model thinks about this request, as far as its catalog row tells."""
    if Capability.REASONING not in model.capabilities or _is_kept_from_thinking(request, model):
        return False
    if request.reasoning_effort == "none":
        return Quirk.ALWAYS_THINKS in model.quirks
    if request.reasoning_effort is None:
        # The row of a wildcard tells neither whether the model thinks nor how long an answer may be.
        return model.context_length is not None and model.quirks.isdisjoint(_THINKS_WHEN_ASKED)
    return True


def _is_kept_from_thinking(request: ChatRequest, model: Model) -> bool:
    """Whether the model cannot think because of the request's tools."""
    forced = request.tool_choice == "required" or isinstance(request.tool_choice, NamedTool)
    return forced and not model.quirks.isdisjoint((Quirk.BUDGET_THINKING, Quirk.NO_FORCED_TOOL_CHOICE))
