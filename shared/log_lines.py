"""Log lines as JSON, each with the trace id of the invocation in which it was written."""

from typing import Any

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from shared.trace_header import trace_id


class JsonFormatter(LambdaPowertoolsFormatter):
    """Powertools' lines. Its own trace id is that of the process, which may serve several invocations at once."""

    def serialize(self, log: Any) -> str:
        """A line of the fields of `log`."""
        found = trace_id()
        return super().serialize({**log, "xray_trace_id": found} if found else log)
