"""What is logged of a request: one JSON line with names, counts and times, never a token, key or prompt."""

from functools import cache

from aws_lambda_powertools.logging import Logger

from shared.schemas.context import RequestContext


@cache
def logger() -> Logger:
    return Logger(service="gateway")


def log_request(context: RequestContext, *, method: str, path: str, status: int, seconds: float) -> None:
    """The line of an answered request."""
    usage = context.usage
    logger().info(
        "request",
        extra={
            "request_id": context.request_id,
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": round(seconds * 1000),
            "key_id": context.caller and context.caller.key_id,
            "model": context.model and context.model.id,
            "backend": context.backend,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
        },
    )


def log_crash(context: RequestContext) -> None:
    """The line of an error of our own, with the traceback of the exception that is being handled."""
    logger().exception("crash", extra={"request_id": context.request_id})
