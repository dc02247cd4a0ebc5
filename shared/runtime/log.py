"""The runtime's own log: lines of JSON on standard output, which Lambda copies to its log."""

import json
import traceback
from datetime import UTC, datetime


def log_error(message: str, **fields: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"level": "ERROR", "message": message, "timestamp": now, "service": "runtime", **fields}
    print(json.dumps(line), flush=True)


def log_crash(error: BaseException, **fields: str) -> None:
    """Logs an unhandled exception with its traceback."""
    stack = "".join(traceback.format_exception(error))
    log_error("crash", exception_name=type(error).__name__, exception=stack, **fields)
