"""Token buckets (GCRA): each is one number, the moment at which it will be full again.

Taking from a bucket moves that moment on; it may lie a minute ahead, which is what a bucket holds. A bucket whose
moment is past is full, and the moment is set instead of moved. DynamoDB can check which it is but not choose, so that
whoever writes has to know beforehand whether a bucket is *in use*, by the item as it was seen last, and a wrong guess
fails at the price of a write.

Where many processes use one item, what each has seen is never the latest, and a bucket that is now and then full makes
for many wrong guesses. Such an item is marked as *crowded*: there a wrong guess moves a bucket on a little further than
its request takes (`_SPARE`), so that it stays in use until the next requests come, and all of them may guess so. Such
a bucket lends a thirtieth less than it holds, never more.

Times are Unix microseconds, lengths of time microseconds.
"""

from collections.abc import Iterable

from shared.dataclass import dataclass
from shared.schemas.limits import MINUTE, UNLIMITED, Rate
from shared.stores.limits.leases import SECOND
from shared.stores.limits.write import Item, Write, number

REQUESTS, TOKENS = "rq", "tk"
CROWDED = "w"
_SPARE = 2 * SECOND
# How many requests of others may be expected while the spare lasts, for an item to become crowded, and to stay so.
_CROWD, _STILL_A_CROWD = 4, 2
_SMALL = MINUTE // 240
"""A bucket that holds fewer requests than that is in use whenever there is a crowd, and lends all that it holds."""
_LEARNING = 0.25  # what the latest find counts among all before it
_OFTEN, _FORGOTTEN = 0.5, 0.01
_REMEMBERED = 2000


@dataclass(frozen=True, slots=True)
class Take:
    """What a request takes of one bucket, up to `room` of which may be taken at all."""

    name: str
    amount: int
    room: int


def time_of(units: int, per_minute: int) -> int:
    """How long a bucket takes to refill so many units, rounded up."""
    return -(-units * MINUTE // per_minute)


class Guesses:
    """How often this process has found buckets in use that were full when it saw them last."""

    def __init__(self) -> None:
        self._shares: dict[str, float] = {}

    def in_use(self, item: str, takes: Iterable[Take], now: int, seen: Item) -> frozenset[str]:
        """The buckets to be taken from as from those in use, by an item that others may have changed since."""
        return frozenset(
            one.name
            for one in takes
            if number(seen, one.name) >= now or CROWDED in seen or self._shares.get(f"{item} {one.name}", 0.0) > _OFTEN
        )

    def learn(self, item: str, takes: Iterable[Take], now: int, seen: Item, found: frozenset[str]) -> None:
        """Takes note of the buckets that turned out to be in use."""
        for one in takes:
            if number(seen, one.name) < now:
                key = f"{item} {one.name}"
                share = self._shares.pop(key, 0.0) * (1 - _LEARNING) + (one.name in found) * _LEARNING
                if share > _FORGOTTEN:
                    self._shares[key] = share
        while len(self._shares) > _REMEMBERED:
            self._shares.pop(next(iter(self._shares)))


def in_use(takes: Iterable[Take], now: int, item: Item) -> frozenset[str]:
    """The buckets that are in use in an item."""
    return frozenset(one.name for one in takes if number(item, one.name) >= now)


def take(write: Write, takes: Iterable[Take], now: int, busy: frozenset[str]) -> None:
    """Takes from buckets of which the `busy` are thought to be in use, or fails."""
    for one in takes:
        if one.name in busy:
            _move(write, one, now, 0)
        else:
            _set(write, one, now, 0)


def take_known(write: Write, takes: Iterable[Take], now: int, item: Item, pace: float) -> None:
    """Takes from buckets that are as in the item, as far as anyone knows, and marks it as crowded or as not.

    `pace` is how many requests a microsecond seem to be made in it.
    """
    crowded = pace * _SPARE >= (_STILL_A_CROWD if CROWDED in item else _CROWD)
    if crowded:
        write.set(CROWDED, 1)
    elif CROWDED in item:
        write.remove(CROWDED)
    for one in takes:
        ahead = number(item, one.name) - now
        spare = min(_SPARE, one.room - one.amount) if crowded and 0 < one.amount < _SMALL else 0
        if ahead >= 0:
            _move(write, one, now, max(0, spare - ahead))
        else:
            _set(write, one, now, spare)


def _move(write: Write, one: Take, now: int, spare: int) -> None:
    write.require_between(one.name, now, now + one.room - one.amount - spare)
    write.add(one.name, one.amount + spare)


def _set(write: Write, one: Take, now: int, spare: int) -> None:
    write.require_below(one.name, now)
    write.set(one.name, now + one.amount + spare)


def wait(one: Take, now: int, item: Item) -> int:
    """How long until a bucket, which is as in the item, has what is asked of it; not above 0 if it has."""
    return max(number(item, one.name), now) + one.amount - one.room - now


def room_left(name: str, room: int, now: int, item: Item) -> int:
    """How much may be taken of a bucket now."""
    return max(0, now + room - max(number(item, name), now))


def unspent(reserved: int, actual: int, end: int, now: int) -> int:
    """What a bucket gets back that stood at `end` after a reservation: what time has refilled meanwhile is not given a
    second time."""
    return max(0, min(reserved - actual, end - now))


def rate(item: Item, name: str, now: int, *, whole: int | None, part: int | None, shards: int) -> Rate:
    """How much is left, for the headers: that of all shards is taken to be as in this one."""
    if whole is None or part is None:
        return Rate(reset_at=now // SECOND)
    debt = min(max(number(item, name) - now, 0), MINUTE)
    remaining = min((MINUTE - debt) * part // MINUTE * shards, whole)
    return Rate(min(whole, UNLIMITED), min(remaining, UNLIMITED), debt, -(-(now + debt) // SECOND))
