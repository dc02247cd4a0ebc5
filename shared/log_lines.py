"""Log lines as JSON, each with the trace id of the invocation in which it was written."""

import logging
import time
from typing import Any

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from pydantic_core import to_json

from shared.trace_header import trace_id

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(LambdaPowertoolsFormatter):
    """Powertools' lines, made in a quarter of the time where they report no exception: each request has one.

    Powertools' own trace id is that of the process, which may serve several invocations at once.
    """

    _second = -1
    _began = _zone = ""

    def format(self, record: logging.LogRecord) -> str:
        """A line of the record's level, place, message, time and extra fields."""
        if record.exc_info:
            return super().format(record)
        line = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.msg if isinstance(record.msg, dict) else record.getMessage(),
            "timestamp": self._time(record),
            "service": self.log_format["service"],
        }
        line.update(fields for fields in vars(record).items() if fields[0] not in _STANDARD)
        if found := trace_id():
            line["xray_trace_id"] = found
        return to_json(line, inf_nan_mode="constants", fallback=str).decode()

    def _time(self, record: logging.LogRecord) -> str:
        """As Powertools writes it: 2026-11-21 10:31:02,345+0000."""
        second = int(record.created)
        if second != self._second:
            began, zone = time.strftime("%Y-%m-%d %H:%M:%S|%z", self.converter(second)).split("|")
            self._second, self._began, self._zone = second, began, zone
        return f"{self._began},{int(record.msecs):03d}{self._zone}"

    def serialize(self, log: Any) -> str:
        """A line of the fields of `log`."""
        found = trace_id()
        return super().serialize({**log, "xray_trace_id": found} if found else log)
