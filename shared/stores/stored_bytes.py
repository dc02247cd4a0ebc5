"""How many bytes each tenant stores in the bucket, so that they can be bounded.

One item of the table `Limits` for each tenant, `stored#<tenant>`:

    t                      all bytes
    e<day>                 those of them that the bucket's lifecycle deletes on that day since 1970
    x<minute>, z<minute>   marks of the writes of that minute, in two sets (`limits.leases`)

What has expired is taken off when the room is needed. A file that is announced counts at once, also if it never comes,
until it would have expired. One that is uploaded again after it was deleted, as its presigned URL allows for an hour,
counts no longer: this store cannot tell that.

**Exactly once.** Each write puts a mark of its own into a set, on the condition that it is not there yet: sent again
because its answer was lost, it finds its mark and changes nothing. Where no sending of a `take` was answered, another
write sees to it that it counts nothing. A mark that nobody will ask for, because its write was sent once and answered,
leaves the item with the next write of its process; the others are removed when nothing can arrive any more that was
signed with them. So the item has about as many marks as processes have written to it within eight minutes.

Bytes that are not stored can count only where DynamoDB answers neither a write nor the one that is to undo it, or where
a process ends in between; and only until they would have expired.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field

from shared.dataclass import dataclass
from shared.errors import PayloadTooLarge
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.limits.leases import SECOND, TIDIED_AT_ONCE, long_over, over_at
from shared.stores.limits.marks import random_mark
from shared.stores.limits.recent import Recent
from shared.stores.limits.write import Item, Outcome, Write, members, number, send

_TOTAL, _BY_DAY = "t", "e"
_UNDONE = "+"
"""What precedes the mark of a `take` that counts nothing; no mark contains it."""
_DAY_SECONDS = 24 * 3600
_KEPT_SECONDS = 40 * _DAY_SECONDS
_ATTEMPTS = 3
_ROUNDS = 8
_TIDIED_FROM = 10
"""How many marks and days must be past before a write is made to remove them, for which the upload has to wait."""
_MOST = 2**60


@dataclass(frozen=True, slots=True)
class _Mark:
    """The mark of a write, and the set that it is put into."""

    over: str
    text: str

    @property
    def undone(self) -> str:
        return _UNDONE + self.text

    def is_in(self, item: Item) -> bool:
        return self.text in members(item, self.over)


@dataclass(slots=True)
class _Memory:
    """What this process knows of a tenant's item: the marks that nobody needs any more, and in which of the two sets
    the next mark is put. No write can add to a set and take from it."""

    acknowledged: list[_Mark] = field(default_factory=list)
    turn: bool = False


class StoredBytes:
    """The bytes of all tenants. `clock` is Unix time; every method raises AwsError."""

    def __init__(self, aws: Aws, table: str, *, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._limit = limit
        self._clock = clock
        self._memories = Recent(_Memory)

    async def take(self, tenant: str, size: int, expires: float) -> None:
        """Counts bytes that will be stored until a Unix time. Raises PayloadTooLarge where they are too many.

        Where it raises either, nothing is counted.
        """
        mark, doubtful = self._new_mark(tenant), False
        try:
            for _ in range(_ROUNDS if size <= self._limit else 0):
                write = Write()
                write.require_no_member(mark.over, mark.undone)
                write.require_at_most(_TOTAL, self._limit - size)
                write.add(_TOTAL, size)
                write.add(_day(expires), size)
                write.set("ttl", int(self._clock()) + _KEPT_SECONDS)
                outcome = await self._write_once(tenant, write, mark)
                doubtful = doubtful or outcome.doubtful
                if outcome.made or mark.is_in(outcome.item):
                    await self._written(tenant, mark, outcome.item, doubtful=doubtful)
                    return
                if not self._expired(outcome.item):
                    break
                await self._tidy(tenant, outcome.item)
        except AwsError as error:
            if doubtful or error.may_be_done:
                await self._undo(tenant, size, expires, mark)
            raise
        if doubtful:
            await self._undo(tenant, size, expires, mark)
        raise PayloadTooLarge(
            f"These {size:,} bytes are more than what is left of the {self._limit:,} that may be stored. "
            "Delete files that are no longer needed."
        )

    async def give_back(self, tenant: str, size: int, expires: float) -> None:
        """Counts bytes no longer that were deleted before they expired.

        Whoever calls it twice gives them back twice. Where it raises, it is unknown whether they still count.
        """
        write = Write()
        _subtract(write, size, expires)
        mark = self._new_mark(tenant)
        outcome = await self._write_once(tenant, write, mark)
        await self._written(tenant, mark, outcome.item, doubtful=outcome.doubtful)

    # ---- Marks -------------------------------------------------------------------------------------------------------

    def _new_mark(self, tenant: str) -> _Mark:
        memory = self._memories.of(tenant)
        memory.turn = not memory.turn
        return _Mark(over_at(self._now(), second=memory.turn), random_mark())

    async def _write_once(self, tenant: str, write: Write, mark: _Mark) -> Outcome:
        """Makes a write, unless its mark is in the item: then it was made before."""
        write.require_no_member(mark.over, mark.text)
        write.include(mark.over, [mark.text])
        memory = self._memories.of(tenant)
        leaving = [one for one in memory.acknowledged if one.over != mark.over]
        for one in leaving:
            write.exclude(one.over, [one.text])
        outcome = await self._send(tenant, write)
        if outcome.made:
            memory.acknowledged = [one for one in memory.acknowledged if one not in leaving]
        return outcome

    async def _written(self, tenant: str, mark: _Mark, item: Item, *, doubtful: bool) -> None:
        """Lets a mark go of which nothing can arrive any more, and tidies the item before much in it is past."""
        if not doubtful:
            self._memories.of(tenant).acknowledged.append(mark)
        past_marks = sum(len(members(item, name)) for name in long_over(item, self._now()))
        if len(self._expired(item)) + past_marks >= _TIDIED_FROM:
            with suppress(AwsError):  # a later write does it
                await self._tidy(tenant, item)

    async def _undo(self, tenant: str, size: int, expires: float, mark: _Mark) -> None:
        """Sees to it that a `take` counts nothing, whether it was made, was not, or has yet to arrive."""
        item: Item = {}
        with suppress(AwsError):
            for _ in range(_ROUNDS):
                write = Write()
                write.require_no_member(mark.over, mark.undone)
                write.include(mark.over, [mark.undone])
                if mark.is_in(item):
                    write.require_member(mark.over, mark.text)
                    _subtract(write, size, expires)
                else:
                    write.require_no_member(mark.over, mark.text)
                outcome = await self._send(tenant, write)
                item = outcome.item
                if mark.undone in members(item, mark.over):
                    return

    # ---- What is past ------------------------------------------------------------------------------------------------

    async def _tidy(self, tenant: str, item: Item) -> None:
        """Takes off what has expired, if it is as seen, and removes marks that nothing will ask for any more.

        Made again it would take off what has been counted for those days since, and has expired too: each day's bytes
        leave the sum with their counter.
        """
        write = Write()
        for name in self._expired(item)[:TIDIED_AT_ONCE]:
            bytes_left = number(item, name)
            write.require_equal(name, bytes_left)
            write.remove(name)
            write.add(_TOTAL, -bytes_left)
        for name in long_over(item, self._now())[:TIDIED_AT_ONCE]:
            write.remove(name)
        await self._send(tenant, write)

    def _expired(self, item: Item) -> list[str]:
        today = int(self._clock()) // _DAY_SECONDS
        return [name for name in item if name.startswith(_BY_DAY) and int(name.removeprefix(_BY_DAY)) < today]

    # ---- The item ----------------------------------------------------------------------------------------------------

    async def _send(self, tenant: str, write: Write) -> Outcome:
        return await send(self._aws, self._table, {"id": f"stored#{tenant}"}, write, attempts=_ATTEMPTS)

    def _now(self) -> int:
        return int(self._clock() * SECOND)


def _subtract(write: Write, size: int, expires: float) -> None:
    """Counts bytes no longer, on the condition that so many count for their day."""
    write.require_between(_day(expires), size, _MOST)
    write.add(_day(expires), -size)
    write.add(_TOTAL, -size)


def _day(expires: float) -> str:
    return f"{_BY_DAY}{int(expires) // _DAY_SECONDS}"
