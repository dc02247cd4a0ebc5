"""What calls of AWS have in common, whoever makes them: errors and attempts."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

ATTEMPTS = 3
NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
"""What httpx calls failures of calls that have certainly not been done."""


class AwsError(Exception):
    """AWS refused a call or could not be reached; `code` is AWS's name of the error, `answer` what it said besides.

    `is_transient` where the same call may succeed later, `may_be_done` where it may have been done all the same: its
    answer was lost, or an internal error came in the place of it.
    """

    def __init__(
        self,
        service: str,
        action: str,
        code: str,
        answer: Mapping[str, Any] | None = None,
        *,
        is_transient: bool = False,
        may_be_done: bool = False,
    ) -> None:
        super().__init__(f"{service} {action}: {code}")
        self.code = code
        self.answer = answer or {}
        self.is_transient = is_transient
        self.may_be_done = may_be_done


async def pause_before(attempt: int) -> None:
    """Waits a little before another attempt, each client another while."""
    await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter needs no secrecy
