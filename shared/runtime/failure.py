"""A failure as it is reported to Lambda and to the caller."""

import traceback

from shared.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as reported to Lambda and, if no response has been sent yet, to the caller.

    `type` is `Runtime.` or `Function.` and one word: Lambda turns anything else into `Runtime.Unknown`. `status` and
    `code` are those of the caller's error response, `retry_after` the seconds in its Retry-After. `message` is for the
    caller, or for Lambda's log if the caller does not get it. `stack` has one string for each frame.
    """

    type: str
    message: str
    status: int = 500
    code: str = "internal_error"
    retry_after: int | None = None
    stack: tuple[str, ...] = ()


CRASHED = Failure("Function.Crashed", "The gateway failed.")
OUT_OF_TIME = Failure("Runtime.DeadlineExceeded", "The gateway ran out of time.", 504, "provider_timeout")
STOPPING = Failure("Runtime.Stopping", "The gateway is stopping. Try again.", 503, "model_unavailable", retry_after=1)


def failure_of(error: Exception, type_: str | None = None) -> Failure:
    """The failure of an exception, for Lambda's log only; `type_` defaults to the exception's class."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    stack = tuple(line.rstrip("\n") for line in traceback.format_list(frames))
    return Failure(type_ or f"Function.{type(error).__name__}", str(error), stack=stack)
