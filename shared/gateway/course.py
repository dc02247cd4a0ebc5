"""Decides after a failed attempt which candidate is tried next."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from shared.errors import (
    ContentFiltered,
    ContextTooLong,
    GatewayError,
    InsufficientQuota,
    ModelNotFound,
    UnsupportedFeature,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from shared.gateway.circuits import Circuits

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt

SHORT_RETRY_AFTER = 2
"""The longest Retry-After that is waited for, in seconds."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 0.5
# What another attempt with another model may cure.
_CURABLE = (
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamRateLimited,
    InsufficientQuota,
    ModelNotFound,
    ContextTooLong,
    UnsupportedFeature,
)
# Outcomes after which the same model is tried once more.
_PASSING = frozenset({"connect", "502", "503", "529"})


class Course:
    """The attempts of one request, one for each candidate.

    `pause` waits for so many seconds, `deadline` is on the event loop's clock. `may_repeat` is whether a candidate is
    tried again after a failure that soon passes.
    """

    def __init__(
        self,
        attempts: "Sequence[Attempt]",
        *,
        deadline: float,
        pause: Callable[[float], Awaitable[None]],
        circuits: Circuits,
        may_repeat: bool,
    ) -> None:
        self._left = list(attempts)
        self._deadline = deadline
        self._pause = pause
        self._circuits = circuits
        self._may_repeat = may_repeat
        self._is_desperate = False
        self._repeated: set[Attempt] = set()
        self._limited: list[tuple[float, Attempt]] = []
        self._error: GatewayError | None = None
        self._soonest: int | None = None
        self.current = self._left[0]

    async def start(self) -> None:
        """Makes the first candidate the current one whose circuit lets it be called."""
        first = await self._admitted()
        assert first is not None
        self.current = first

    @property
    def is_last(self) -> bool:
        """Whether no other candidate is left."""
        return not self._left

    @property
    def left(self) -> "list[Attempt]":
        """The candidates that have not been tried, and those that are to be repeated."""
        return self._left

    async def beside(self) -> "Attempt | None":
        """Takes the next candidate whose circuit lets it be called, to be asked while another one is being asked."""
        return await self._first_admitted()

    def put_back(self, attempt: "Attempt") -> None:
        """Makes a candidate the next again that was taken and has not been called."""
        self._left.insert(0, attempt)

    def lost(self, attempt: "Attempt", error: GatewayError) -> None:
        """Notes an attempt that failed while another one is being asked. Raises the error if nothing can cure it."""
        if not _is_curable(error, attempt):
            raise error
        self._note(error, attempt)
        if attempt.outcome in _PASSING and self._may_repeat and attempt not in self._repeated:
            self._repeated.add(attempt)
            self.put_back(attempt)
            return
        self._take_in(error, attempt)

    async def advance(self, error: GatewayError) -> None:
        """Makes the next attempt the current one, after waiting where that is needed.

        Raises the error of the request if nothing is left to try.
        """
        if not _is_curable(error, self.current):
            raise error
        self._note(error, self.current)
        following = await self._following(error)
        if following is None:
            raise self._final(error) from None
        self.current = following

    def _note(self, error: GatewayError, attempt: "Attempt") -> None:
        if error.retry_after is not None:
            self._soonest = min(error.retry_after, self._soonest or error.retry_after)
        if attempt.outcome is not None:
            self._error = error

    def _take_in(self, error: GatewayError, attempt: "Attempt") -> None:
        """Notes what an error says about when to come again, or which candidates cannot do better."""
        if self._may_repeat and isinstance(error, UpstreamRateLimited) and error.retry_after is not None:
            self._limited.append((asyncio.get_running_loop().time() + error.retry_after, attempt))
        if isinstance(error, ContextTooLong):
            self._left = [one for one in self._left if _has_longer_context(one, attempt)]

    def _final(self, error: GatewayError) -> GatewayError:
        """The last error of a provider, with the soonest of all times to retry."""
        last = self._error or error
        last.retry_after = self._soonest
        return last

    async def _following(self, error: GatewayError) -> "Attempt | None":
        now = asyncio.get_running_loop().time()
        if now >= self._deadline:
            return None
        current = self.current
        is_skipped = bool(self._left) and self._circuits.is_open(current.model.target)
        is_repeated = current in self._repeated or not self._may_repeat
        if current.outcome in _PASSING and not is_repeated and not is_skipped:
            await self._repeat(current, _pause_after(error))
            return current
        self._take_in(error, current)
        if (admitted := await self._admitted()) is not None:
            return admitted
        waiting = [
            (at, one) for at, one in self._limited if at - now <= SHORT_RETRY_AFTER and one not in self._repeated
        ]
        if not waiting:
            return None
        at, soonest = min(waiting, key=lambda found: found[0])
        if at >= self._deadline:
            return None
        await self._repeat(soonest, max(0.0, at - now))
        return soonest

    async def _admitted(self) -> "Attempt | None":
        """The next candidate whose circuit lets it be called.

        Where none does, the least bad is called all the same, once.
        """
        if (first := await self._first_admitted()) is not None:
            return first
        if not self._left or self._is_desperate:
            return None
        self._is_desperate = True
        least_bad = min(self._left, key=lambda one: self._circuits.opens_at(one.model.target))
        self._left.remove(least_bad)
        return least_bad

    async def _first_admitted(self) -> "Attempt | None":
        for attempt in self._left:
            if await self._circuits.admits(attempt.model.target):
                self._left.remove(attempt)
                return attempt
        return None

    async def _repeat(self, attempt: "Attempt", seconds: float) -> None:
        self._repeated.add(attempt)
        await self._pause(seconds)


def _pause_after(error: GatewayError) -> float:
    if error.retry_after is not None and error.retry_after <= SHORT_RETRY_AFTER:
        return error.retry_after
    return random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE)  # noqa: S311 - jitter needs no secrecy


def _is_curable(error: GatewayError, attempt: "Attempt") -> bool:
    if isinstance(error, ContentFiltered):
        return attempt.model.fallback_when_filtered
    return isinstance(error, _CURABLE)


def _has_longer_context(attempt: "Attempt", failed: "Attempt") -> bool:
    ours: int | None = attempt.model.context_length
    theirs = failed.model.context_length
    return ours is None or theirs is None or ours > theirs
