"""Settlements wait in this process until they are written, or left where another process writes them.

Those of one item wait together: one write settles all that have gathered while another was under way. While DynamoDB
fails they are tried again, ever more seldom; what has waited for long is left in a queue (`Deferred`), from which the
batches' worker takes it. A settlement may be written from both at once, since each is done once.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

from shared.dataclass import dataclass
from shared.schemas.settlement import Settlement, SettlementMessage
from shared.stores.aws_calls import AwsError

_AT_ONCE = 25
"""As many as one write settles, whose expressions may be 4 KB long."""
_MOST = 10_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0


class Deferred(Protocol):
    """Where settlements are left that could not be written."""

    async def put(self, text: str) -> None:
        """Keeps a message until somebody settles what is in it. Raises AwsError."""


@dataclass(slots=True, eq=False)
class _Entry:
    settlement: Settlement
    since: float
    written: "asyncio.Future[bool]"
    is_tried: bool = False

    def end(self, outcome: bool | Exception) -> None:
        if self.written.done():
            return
        if isinstance(outcome, Exception):
            self.written.set_exception(outcome)
        else:
            self.written.set_result(outcome)


class Settler:
    """Writes settlements by `apply`, which gets those of one item and raises AwsError until all of them are written.

    It tells whether nothing that was sent for that can arrive any more; of what was never sent otherwise, `forget` is
    told. `patience` is for how many seconds they are tried before they are deferred. Where `may_gather` says so of an
    item, they wait `gather` seconds for others.
    """

    def __init__(
        self,
        apply: Callable[[str, Sequence[Settlement]], Awaitable[bool]],
        forget: Callable[[Settlement], None],
        deferred: Deferred | None,
        *,
        patience: float,
        gather: float,
        may_gather: Callable[[str], bool],
    ) -> None:
        self._apply = apply
        self._forget = forget
        self._deferred = deferred
        self._patience = patience
        self._gather = gather
        self._may_gather = may_gather
        self._waiting: dict[str, list[_Entry]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._news: dict[str, asyncio.Event] = {}
        self._hurry = False

    def add(self, settlement: Settlement) -> "asyncio.Future[bool]":
        """Has a settlement written; the future tells whether it was, or was left for another process."""
        loop = asyncio.get_running_loop()
        entry = _Entry(settlement, loop.time(), loop.create_future())
        item = settlement.held.item
        self._waiting.setdefault(item, []).append(entry)
        if sum(map(len, self._waiting.values())) > _MOST:
            self._drop(next(iter(self._waiting)))
        if item in self._news:
            self._news[item].set()
        task = self._tasks.get(item)
        if task is None or task.done() or task.get_loop() is not loop:
            self._tasks[item] = loop.create_task(self._run(item))
        return entry.written

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Has other work done that may fail, and that `flush` is to wait for."""

        async def attempt() -> None:
            with suppress(AwsError):
                await work

        task = asyncio.get_running_loop().create_task(attempt())
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def flush(self, seconds: float) -> None:
        """Waits until everything is written, for so long at most, then defers what is left."""
        deadline = asyncio.get_running_loop().time() + seconds
        self._hurry = True
        for news in self._news.values():
            news.set()
        try:
            while pending := {*self._tasks.values(), *self._others}:
                _, late = await asyncio.wait(pending, timeout=deadline - asyncio.get_running_loop().time())
                if late:
                    break
        finally:
            self._hurry = False
        for item in list(self._waiting):
            with suppress(AwsError):
                await self._defer(item, self._waiting[item])

    async def _run(self, item: str) -> None:
        """Writes the settlements of an item until none is left."""
        failures = 0
        try:
            while self._waiting.get(item):
                if self._gather and not failures:
                    await self._let_gather(item)
                group = self._waiting[item][:_AT_ONCE]
                try:
                    is_certain = await self._apply(item, [entry.settlement for entry in group])
                except AwsError:
                    failures += 1
                    for entry in group:
                        entry.is_tried = True
                    await self._put_off(item, failures)
                except Exception as error:  # noqa: BLE001 - a mistake of ours: who waits for the settlement is told
                    self._end(item, group, error)
                else:
                    failures = 0
                    for entry in group:
                        if is_certain and not entry.is_tried and not entry.written.done():
                            self._forget(entry.settlement)
                    self._end(item, group, True)
        finally:
            self._news.pop(item, None)
            if self._tasks.get(item) is asyncio.current_task():
                del self._tasks[item]

    async def _let_gather(self, item: str) -> None:
        """Waits for more settlements of an item, as long as more may come."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._gather
        while loop.time() < end and not self._hurry and self._may_gather(item):
            if len(self._waiting[item]) >= _AT_ONCE:
                return
            news = self._news[item] = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), end - loop.time())

    async def _put_off(self, item: str, failures: int) -> None:
        """Defers what has waited for long, and waits before the rest is tried again."""
        oldest = asyncio.get_running_loop().time() - self._patience
        with suppress(AwsError):
            await self._defer(item, [entry for entry in self._waiting.get(item, ()) if entry.since <= oldest])
        if self._waiting.get(item):
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 10))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter needs no secrecy

    async def _defer(self, item: str, entries: Sequence[_Entry]) -> None:
        """Raises AwsError."""
        if self._deferred is None:
            return
        for start in range(0, len(entries), _AT_ONCE):
            group = entries[start : start + _AT_ONCE]
            await self._deferred.put(SettlementMessage(tuple(entry.settlement for entry in group)).text())
            self._end(item, group, False)

    def _drop(self, item: str) -> None:
        """Gives one up, whose lease will return it: nothing may wait without bound."""
        self._end(item, self._waiting[item][:1], False)

    def _end(self, item: str, group: Sequence[_Entry], outcome: bool | Exception) -> None:
        left = [entry for entry in self._waiting.get(item, ()) if entry not in group]
        if left:
            self._waiting[item] = left
        else:
            self._waiting.pop(item, None)
        for entry in group:
            entry.end(outcome)
