"""What is known of one request on its way through the gateway: what it is, who makes it, and what it has used."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.schemas.caller import Caller
from shared.schemas.model import Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.schemas.limits import Rates
    from shared.schemas.price import Price


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a request is from its first byte to its last.

    `deadline` is on the event loop's clock, `began` on `time.perf_counter`, both in seconds. `function_request_id` is
    Lambda's, where it runs there. `is_batch` marks a line of a batch, which interactive requests go before.
    """

    id: str
    deadline: float
    began: float = field(default_factory=time.perf_counter)
    function_request_id: str | None = None
    is_batch: bool = False


@dataclass(slots=True)
class Meter:
    """What a request has used so far, and of which model; read by response headers and the log line.

    `is_heavy` says that steps which go through the whole request may take long, and belong in a thread.

    `answered_as` is the model's name in the response's body: what the caller sent, or the choice for `Auto`. `price` is
    what the model's provider charges, None where no price is configured, `cost` what the request has cost so far, in
    micro-dollars; `is_estimate` says that the provider has not reported all of `usage` and `cost`. `first_token` is how
    many seconds after the request began a stream's first event came. `rates` say how much is left to the caller,
    `unsettled` that what was used could not be written down. `is_answered` says that the provider has answered for the
    model. `error` is the code of the error that was answered.
    """

    is_heavy: bool = False
    model: Model | None = None
    answered_as: str = ""
    price: "Price | None" = None
    usage: Usage = field(default_factory=Usage)
    cost: int | None = None
    is_estimate: bool = False
    rates: "Rates | None" = None
    first_token: float | None = None
    unsettled: bool = False
    is_answered: bool = False
    error: str | None = None

    @property
    def backend(self) -> str | None:
        """The provider that is called, and its model."""
        return None if self.model is None else f"{self.model.provider}/{self.model.upstream}"

    @property
    def counted_as(self) -> str | None:
        """The model's id in usage, logs and traces: for a name that its caller may have made up, its wildcard's id."""
        if self.model is None:
            return None
        return self.model.id if self.is_answered else self.model.wildcard or self.model.id


@dataclass(frozen=True, slots=True)
class RequestContext:
    """An authenticated request."""

    request: RequestInfo
    caller: Caller
    meter: Meter = field(default_factory=Meter)
