"""The models that a request may be answered with, in the order in which they are tried."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.catalog import AUTO, Catalog
from shared.errors import GatewayError, ModelAccessDenied, ModelNotFound, ModelUnavailable, UnsupportedFeature
from shared.gateway.selection import may_use, select_for
from shared.schemas.caller import Caller
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
    catalog, caller = services.catalog, context.caller
    others = context.meter.models
    names = (requested, *(others or _fallbacks(requested, choose, catalog, caller)))
    found: dict[str, Candidate] = {}
    problems: list[GatewayError] = []
    for name in names:
        try:
            model = choose(name)
        except (ModelNotFound, ModelAccessDenied, UnsupportedFeature, ModelUnavailable) as problem:
            problems.append(problem)
            continue
        is_first = name == requested
        if model.id not in found and (is_first or suits(model)):
            found[model.id] = Candidate(model, name if is_first and name != AUTO else model.id)
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


def _fallbacks(name: str, choose: Callable[[str], Model], catalog: Catalog, caller: Caller) -> tuple[str, ...]:
    """The fallbacks in the row of a model, which may itself lack what the request needs."""
    try:
        model = choose(name) if name == AUTO else catalog.find(name)
    except (ModelNotFound, ModelUnavailable):
        return ()
    return model.fallbacks if may_use(caller, model) else ()


def _worst(problems: list[GatewayError]) -> GatewayError:
    """The error for a request without candidates: a model lacks something or, if none does, is unknown or forbidden."""
    order = (UnsupportedFeature, ModelUnavailable, ModelNotFound, ModelAccessDenied)
    return next(problem for kind in order for problem in problems if isinstance(problem, kind))
