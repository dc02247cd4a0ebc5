"""What is known of one request on its way through the gateway."""

from dataclasses import dataclass, field

from shared.schemas.caller import Caller
from shared.schemas.model import Model
from shared.schemas.usage import Usage


@dataclass(slots=True)
class RequestContext:
    """Filled in step by step; read by response headers and the log line.

    `deadline` is on the event loop's clock, in seconds. `backend` names the provider and its model,
    `answered_as` the model name in the answer's body (what the caller sent, or the choice for `Auto`).
    """

    request_id: str
    deadline: float
    caller: Caller | None = None
    model: Model | None = None
    answered_as: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def backend(self) -> str | None:
        return None if self.model is None else f"{self.model.provider}/{self.model.upstream}"
