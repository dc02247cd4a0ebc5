"""Structured concurrency: runs calls together, and async iterators in tasks of their own, without leaking a task."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_BUFFERED = 64  # enough to decouple, little enough that a slow reader still slows the source


class Pump(Generic[T]):
    """Reads one or more sources concurrently and yields their items as they arrive.

    An error of any source is raised after the items before it. Each source is iterated and closed by a single task, as
    cancel scopes inside async generators require. Must be closed with `aclose`.
    """

    def __init__(self, *sources: AsyncGenerator[T, None]) -> None:
        self._items: deque[T] = deque()
        self._error: Exception | None = None
        self._running = len(sources)
        self._reader: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wait_ends = 0.0
        self._room = asyncio.Event()
        self._room.set()
        self._tasks = [asyncio.create_task(self._drain(source)) for source in sources]

    async def _drain(self, source: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(source) as items:
                async for item in items:
                    self._items.append(item)
                    self._wake()
                    if len(self._items) >= _BUFFERED:
                        self._room.clear()
                        await self._room.wait()
        except Exception as error:  # noqa: BLE001 - it is raised again for the reader
            self._error = self._error or error
        self._running -= 1
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self, seconds: float | None = None) -> T:
        """The next item. Raises StopAsyncIteration at the end of all, TimeoutError after `seconds`."""
        await self._ready(seconds)
        item = self._items.popleft()
        self._room.set()
        return item

    async def get_all(self, seconds: float | None = None) -> list[T]:
        """All items that have arrived, at least one. Raises what `get` raises."""
        await self._ready(seconds)
        items = list(self._items)
        self._items.clear()
        self._room.set()
        return items

    async def _ready(self, seconds: float | None) -> None:
        """Waits until there is an item."""
        while not self._items:
            if self._error is not None:
                raise self._error
            if not self._running:
                raise StopAsyncIteration
            await self._wait(seconds)

    async def _wait(self, seconds: float | None) -> None:
        # There is a wait for each token: a future costs less than asyncio.timeout, and the timer serves many of them.
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        if seconds is None:
            self._wait_ends = math.inf
        else:
            self._wait_ends = loop.time() + seconds
            if self._timer is None or self._timer.when() > self._wait_ends:
                self._set_timer(loop)
        try:
            await self._reader
        finally:
            self._reader = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._wait_ends, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._reader is None or self._reader.done() or self._wait_ends == math.inf:
            return
        if loop.time() >= self._wait_ends:
            self._reader.set_exception(TimeoutError())
        else:  # another wait than the one that it was set for
            self._set_timer(loop)

    def __aiter__(self) -> "Pump[T]":
        return self

    async def __anext__(self) -> T:
        return await self.get()

    async def aclose(self) -> None:
        """Stops all sources and waits until they are closed."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def gather_or_cancel(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all calls, in order. The first error cancels the others and is raised."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
