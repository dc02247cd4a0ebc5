"""The context of a request in the gateway: its identity, its caller, and its usage."""

import time
from dataclasses import field
from typing import TYPE_CHECKING

from shared.dataclass import dataclass
from shared.schemas.caller import Caller
from shared.schemas.model import Model
from shared.schemas.usage import Usage, no_usage

if TYPE_CHECKING:
    import asyncio

    from shared.schemas.limits import Rates

CANCELLED = "cancelled"
"""The outcome of an attempt that was cancelled because another one was the first to say something."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The immutable facts of a request.

    `deadline` is on the event loop's clock, `began` on `time.perf_counter`, both in seconds. `function_request_id` is
    Lambda's id of the request and `api_request_id` API Gateway's, where it came through them. `is_batch` marks a
    line of a batch, which interactive requests go before.
    """

    id: str
    deadline: float
    began: float = field(default_factory=time.perf_counter)
    function_request_id: str | None = None
    api_request_id: str | None = None
    is_batch: bool = False


@dataclass(slots=True)
class Meter:
    """A request's model and its usage so far; read by response headers and the log line.

    `is_heavy` means that steps which process the whole request may take long, and belong in a thread.

    `models` are further models that the caller names, in the order in which they are tried; after `hedge_after_ms` of
    silence the next of them is asked beside the first, None leaves that to the model's row. `attempts` are the
    attempts that have ended, each as `provider/upstream;outcome`. `answered_as` is the model's name in the response
    body: what the caller sent, or the choice for `Auto`, or the id of a further model. `cost` is the request's cost
    so far in micro-dollars. `is_estimate` means that the provider has not reported all of the usage.
    `lowered_max_tokens` is the model's maximum, where the request asked for more and was served with that.
    `left_out_search` is whether a web search that the request offers was not given to the model.
    `first_token` is the time from the start of the request to a stream's first event, in seconds. `rates` is what
    remains of the caller's limits; `unsettled` means that the usage could not be stored. `settling` is where what is
    still being stored goes, for whoever sends the response to wait for it after that; None: the response waits.
    `is_answered` means that the provider has answered for the model. `error` is the code of the error response.
    """

    is_heavy: bool = False
    models: tuple[str, ...] = ()
    hedge_after_ms: int | None = None
    attempts: list[str] = field(default_factory=list)
    model: Model | None = None
    answered_as: str = ""
    usage: Usage = field(default_factory=no_usage)
    cost: int | None = None
    is_estimate: bool = False
    rates: "Rates | None" = None
    lowered_max_tokens: int | None = None
    left_out_search: bool = False
    first_token: float | None = None
    unsettled: bool = False
    settling: "list[asyncio.Future[bool]] | None" = None
    is_answered: bool = False
    error: str | None = None

    @property
    def backend(self) -> str | None:
        """The provider and the upstream model, as `provider/upstream`."""
        return None if self.model is None else self.model.target

    @property
    def counted_as(self) -> str | None:
        """The model's id in usage, logs and traces."""
        return None if self.model is None else self.model.counted_as(is_answered=self.is_answered)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """An authenticated request."""

    request: RequestInfo
    caller: Caller
    meter: Meter = field(default_factory=Meter)
