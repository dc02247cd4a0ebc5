"""Selects the model for a request by what the caller may use and what the model can do."""

from collections.abc import Callable, Iterable

from shared.catalog import AUTO, SANDBOX, Catalog
from shared.errors import ModelAccessDenied, ModelUnavailable, UnsupportedFeature
from shared.schemas.caller import Caller
from shared.schemas.model import Capability, Model

# The most calls for a request whose model gives one candidate per call.
MAX_FANNED_OUT = 16


def select_for(
    capability: Capability,
    name: str,
    catalog: Catalog,
    caller: Caller,
    is_open: Callable[[str], bool] = lambda target: False,
) -> Model:
    """The model for a request that needs one capability; for `Auto` the first whose target is not skipped.

    Raises what `named` raises, and ModelUnavailable if `Auto` finds none.
    """
    if name != AUTO:
        return named(name, frozenset({capability}), catalog, caller)
    able = [model for model in allowed(catalog.models(), caller) if capability in model.capabilities]
    if not able:
        raise ModelUnavailable(f"No configured model supports {names([capability])}.")
    real = [model for model in able if model.provider != SANDBOX] or able
    return next((model for model in real if not is_open(model.target)), real[0])


def named(name: str, needs: frozenset[Capability], catalog: Catalog, caller: Caller) -> Model:
    """The model with a public id.

    Raises ModelNotFound, ModelAccessDenied, and UnsupportedFeature if it lacks a needed capability.
    """
    model = catalog.find(name)
    if not may_use(caller, model):
        raise ModelAccessDenied(f"This key may not use the model '{model.id}'.")
    if missing := needs - model.capabilities:
        raise UnsupportedFeature(f"The model '{model.id}' does not support {names(missing)}.")
    return model


def may_use(caller: Caller, model: Model) -> bool:
    return caller.models is None or model.id in caller.models


def allowed(models: Iterable[Model], caller: Caller) -> list[Model]:
    """The models that the caller may use, in the order given."""
    return [model for model in models if may_use(caller, model)]


def names(capabilities: Iterable[Capability]) -> str:
    """The capabilities as text for a caller."""
    return ", ".join(sorted(_WORDS.get(name, name.value) for name in capabilities if name != Capability.CHAT)) or "chat"


_WORDS = {
    Capability.VISION: "image input",
    Capability.AUDIO_INPUT: "audio input",
    Capability.FILE_INPUT: "file input",
    Capability.FUNCTION_CALLING: "tools",
    Capability.JSON_SCHEMA: "JSON schema output",
    Capability.IMAGE_OUTPUT: "image output",
    Capability.WEB_SEARCH: "web search (web_search_options)",
    Capability.IMAGE_GENERATION: "image generation",
    Capability.IMAGE_EDITING: "image editing",
    Capability.EMBEDDINGS: "embeddings",
    Capability.TRANSCRIPTION: "transcription",
    Capability.SPEECH: "speech",
}
