"""The context object of an invocation: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html."""

import json
import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from shared.dataclass import dataclass
from shared.runtime.api import Invocation


@dataclass(slots=True)
class LambdaContext:
    """The context object of AWS's own runtime; `client_context` and `identity` are JSON objects as Lambda sent them."""

    aws_request_id: str
    invoked_function_arn: str
    function_name: str
    function_version: str
    memory_limit_in_mb: int
    log_group_name: str
    log_stream_name: str
    client_context: Any = None
    identity: Any = None
    deadline_ms: int = field(default=0, repr=False)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation, at least 0."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def context_of(invocation: Invocation, environment: Mapping[str, str]) -> LambdaContext:
    headers = invocation.headers
    return LambdaContext(
        aws_request_id=invocation.request_id,
        invoked_function_arn=headers.get("lambda-runtime-invoked-function-arn", ""),
        function_name=environment.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        function_version=environment.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        memory_limit_in_mb=int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")),
        log_group_name=environment.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        log_stream_name=environment.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
        client_context=json.loads(headers.get("lambda-runtime-client-context", "null")),
        identity=json.loads(headers.get("lambda-runtime-cognito-identity", "null")),
        deadline_ms=invocation.deadline_ms,
    )
