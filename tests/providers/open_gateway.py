"""What the suites that every provider must pass share with their fixtures."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from shared.gateway.services import Services
from shared.schemas.context import RequestContext, RequestInfo
from tests.client import KEYS, TOKEN


class Wire(Protocol):
    @property
    def env(self) -> Mapping[str, str]: ...


OpenGateway = Callable[[Wire, Callable[..., Any]], Services]
"""Makes services whose provider, configured by the wire's `env`, is the function given."""


def context() -> RequestContext:
    return RequestContext(RequestInfo("r-1", math.inf), KEYS[TOKEN])
