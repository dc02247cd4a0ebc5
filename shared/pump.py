"""Runs several things at once and leaves none of them behind: calls together, async iterators in tasks of their own."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_BUFFERED = 64  # enough to decouple, little enough that a slow reader still slows the source


class _Ended:
    """Stands in the queue for the end of one source."""


class Pump(Generic[T]):
    """Reads one or more sources at once, handing out their items as they come.

    An error of any source is raised by `get` after the items before it. Each source is driven, and closed, by one
    task only, as cancel scopes inside async generators require. To be closed by `aclose`, whatever happened.
    """

    def __init__(self, *sources: AsyncGenerator[T, None]) -> None:
        self._queue: asyncio.Queue[T | _Ended | BaseException] = asyncio.Queue(_BUFFERED)
        self._running = len(sources)
        self._tasks = [asyncio.create_task(self._drain(source)) for source in sources]

    async def _drain(self, source: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(source) as items:
                async for item in items:
                    await self._queue.put(item)
        except Exception as error:  # noqa: BLE001 - it is raised again by get()
            await self._queue.put(error)
        else:
            await self._queue.put(_Ended())

    async def get(self, seconds: float | None = None) -> T:
        """The next item. Raises StopAsyncIteration at the end of all, TimeoutError after `seconds`."""
        while self._running:
            item = await self._next(seconds)
            if isinstance(item, _Ended):
                self._running -= 1
            elif isinstance(item, BaseException):
                self._running = 0
                raise item
            else:
                return item
        raise StopAsyncIteration

    async def _next(self, seconds: float | None) -> "T | _Ended | BaseException":
        if not self._queue.empty():
            return self._queue.get_nowait()
        async with asyncio.timeout(seconds):
            return await self._queue.get()

    def __aiter__(self) -> "Pump[T]":
        return self

    async def __anext__(self) -> T:
        return await self.get()

    async def aclose(self) -> None:
        """Stops all sources and waits until they are closed."""
        self._running = 0
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def gather_or_cancel(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all calls, in their order. The first error ends the others and is raised."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
