"""What the operations of the toy vendor share: authentication by signature, binary framing and errors."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.errors import GatewayError
from shared.framing import Frame
from shared.providers.base import error_body, error_for_status
from shared.schemas.model import Model

from .event_stream import EventStreamDecoder

if TYPE_CHECKING:
    import httpx

# The HTTP status that an exception inside a stream would have had; any other is a failure of the vendor.
_STATUSES = {"throttlingException": 429, "validationException": 400}


class Toy:
    """See shared.providers.base.Vendor."""

    name = "toy"

    def auth(self, api_key: str | None) -> "httpx.Auth | None":
        """Signs with the credentials in TOY_ACCESS_KEY_ID and TOY_SECRET_ACCESS_KEY; there is no API key."""
        from .signature import Signature

        return Signature(os.environ["TOY_ACCESS_KEY_ID"], os.environ["TOY_SECRET_ACCESS_KEY"])

    def frames(self) -> EventStreamDecoder:
        """Streams are messages of `application/vnd.amazon.eventstream`."""
        return EventStreamDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """`body` is `{"message": text}`."""
        return error_for_status(status, headers, error_body(body)["message"])


def model_path(model: Model, action: str) -> str:
    """The path of an action on the upstream model."""
    return f"/model/{quote(model.upstream, safe='')}/{action}"


def raise_exception(frame: Frame) -> None:
    """Raises the exception in a frame, if it is one."""
    if frame.event.endswith("Exception"):
        raise error_for_status(_STATUSES.get(frame.event, 500), {}, error_body(frame.data)["message"])


vendor = Toy()
