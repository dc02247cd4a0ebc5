"""The X-Ray trace header of the invocation being served, as a context variable: a process may serve several at once.

https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

import os
from contextvars import ContextVar

VARIABLE = "_X_AMZN_TRACE_ID"
"""The environment variable that holds the header where a process serves one invocation at a time."""

_header: ContextVar[str | None] = ContextVar("trace_header", default=None)


def set_trace_header(header: str | None) -> None:
    """Sets the header for the current task and for what it starts."""
    _header.set(header)


def trace_header() -> str | None:
    """The header, such as `Root=1-…;Parent=…;Sampled=1`; None outside of an invocation."""
    return _header.get() or os.environ.get(VARIABLE)


def trace_id() -> str | None:
    """The header's trace id, which is the same for all that a request caused."""
    fields = (field.strip().partition("=") for field in (trace_header() or "").split(";"))
    return next((value for name, _, value in fields if name == "Root"), None)
