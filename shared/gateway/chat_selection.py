"""Selects the model for a chat request by the capabilities that it needs, including the choice for `Auto`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.catalog import AUTO, SANDBOX, Catalog
from shared.errors import FieldError, ModelUnavailable, UnsupportedFeature
from shared.gateway.candidates import Candidate, candidates
from shared.gateway.estimates import input_tokens
from shared.gateway.selection import MAX_FANNED_OUT, allowed, named, names
from shared.providers import load
from shared.providers.base import ChatAdapter
from shared.schemas.caller import Caller
from shared.schemas.chat import ChatRequest, HostedTool, JsonSchemaFormat, NamedTool
from shared.schemas.content import (
    Audio,
    File,
    Image,
    Part,
    ToolResult,
)
from shared.schemas.model import Capability, Model

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.schemas.context import RequestContext


def chat_candidates(services: "Services", context: "RequestContext", request: ChatRequest) -> list[Candidate]:
    """The models that may answer a chat request. Raises what `candidates` raises."""

    def choose(name: str) -> Model:
        asked = request if name == request.model else request.model_copy(update={"model": name})
        return select(asked, services.catalog, context.caller, services.circuits.is_open)

    return candidates(services, context, request.model, choose, lambda model: _has_room(model, request))


def _has_room(model: Model, request: ChatRequest) -> bool:
    """Whether the model's context and longest answer are as large as the request needs them, as far as is known."""
    most = model.max_output_tokens
    has_output = request.lower_max_tokens or most is None or (request.max_tokens or 0) <= most
    return has_output and (model.context_length is None or input_tokens(request) <= model.context_length)


def select(
    request: ChatRequest,
    catalog: Catalog,
    caller: Caller,
    is_open: Callable[[str], bool] = lambda target: False,
) -> Model:
    """The model that answers a chat request; `is_open` is whether a target is skipped because it fails.

    Raises ModelNotFound, ModelAccessDenied, UnsupportedFeature if the named model lacks a feature or every model a
    hosted tool, and ModelUnavailable if `Auto` finds none.
    """
    needs = _needs(request)
    if request.model == AUTO:
        models = [model for model in allowed(catalog.models(), caller) if Capability.CHAT in model.capabilities]
        lacking = {model.id: _lacking_tools(request, model, catalog) for model in models}
        if models and all(lacking.values()):
            raise _unsupported(lacking[models[0].id][0], "any configured model")
        return _automatic(request, needs, [model for model in models if not lacking[model.id]], is_open)
    model = named(request.model, needs, catalog, caller)
    if tools := _lacking_tools(request, model, catalog):
        raise _unsupported(tools[0], f"the model '{model.id}'")
    return model


def _unsupported(tool: HostedTool, whom: str) -> UnsupportedFeature:
    message = f"'{tool.name}' is not supported by {whom}"
    return UnsupportedFeature(f"{tool.field}: {message}.", details=[FieldError(tool.field, message)])


def _lacking_tools(request: ChatRequest, model: Model, catalog: Catalog) -> list[HostedTool]:
    """The hosted tools of the request that the model's provider does not have, and that cannot be left out."""
    if not request.hosted_tools:
        return []
    adapter: ChatAdapter = load(catalog.provider(model.provider).adapter, "chat")
    wire = adapter.wire(model)
    return [tool for tool in request.hosted_tools if tool.wire != wire and not tool.optional]


def _automatic(
    request: ChatRequest, needs: frozenset[Capability], chat_models: list[Model], is_open: Callable[[str], bool]
) -> Model:
    """The first model with the needed capabilities, of those that work if any does.

    The sandbox is used only if no real provider is configured.
    """
    if not chat_models:
        raise ModelUnavailable("No chat model is configured: set a provider's key, for example OPENAI_API_KEY.")
    real = [model for model in chat_models if model.provider != SANDBOX]
    able = [model for model in real or chat_models if needs <= model.capabilities and not _refuses(model, request)]
    if not able:
        raise ModelUnavailable(f"No configured model supports {names(needs)} with the options of this request.")
    tokens = _estimated_tokens(request)
    roomy = [model for model in able if model.context_length is None or tokens <= model.context_length]
    if roomy:
        return next((model for model in roomy if not is_open(model.target)), roomy[0])
    raise ModelUnavailable(f"This request needs a context of about {tokens} tokens, which no configured model has.")


def _needs(request: ChatRequest) -> frozenset[Capability]:
    """The capabilities that the request requires; tuning options such as reasoning effort require none."""
    needs = {Capability.CHAT}
    if request.tools:
        needs.add(Capability.FUNCTION_CALLING)
    if isinstance(request.response_format, JsonSchemaFormat):
        needs.add(Capability.JSON_SCHEMA)
    if request.image_output:
        needs.add(Capability.IMAGE_OUTPUT)
    if request.web_search is not None and not request.web_search.optional:
        needs.add(Capability.WEB_SEARCH)
    for message in request.messages:
        for part in message.parts:
            needs |= _needed_by(part)
    return frozenset(needs)


def _refuses(model: Model, request: ChatRequest) -> bool:
    """Whether a model with the needed capabilities would still refuse an option of the request."""
    forced = request.tool_choice == "required" or isinstance(request.tool_choice, NamedTool)
    return (
        (forced and "no_forced_tool_choice" in model.quirks and "thinking_switch" not in model.quirks)
        or (request.logprobs and not model.quirks.isdisjoint(("no_logprobs", "default_temperature_only")))
        or (request.n > MAX_FANNED_OUT and "single_candidate" in model.quirks)
    )


def _needed_by(part: Part) -> set[Capability]:
    match part:
        case Image():
            return {Capability.VISION}
        case Audio():
            return {Capability.AUDIO_INPUT}
        case File() if not part.is_text:
            return {Capability.FILE_INPUT}
        case ToolResult():
            return {need for piece in part.content for need in _needed_by(piece)}
        case _:
            return set()


def _estimated_tokens(request: ChatRequest) -> int:
    """The context that the request needs, including its response."""
    return input_tokens(request) + (request.max_tokens or 0)
