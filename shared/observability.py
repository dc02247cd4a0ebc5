"""What is told of a request: a JSON log line, metrics, on demand a trace; never a token, key or prompt."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from shared.schemas.context import RequestContext

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

# Powertools is imported once the first answer is out: what is told of it need not delay it.

_SERVICE = "gateway"


@cache
def logger() -> "Logger":
    """Powertools' logger: JSON, with the X-Ray trace's id where there is one; POWERTOOLS_LOG_LEVEL sets its level."""
    from aws_lambda_powertools.logging import Logger

    return Logger(service=_SERVICE)


def log_request(context: RequestContext, *, method: str, path: str, status: int) -> None:
    """The line of an answered request, and its metrics where POWERTOOLS_METRICS_NAMESPACE asks for them."""
    seconds = time.perf_counter() - context.began
    usage = context.usage
    told = {
        "request_id": context.request_id,
        "api_request_id": context.api_request_id,
        "function_request_id": context.function_request_id,
        "method": method,
        "path": path,
        "status": status,
        "duration_ms": round(seconds * 1000),
        "first_token_ms": None if context.first_token is None else round(context.first_token * 1000),
        "key_id": context.caller and context.caller.key_id,
        "model": context.model and context.model.id,
        "backend": context.backend,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micro_dollars": context.cost,
        "unsettled": context.unsettled or None,
    }
    logger().info("request", extra={name: value for name, value in told.items() if value is not None})
    if os.environ.get("POWERTOOLS_METRICS_NAMESPACE"):
        _emit_metrics(context, status, seconds)


def log_crash(context: RequestContext) -> None:
    """The line of an error of our own, with the traceback of the exception that is being handled."""
    ids = {"request_id": context.request_id, "function_request_id": context.function_request_id}
    logger().exception("crash", extra=ids)


def _emit_metrics(context: RequestContext, status: int, seconds: float) -> None:
    """CloudWatch's embedded metric format. Every value of a dimension costs money: the provider is the only one."""
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(service=_SERVICE)
    metrics.add_dimension("provider", context.model.provider if context.model else "none")
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    metrics.add_metric("ServerErrors", MetricUnit.Count, int(status >= 500))
    metrics.add_metric("ClientErrors", MetricUnit.Count, int(400 <= status < 500))
    metrics.add_metric("Latency", MetricUnit.Milliseconds, seconds * 1000)
    if context.first_token is not None:
        metrics.add_metric("TimeToFirstToken", MetricUnit.Milliseconds, context.first_token * 1000)
    metrics.add_metric("InputTokens", MetricUnit.Count, context.usage.input_tokens)
    metrics.add_metric("OutputTokens", MetricUnit.Count, context.usage.output_tokens)
    metrics.flush_metrics()


@contextmanager
def traced(context: RequestContext, path: str) -> Iterator[None]:
    """An X-Ray subsegment around a request, with GATEWAY_TRACING=on; without it the X-Ray SDK is not even imported."""
    if os.environ.get("GATEWAY_TRACING", "").lower() != "on":
        yield
        return
    from aws_lambda_powertools import Tracer

    provider = Tracer(service=_SERVICE, auto_patch=False).provider
    with provider.in_subsegment(f"## {path}") as subsegment:
        yield
        subsegment.put_annotation("request_id", context.request_id)
        if context.model is not None:
            subsegment.put_annotation("model", context.model.id)
            subsegment.put_annotation("backend", context.backend or "")
