"""Logs, metrics and optional traces of requests; never with a token, key or prompt."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from shared.errors import GatewayError
from shared.schemas.caller import Caller
from shared.schemas.context import CANCELLED, Meter, RequestInfo
from shared.schemas.model import Model

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

# Powertools is imported after the first response has been sent, so that logging does not delay it.

_SERVICE = "gateway"

METRICS: tuple[tuple[tuple[str, ...], Mapping[str, str]], ...] = (
    (
        ("service", "provider"),
        {
            "Requests": "Count",
            "ServerErrors": "Count",
            "ClientErrors": "Count",
            "Latency": "Milliseconds",
            "TimeToFirstToken": "Milliseconds",
            "InputTokens": "Count",
            "OutputTokens": "Count",
            "OpenedCircuits": "Count",
        },
    ),
    (("service",), {"Dollars": "None", "Recovered": "Count"}),
    (("service", "error"), {"Errors": "Count"}),
    (("service", "provider", "error"), {"FailedCalls": "Count"}),
)
"""CloudWatch's metrics: the dimensions of each group, and the unit of each metric in it.

Every combination of dimension values is charged for. So a dimension has a small set of values: a model is none, since
its id may be what a caller sent. Logs have the model of each request.
"""


@cache
def logger() -> "Logger":
    """Powertools' logger: JSON, with the X-Ray trace's id where there is one; POWERTOOLS_LOG_LEVEL sets its level.

    On a terminal its lines are for people.
    """
    from aws_lambda_powertools.logging import Logger

    # No line tells these, and asking for them takes a twentieth of a line's time.
    for asked in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, asked, False)
    if sys.stdout.isatty():
        from shared.terminal_log import TerminalFormatter

        return Logger(service=_SERVICE, logger_formatter=TerminalFormatter())
    from shared.log_lines import JsonFormatter

    return Logger(service=_SERVICE, logger_formatter=JsonFormatter())


def log_request(
    request: RequestInfo, meter: Meter, caller: Caller | None, *, method: str, path: str, status: int
) -> None:
    """Logs a finished request, and emits its metrics."""
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
        "attempts": ", ".join(meter.attempts) if len(meter.attempts) > 1 else None,
        "backend": meter.backend,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micro_dollars": meter.cost,
        "is_estimate": meter.is_estimate or None,
        "unsettled": meter.unsettled or None,
        "error": meter.error,
    }
    logger().info("request", extra={name: value for name, value in told.items() if value is not None})
    _emit(_request_metrics(meter, status, seconds))


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
    """Logs and counts a failed call to a provider. `status` is the provider's, None if it did not respond.

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
    _emit({"provider": model.provider, "error": error.code, "FailedCalls": 1})


def log_circuit(target: str, *, why: str | None) -> None:
    """Logs and counts that a target's circuit has opened, with how its last call failed, or closed (None)."""
    if why is None:
        logger().info("circuit closed", extra={"target": target})
        return
    logger().warning("circuit opened", extra={"target": target, "why": why})
    _emit({"provider": target.partition("/")[0], "OpenedCircuits": 1})


def log_aws_failure(request: RequestInfo, error: str) -> None:
    """Logs a call of AWS that failed a request. `error` is its service, action and code."""
    logger().warning("AWS failed", extra={"request_id": request.id, "error": error})


def log_crash(request: RequestInfo) -> None:
    """Logs the exception being handled, with its traceback, as an internal error."""
    ids = {"request_id": request.id, "function_request_id": request.function_request_id}
    logger().exception("crash", extra=ids)


def _request_metrics(meter: Meter, status: int, seconds: float) -> dict[str, str | float]:
    metrics: dict[str, str | float] = {
        "provider": meter.model.provider if meter.model else "none",
        "Requests": 1,
        "ServerErrors": int(status >= 500),
        "ClientErrors": int(400 <= status < 500),
        "Latency": seconds * 1000,
        "InputTokens": meter.usage.input_tokens,
        "OutputTokens": meter.usage.output_tokens,
    }
    if meter.first_token is not None:
        metrics["TimeToFirstToken"] = meter.first_token * 1000
    if meter.cost is not None:
        metrics["Dollars"] = meter.cost / 1_000_000
    if meter.error is None and sum(not attempt.endswith(f";{CANCELLED}") for attempt in meter.attempts) > 1:
        metrics["Recovered"] = 1
    if meter.error is not None:
        metrics |= {"error": meter.error, "Errors": 1}
    return metrics


def _emit(values: Mapping[str, str | float]) -> None:
    """Prints metrics and their dimensions in CloudWatch's embedded format, if GATEWAY_METRICS_NAMESPACE is set.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    namespace = os.environ.get("GATEWAY_METRICS_NAMESPACE")
    if not namespace:
        return
    directives = []
    for dimensions, units in METRICS:
        metrics = [{"Name": name, "Unit": unit} for name, unit in units.items() if name in values]
        if metrics:
            directives.append({"Namespace": namespace, "Dimensions": [dimensions], "Metrics": metrics})
    metadata = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": directives}
    print(json.dumps({"_aws": metadata, "service": _SERVICE, **values}), flush=True)


@contextmanager
def traced(request: RequestInfo, meter: Meter, path: str) -> Iterator[None]:
    """An X-Ray subsegment around a request, with GATEWAY_TRACING=on; otherwise the X-Ray SDK is not imported."""
    if os.environ.get("GATEWAY_TRACING", "").lower() != "on":
        yield
        return
    from shared.tracing import recorder

    with recorder().in_subsegment(f"## {path}") as subsegment:
        yield
        subsegment.put_annotation("request_id", request.id)
        if meter.counted_as is not None:
            subsegment.put_annotation("model", meter.counted_as)
            subsegment.put_annotation("backend", meter.backend or "")
