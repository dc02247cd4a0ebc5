"""What OpenAI's and compatible models accept of a request: reasoning effort, sampling, and the features they lack."""

from shared.errors import UnsupportedFeature
from shared.schemas.chat import ChatRequest
from shared.schemas.model import Capability, Model

# A quirk, the effort that a model with it refuses, and the nearest effort that it accepts.
_REFUSED_EFFORTS: tuple[tuple[str, str, str], ...] = (
    ("always_thinks", "none", "low"),
    ("no_minimal_effort", "minimal", "low"),
    ("no_max_effort", "max", "xhigh"),
)
# https://developers.openai.com/api/docs/guides/deployment-checklist: the Responses API takes it.
_REFUSED_BY_CHAT_ONLY = "no_max_effort"


def reasoning_effort(request: ChatRequest, model: Model, *, over_responses: bool = False) -> str | None:
    """The reasoning effort to ask for; None leaves it to the model."""
    quirks = model.quirks
    if Capability.REASONING not in model.capabilities:
        return None
    if "responses" in quirks and request.tools and not over_responses:
        return "none"  # Chat Completions refuses tools with any other
    if "no_forced_tool_choice" in quirks and _forces_a_tool(request):  # a model that can do so while it does not think
        return "none"
    effort: str | None = request.reasoning_effort
    if effort is None and "reasoning_opt_in" in quirks:
        effort = "none"
    for quirk, refused, nearest in _REFUSED_EFFORTS:
        if quirk in quirks and effort == refused and not (over_responses and quirk == _REFUSED_BY_CHAT_ONLY):
            effort = nearest
    return effort


def takes_sampling(model: Model, effort: str | None) -> bool:
    """Whether the model takes `temperature`, `top_p` and `logprobs` at this reasoning effort."""
    return "default_temperature_only" not in model.quirks or ("responses" in model.quirks and effort == "none")


def check_features(request: ChatRequest, model: Model, effort: str | None) -> None:
    """Raises UnsupportedFeature for a feature that the request needs and the model lacks."""
    if lacking := _lacking_feature(request, model, effort):
        raise UnsupportedFeature(f"The model '{model.id}' does not support {lacking}.")


def _lacking_feature(request: ChatRequest, model: Model, effort: str | None) -> str | None:
    if request.logprobs and ("no_logprobs" in model.quirks or not takes_sampling(model, effort)):
        return "logprobs"
    if request.image_output and Capability.IMAGE_OUTPUT not in model.capabilities:
        return "image output"
    if "no_forced_tool_choice" in model.quirks and "thinking_switch" not in model.quirks and _forces_a_tool(request):
        return "a tool_choice that forces a tool"
    return None


def _forces_a_tool(request: ChatRequest) -> bool:
    return bool(request.tools) and request.tool_choice not in (None, "auto", "none")
