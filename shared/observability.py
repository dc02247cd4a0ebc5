"""Logs, metrics and optional traces of requests; never with a token, key or prompt."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from shared.errors import GatewayError
from shared.schemas.caller import Caller
from shared.schemas.context import Meter, RequestInfo
from shared.schemas.model import Model

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

# Powertools is imported after the first response has been sent, so that logging does not delay it.

_SERVICE = "gateway"


@cache
def logger() -> "Logger":
    """Powertools' logger: JSON, with the X-Ray trace's id where there is one; POWERTOOLS_LOG_LEVEL sets its level.

    On a terminal its lines are for people.
    """
    from aws_lambda_powertools.logging import Logger

    if sys.stdout.isatty():
        from shared.terminal_log import TerminalFormatter

        return Logger(service=_SERVICE, logger_formatter=TerminalFormatter())
    return Logger(service=_SERVICE)


def log_request(
    request: RequestInfo, meter: Meter, caller: Caller | None, *, method: str, path: str, status: int
) -> None:
    """Logs a finished request, and emits its metrics if POWERTOOLS_METRICS_NAMESPACE is set."""
    seconds = time.perf_counter() - request.began
    usage = meter.usage
    told = {
        "request_id": request.id,
        "api_request_id": request.api_request_id,
        "function_request_id": request.function_request_id,
        "method": method,
        "path": path,
        "status": status,
        "duration_ms": round(seconds * 1000),
        "first_token_ms": None if meter.first_token is None else round(meter.first_token * 1000),
        "key_id": caller and caller.key_id,
        "model": meter.counted_as,
        "backend": meter.backend,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micro_dollars": meter.cost,
        "is_estimate": meter.is_estimate or None,
        "unsettled": meter.unsettled or None,
        "error": meter.error,
    }
    logger().info("request", extra={name: value for name, value in told.items() if value is not None})
    if os.environ.get("POWERTOOLS_METRICS_NAMESPACE"):
        _emit_metrics(meter, status, seconds)


def log_failed_call(
    request: RequestInfo,
    model: Model,
    error: GatewayError,
    *,
    status: int | None,
    provider_request_id: str | None,
    attempt: int,
    seconds: float,
) -> None:
    """Logs a failed call to a provider. `status` is the provider's, None if it did not respond.

    The error's message is sanitised: it has no key, host or prompt. Its advice is for the operator alone.
    """
    told = {
        "request_id": request.id,
        "provider": model.provider,
        "upstream_model": model.upstream,
        "status": status,
        "error": error.code,
        "provider_message": error.message,
        "advice": error.advice,
        "provider_request_id": provider_request_id,
        "attempt": attempt,
        "duration_ms": round(seconds * 1000),
    }
    logger().warning("provider call failed", extra={name: value for name, value in told.items() if value is not None})


def log_crash(request: RequestInfo) -> None:
    """Logs the exception being handled, with its traceback, as an internal error."""
    ids = {"request_id": request.id, "function_request_id": request.function_request_id}
    logger().exception("crash", extra=ids)


def _emit_metrics(meter: Meter, status: int, seconds: float) -> None:
    """CloudWatch's embedded metric format. Each dimension value costs money, so the provider is the only dimension."""
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(service=_SERVICE)
    metrics.add_dimension("provider", meter.model.provider if meter.model else "none")
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    metrics.add_metric("ServerErrors", MetricUnit.Count, int(status >= 500))
    metrics.add_metric("ClientErrors", MetricUnit.Count, int(400 <= status < 500))
    metrics.add_metric("Latency", MetricUnit.Milliseconds, seconds * 1000)
    if meter.first_token is not None:
        metrics.add_metric("TimeToFirstToken", MetricUnit.Milliseconds, meter.first_token * 1000)
    metrics.add_metric("InputTokens", MetricUnit.Count, meter.usage.input_tokens)
    metrics.add_metric("OutputTokens", MetricUnit.Count, meter.usage.output_tokens)
    metrics.flush_metrics()


@contextmanager
def traced(request: RequestInfo, meter: Meter, path: str) -> Iterator[None]:
    """An X-Ray subsegment around a request, with GATEWAY_TRACING=on; otherwise the X-Ray SDK is not imported."""
    if os.environ.get("GATEWAY_TRACING", "").lower() != "on":
        yield
        return
    from aws_lambda_powertools import Tracer

    provider = Tracer(service=_SERVICE, auto_patch=False).provider
    with provider.in_subsegment(f"## {path}") as subsegment:
        yield
        subsegment.put_annotation("request_id", request.id)
        if meter.counted_as is not None:
            subsegment.put_annotation("model", meter.counted_as)
            subsegment.put_annotation("backend", meter.backend or "")
