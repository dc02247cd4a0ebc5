"""The models that a caller can see."""

from typing import TYPE_CHECKING

from shared.errors import ModelNotFound
from shared.gateway.selection import allowed, may_use
from shared.schemas.caller import Caller
from shared.schemas.model import Model

if TYPE_CHECKING:
    from shared.gateway.services import Services


def models(services: "Services", caller: Caller) -> list[Model]:
    """The configured models that the caller may use, in order of preference."""
    return allowed(services.catalog.models(), caller)


def model(services: "Services", model_id: str, caller: Caller) -> Model:
    """The model with a public id. Raises ModelNotFound, also for a model that the caller may not use."""
    found = services.catalog.find(model_id)
    if not may_use(caller, found):
        raise ModelNotFound(f"The model '{model_id[:200]}' does not exist.")
    return found
