"""What is known of one request on its way through the gateway."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.schemas.caller import Caller
from shared.schemas.model import Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.schemas.limits import Rates
    from shared.schemas.price import Price


@dataclass(slots=True)
class RequestContext:
    """Filled in step by step; read by response headers and the log line.

    `deadline` is on the event loop's clock, `began` on `time.perf_counter`, both in seconds; `first_token` is how many
    seconds after `began` a stream's first event came. `function_request_id` is Lambda's id of the request and
    `api_request_id` API Gateway's, where it came through them. `answered_as` is the model's name in the answer's body:
    what the caller sent, or the choice for `Auto`. `price` is what the model's vendor charges, where it is known, and
    `cost` what the request has cost so far, in micro-dollars. `rates` say how much is left to the caller, `unsettled`
    that what was used could not be written down. `is_batch` marks a line of a batch, which interactive requests go
    before.
    """

    request_id: str
    deadline: float
    began: float = field(default_factory=time.perf_counter)
    function_request_id: str | None = None
    api_request_id: str | None = None
    caller: Caller | None = None
    model: Model | None = None
    answered_as: str = ""
    first_token: float | None = None
    usage: Usage = field(default_factory=Usage)
    price: "Price | None" = None
    cost: int | None = None
    rates: "Rates | None" = None
    unsettled: bool = False
    is_batch: bool = False

    @property
    def backend(self) -> str | None:
        """The provider that is called, and its model."""
        return None if self.model is None else f"{self.model.provider}/{self.model.upstream}"
