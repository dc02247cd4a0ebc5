"""The models that a request may be answered with, in the order in which they are tried."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.catalog import AUTO
from shared.dataclass import dataclass
from shared.errors import GatewayError, ModelAccessDenied, ModelNotFound, ModelUnavailable, UnsupportedFeature
from shared.gateway.selection import select_for
from shared.schemas.model import Capability, Model

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.schemas.context import RequestContext

MOST_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model, and its name in the response body."""

    model: Model
    answered_as: str


def candidates(
    services: "Services",
    context: "RequestContext",
    requested: str,
    choose: Callable[[str], Model],
    suits: Callable[[Model], bool] = lambda model: True,
) -> list[Candidate]:
    """The model that was `requested`, then the other models that the caller names or, without those, the fallbacks of
    the first one's catalog row; at most MOST_CANDIDATES.

    `choose` returns the model with a name or raises what `named` raises; such names are skipped. `suits` is whether a
    further model has room for the request. Raises an error of `choose` if no candidate is left.
    """
    names = [requested, *context.meter.models]
    found: dict[str, Candidate] = {}
    problems: list[GatewayError] = []
    for at, name in enumerate(names):  # which grows while it is read
        try:
            model = choose(name)
        except (ModelNotFound, ModelAccessDenied, UnsupportedFeature, ModelUnavailable) as problem:
            problems.append(problem)
            if at == 0 and len(names) == 1 and name != AUTO and isinstance(problem, UnsupportedFeature):
                names.extend(services.catalog.find(name).fallbacks)
            continue
        if at == 0 and len(names) == 1:
            names.extend(model.fallbacks)
        if model.id not in found and (at == 0 or suits(model)):
            found[model.id] = Candidate(model, name if at == 0 and name != AUTO else model.id)
    if not found:
        raise _worst(problems)
    return list(found.values())[:MOST_CANDIDATES]


def candidates_for(
    capability: Capability, requested: str, services: "Services", context: "RequestContext"
) -> list[Candidate]:
    """The candidates for a request that needs one capability. Raises what `candidates` raises."""

    def choose(name: str) -> Model:
        return select_for(capability, name, services.catalog, context.caller, services.circuits.is_open)

    return candidates(services, context, requested, choose)


def _worst(problems: list[GatewayError]) -> GatewayError:
    """The error for a request without candidates: a model lacks something or, if none does, is unknown or forbidden."""
    order = (UnsupportedFeature, ModelUnavailable, ModelNotFound, ModelAccessDenied)
    return next(problem for kind in order for problem in problems if isinstance(problem, kind))
