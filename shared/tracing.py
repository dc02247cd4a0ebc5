"""The X-Ray SDK for a process that serves several invocations at once."""

from contextvars import ContextVar
from functools import cache
from typing import Any

from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.core.lambda_launcher import LambdaContext
from aws_xray_sdk.core.models.trace_header import TraceHeader

from shared.trace_header import trace_header

_kept: ContextVar[dict[str, Any] | None] = ContextVar("tracing", default=None)


@cache
def recorder() -> Any:
    """The SDK's recorder, for subsegments of the trace of the invocation being served."""
    if isinstance(xray_recorder.context, LambdaContext):
        xray_recorder.context = _InvocationContext()
    return xray_recorder


class _InvocationContext(LambdaContext):  # type: ignore[misc]
    """Keeps each invocation's open subsegments apart; the SDK's own context keeps those of each thread."""

    def __init__(self) -> None:
        self._local = _Invocation()

    def _refresh_context(self) -> None:
        if getattr(self._local, "segment", None) is None:
            self._initialize_context(TraceHeader.from_header_str(trace_header()))


class _Invocation:
    """Attributes of which each invocation has its own."""

    def __getattr__(self, name: str) -> Any:
        try:
            return (_kept.get() or {})[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        _kept.set({**(_kept.get() or {}), name: value})
