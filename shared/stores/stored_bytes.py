"""How many bytes each tenant stores in the bucket, so that they can be bounded.

One item of the table `Limits` for each tenant, `stored#<tenant>`:

    t         all bytes
    e<day>    those of them that the bucket's lifecycle deletes on that day since 1970

What has expired is taken off when the room is needed. A file that is announced counts at once, also if it never comes;
a write whose answer was lost may count twice. Both end when the files would have expired.
"""

import time
from collections.abc import Callable

from shared.errors import PayloadTooLarge
from shared.stores.aws import Aws
from shared.stores.limits.write import Item, Write, number, send

_TOTAL, _BY_DAY = "t", "e"
_DAY_SECONDS = 24 * 3600
_KEPT_SECONDS = 40 * _DAY_SECONDS
_ATTEMPTS = 3
_ROUNDS = 8
_MOST = 2**60


class StoredBytes:
    """The bytes of all tenants. `clock` is Unix time; every method raises AwsError."""

    def __init__(self, aws: Aws, table: str, *, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._limit = limit
        self._clock = clock

    async def take(self, tenant: str, size: int, expires: float) -> None:
        """Counts bytes that will be stored until a Unix time. Raises PayloadTooLarge where they are too many."""
        key = {"id": f"stored#{tenant}"}
        for _ in range(_ROUNDS if size <= self._limit else 0):
            write = Write()
            write.require_at_most(_TOTAL, self._limit - size)
            write.add(_TOTAL, size)
            write.add(_day(expires), size)
            write.set("ttl", int(self._clock()) + _KEPT_SECONDS)
            outcome = await send(self._aws, self._table, key, write, attempts=_ATTEMPTS)
            if outcome.made:
                return
            expired = self._expired(outcome.item)
            if not expired:
                break
            tidying = Write()
            for name in expired:
                bytes_left = number(outcome.item, name)
                tidying.require_equal(name, bytes_left)
                tidying.remove(name)
                tidying.add(_TOTAL, -bytes_left)
            await send(self._aws, self._table, key, tidying, attempts=_ATTEMPTS)
        raise PayloadTooLarge(
            f"These {size:,} bytes are more than what is left of the {self._limit:,} that may be stored. "
            "Delete files that are no longer needed."
        )

    async def give_back(self, tenant: str, size: int, expires: float) -> None:
        """Counts bytes no longer that were deleted before they expired."""
        write = Write()
        write.require_between(_day(expires), size, _MOST)
        write.add(_day(expires), -size)
        write.add(_TOTAL, -size)
        await send(self._aws, self._table, {"id": f"stored#{tenant}"}, write, attempts=_ATTEMPTS)

    def _expired(self, item: Item) -> list[str]:
        today = int(self._clock()) // _DAY_SECONDS
        return [name for name in item if name.startswith(_BY_DAY) and int(name.removeprefix(_BY_DAY)) < today]


def _day(expires: float) -> str:
    return f"{_BY_DAY}{int(expires) // _DAY_SECONDS}"
