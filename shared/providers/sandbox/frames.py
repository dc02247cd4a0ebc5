"""The sandbox's streams: JSON objects in server-sent events, each with a `type`; one of type `error` ends a stream."""

import json
from collections.abc import Mapping
from typing import Any

from shared.framing import sse_frame
from shared.providers.base import error_for_status


def write(kind: str, fields: Mapping[str, Any]) -> bytes:
    """One event on the wire."""
    return sse_frame(json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":")).encode())


def write_error(status: int, message: str) -> bytes:
    """The event of a failure after the stream has begun."""
    return write("error", {"status": status, "message": message})


def read(data: bytes) -> tuple[str, dict[str, Any]]:
    """The type and the other fields of one event.

    Raises the GatewayError that an error event stands for, and ValueError, TypeError or KeyError for anything that is
    not the wire format.
    """
    fields: dict[str, Any] = json.loads(data)
    kind: str = fields.pop("type")
    if kind == "error":
        raise error_for_status(fields["status"], {}, fields["message"])
    return kind, fields
