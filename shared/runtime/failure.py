"""What went wrong, as Lambda is told of it and as a caller may see it."""

import traceback
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure with what Lambda and, where an answer is still owed, the caller learn of it.

    `type` is `Runtime.` or `Function.` and one word: Lambda calls anything else `Runtime.Unknown`. `status` and `code`
    are those of the answer that the caller gets, and `message` is written for that caller, or for Lambda's log where
    no caller is there to read it. `stack` has one string a frame.
    """

    type: str
    message: str
    status: int = 500
    code: str = "internal_error"
    stack: tuple[str, ...] = ()


CRASHED = Failure("Function.Crashed", "The gateway failed.")
OUT_OF_TIME = Failure("Runtime.DeadlineExceeded", "The gateway ran out of time.", 504, "provider_timeout")


def failure_of(error: Exception, type_: str | None = None) -> Failure:
    """An exception for Lambda's log, where no caller sees it; its class names the type unless `type_` does."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    stack = tuple(line.rstrip("\n") for line in traceback.format_list(frames))
    return Failure(type_ or f"Function.{type(error).__name__}", str(error), stack=stack)
