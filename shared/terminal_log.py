"""Human-readable log lines, one for each request, as `make run` prints them on a terminal."""

import logging
from typing import Any

from aws_lambda_powertools.logging.formatter import BasePowertoolsFormatter

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class TerminalFormatter(BasePowertoolsFormatter):
    """A request as `10:31:02 POST /v1/chat/completions 200 gpt-5 812 ms 17+64 tokens $0.000731`, anything else as its
    message and fields.
    """

    def append_keys(self, **additional_keys: Any) -> None:
        """Does nothing: common fields are left out here."""

    def clear_state(self) -> None:
        """Does nothing: there is no state."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        text = _request(fields) if record.getMessage() == "request" else _other(record, fields)
        line = f"{self.formatTime(record, '%H:%M:%S')} {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _request(fields: dict[str, Any]) -> str:
    parts = [f"{fields['method']} {fields['path']} {fields['status']}"]
    if "model" in fields:
        parts.append(fields["model"])
    parts.append(f"{fields['duration_ms']} ms")
    if fields["input_tokens"] or fields["output_tokens"]:
        parts.append(f"{fields['input_tokens']}+{fields['output_tokens']} tokens")
    if "cost_micro_dollars" in fields:
        parts.append(f"${fields['cost_micro_dollars'] / 1_000_000:.6f}")
    if "error" in fields:
        parts.append(fields["error"])
    return " ".join(parts)


def _other(record: logging.LogRecord, fields: dict[str, Any]) -> str:
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{record.levelname} {record.getMessage()} {told}".rstrip()
