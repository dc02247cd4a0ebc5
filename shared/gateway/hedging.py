"""Hedging: asks the next candidate beside one that is silent; the first to say something answers the request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from shared.dataclass import dataclass
from shared.errors import GatewayError

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt
    from shared.gateway.course import Course
    from shared.gateway.reserving import Reserving
    from shared.gateway.running import Spoken
    from shared.schemas.limits import Estimate

EventT = TypeVar("EventT")
_MOST_AT_ONCE = 2


@dataclass(eq=False, slots=True)
class _Lane(Generic[EventT]):
    """One of the attempts that are made at once, in a task of its own.

    `attempt` is None until a candidate is chosen, and if there is none. `events` is its context once that has been
    entered, and `spoken` what it gave.
    """

    attempt: "Attempt | None"
    began: float
    task: "asyncio.Task[None]"
    events: "AbstractAsyncContextManager[Spoken[EventT]] | None" = None
    spoken: "Spoken[EventT] | None" = None

    async def close(self) -> None:
        """Stops the attempt, and waits until its calls have ended."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        if self.events is not None:
            events, self.events = self.events, None
            await events.__aexit__(None, None, None)


class Race(Generic[EventT]):
    """The current attempt of a course and, after every `seconds` of its silence, the next candidate beside it: two at
    once.

    The current attempt has begun and has its reservation; each other one gets one of its own, so that all that may be
    used at once is reserved. `speak` is the context of an attempt's events.
    """

    def __init__(
        self,
        course: "Course",
        reserving: "Reserving",
        offers: "Mapping[Attempt, Estimate]",
        speak: "Callable[[Attempt], AbstractAsyncContextManager[Spoken[EventT]]]",
        seconds: float,
    ) -> None:
        self._course = course
        self._reserving = reserving
        self._offers = offers
        self._speak = speak
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._lanes: list[_Lane[EventT]] = []
        self._may_add = True
        self._error: GatewayError | None = None
        self._final: GatewayError | None = None

    @asynccontextmanager
    async def won(self) -> "AsyncIterator[Spoken[EventT]]":
        """The events of the attempt that is the first to say something, which is then the course's current one.

        Raises the error of the last attempt, when all that were made have failed, or one that nothing can cure: at once
        where that is of the earlier attempt, else when the earlier one has failed too.
        """
        try:
            self._start(self._course.current)
            winner = await self._winner()
            for lane in [lane for lane in self._lanes if lane is not winner]:
                await self._drop(lane)
            assert winner.spoken is not None
            yield winner.spoken
        finally:
            for lane in list(self._lanes):
                if lane.attempt is self._course.current:
                    await lane.close()
                else:
                    await self._drop(lane)

    async def _winner(self) -> _Lane[EventT]:
        while self._lanes:
            await asyncio.wait(
                [lane.task for lane in self._lanes],
                timeout=self._patience(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            for lane in [lane for lane in self._lanes if lane.task.done()]:
                if self._has_spoken(lane):
                    return lane
            if self._lanes and self._patience() == 0:
                self._start(None)
        error = self._final or self._error
        assert error is not None
        raise error

    def _patience(self) -> float | None:
        """For how many seconds the only attempt may be silent before another one is made beside it; None for ever."""
        if len(self._lanes) == _MOST_AT_ONCE or not self._may_add or self._course.is_last:
            return None
        return max(0.0, self._lanes[0].began + self._seconds - self._clock())

    def _start(self, attempt: "Attempt | None") -> None:
        """Makes an attempt, which has begun; with None the next candidate's."""
        lane: _Lane[EventT]

        async def run() -> None:
            if lane.attempt is None and not await self._enter(lane):
                return
            assert lane.attempt is not None
            events = self._speak(lane.attempt)
            lane.spoken = await events.__aenter__()
            lane.events = events

        lane = _Lane(attempt, self._clock(), asyncio.create_task(run()))
        self._lanes.append(lane)

    async def _enter(self, lane: _Lane[EventT]) -> bool:
        """Begins the next candidate's attempt, if there is one and the caller's limits have room for it."""
        attempt = await self._course.beside()
        if attempt is None:
            self._may_add = False
            return False
        try:
            await self._reserving.take(attempt, [self._offers[one] for one in (attempt, *self._course.left)])
        except GatewayError:
            self._course.put_back(attempt)
            self._may_add = False
            return False
        lane.attempt, lane.began = attempt, self._clock()
        attempt.begin()
        return True

    def _has_spoken(self, lane: _Lane[EventT]) -> bool:
        """Whether an attempt has said something, and so wins. One that has failed is taken out.

        Raises its error if nothing can cure that and it is the earlier one's.
        """
        error, attempt, is_earlier = lane.task.exception(), lane.attempt, lane is self._lanes[0]
        if error is None and attempt is not None:
            self._lead(attempt)
            return True
        self._lanes.remove(lane)
        if attempt is not None:
            self._lead(attempt)  # it is its error that the request ends with, if there is nothing else
        if isinstance(error, GatewayError) and attempt is not None:
            self._error, self._may_add = error, True
            if self._lanes:
                self._lost(attempt, error, is_earlier=is_earlier)
        elif error is not None:
            raise error
        return False

    def _lost(self, attempt: "Attempt", error: GatewayError, *, is_earlier: bool) -> None:
        """Leaves the request to the other attempt."""
        try:
            self._course.lost(attempt, error)
        except GatewayError:
            if is_earlier:
                raise
            self._final, self._may_add = error, False
        self._reserving.end(attempt)
        self._lead(self._lanes[0].attempt or attempt)

    def _lead(self, attempt: "Attempt") -> None:
        self._course.current = attempt
        attempt.lead()

    async def _drop(self, lane: _Lane[EventT]) -> None:
        """Cancels an attempt that does not answer the request, and charges what it has used."""
        self._lanes.remove(lane)
        try:
            await lane.close()
        finally:
            if lane.attempt is not None:
                lane.attempt.cancelled()
                self._reserving.end(lane.attempt)
