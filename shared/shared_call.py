"""One call for all who want its result at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """A call that is under way once at most: who wants its result meanwhile waits for the same.

    It goes on when those who wait for it are cancelled.
    """

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._task: asyncio.Task[T] | None = None

    async def result(self) -> T:
        """The result of the call under way, or else of a new one. Raises what it raises."""
        if self._task is None or self._task.done() or self._task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._call())
            self._task.add_done_callback(_look_at)
        return await asyncio.shield(self._task)


def _look_at(task: "asyncio.Task[T]") -> None:
    """Keeps asyncio from complaining of an error for which nobody waits any more."""
    if not task.cancelled():
        task.exception()
