"""Log lines are those of Powertools, however they are made."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from shared.log_lines import JsonFormatter
from shared.trace_header import set_trace_header


def record(fields: dict[str, Any], exception: Exception | None = None) -> logging.LogRecord:
    info = exception and (type(exception), exception, exception.__traceback__)
    logger = logging.getLogger("gateway")
    return logger.makeRecord("gateway", logging.INFO, __file__, 7, "request", (), info, "function", fields)


def ours(line: logging.LogRecord) -> Any:
    return json.loads(JsonFormatter(service="gateway").format(line))


def powertools(line: logging.LogRecord) -> Any:
    return json.loads(LambdaPowertoolsFormatter(service="gateway").format(line))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": 200, "is_estimate": True, "share": 0.1},
        {"text": 'ü "quoted"\n', "names": ["a", "b"], "inner": {"a": 1}},
        {"far": float("inf"), "other": Path("a")},
    ],
    ids=["none", "numbers", "texts", "odd"],
)
def test_a_line_is_that_of_powertools(fields: dict[str, Any]) -> None:
    line = record(fields)
    assert list(ours(line).items()) == list(powertools(line).items())


def test_a_line_with_an_exception_has_its_traceback() -> None:
    try:
        raise KeyError("x")
    except KeyError as error:
        line = record({"request_id": "a"}, error)
    assert ours(line) == powertools(line)
    assert "KeyError" in ours(line)["exception"]


def test_a_line_has_the_trace_of_its_invocation() -> None:
    set_trace_header("Root=1-a-b;Parent=c;Sampled=1")
    try:
        assert ours(record({}))["xray_trace_id"] == "1-a-b"
    finally:
        set_trace_header(None)
