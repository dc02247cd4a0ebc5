"""Leases: how long a reservation stands that nobody settles, and what becomes of it then.

The marks of reservations in flight are kept by the slot of time in which they began, with the money that they reserve:

    k<slot>   marks              c<slot>   micro-dollars

A slot that is older than the lease holds what died: the next reservation takes it back in the same write, on the
condition that the slot has as many marks as it was seen to have. Nobody reserves in a slot of the past, so that the
same number means the same marks. Their places in flight are free again then; their money stays spent, since nobody
knows what the dead have used of it.

What is over, and may still be written about, leaves its mark for a while:

    x<minute>, z<minute>   ended or given up, but a sending of its reservation may yet arrive, and must find that out
    y<hour>                taken back by the lease, and may yet be settled, which corrects its money
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from shared.dataclass import dataclass
from shared.stores.limits.write import Item, Write, members, number

SECOND = 1_000_000
MINUTE_SECONDS, HOUR_SECONDS = 60, 3600
_KEPT_OVER = 7 * MINUTE_SECONDS
"""AWS refuses what was signed more than five minutes ago."""
_KEPT_TAKEN_BACK = 24 * HOUR_SECONDS
_SLOT_SECONDS = (600, 300, 120, 60, 30, 15, 10, 5, 2, 1)  # each divides a day, so that a slot lies within one
TIDIED_AT_ONCE = 50
"""How much one write removes, whose expressions may be 4 KB long."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=1024)
def short(count: int) -> str:
    """A number to base 36. Few numbers are asked for: those of days, minutes and slots, by every write."""
    digits = ""
    while count:
        count, digit = divmod(count, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


@dataclass(frozen=True, slots=True)
class Slot:
    """What began in one span of time and is still in flight: `name` is its begin, in Unix seconds to base 36."""

    name: str
    marks: frozenset[str]
    cost: int

    @property
    def begin(self) -> int:
        return int(self.name, 36)


def slot_seconds(lease: int) -> int:
    """Some slots to a lease, so that the dead return no later than a third of a lease after it."""
    return next((length for length in _SLOT_SECONDS if length * 3 <= lease), 1)


def slot_at(lease: int, at: int) -> str:
    """The slot of a moment in Unix microseconds."""
    seconds = at // SECOND
    return short(seconds - seconds % slot_seconds(lease))


def over_at(at: int, *, second: bool = False) -> str:
    """Where the marks of what began at a moment go when it is over. There are two such sets for each minute."""
    return f"{'z' if second else 'x'}{short(at // SECOND // MINUTE_SECONDS)}"


def slots(item: Item) -> Iterator[Slot]:
    """The slots of an item that have marks."""
    for name in item:
        if name.startswith("k"):
            yield Slot(name[1:], members(item, name), number(item, f"c{name[1:]}"))


def dead(item: Item, lease: int, now: int) -> list[Slot]:
    """The slots whose every lease has run out."""
    last = now // SECOND - slot_seconds(lease) - lease
    return [slot for slot in slots(item) if slot.begin <= last]


def expired(item: Item, lease: int, now: int) -> list[Slot]:
    """As many of the dead as one write takes back, first those of which there are most."""
    found = sorted(dead(item, lease, now), key=lambda slot: len(slot.marks), reverse=True)
    return found[:TIDIED_AT_ONCE]


def take_back(write: Write, slot: Slot, now: int) -> None:
    """Takes a slot back, on the condition that it is as seen."""
    write.require_members(f"k{slot.name}", len(slot.marks))
    write.remove(f"k{slot.name}")
    write.remove(f"c{slot.name}")
    write.include(f"y{short(now // SECOND // HOUR_SECONDS)}", slot.marks)


def taken_back(item: Item, mark: str) -> str | None:
    """The set in which the mark of a reservation is that the lease has taken back."""
    return next((name for name in item if name.startswith("y") and mark in members(item, name)), None)


def long_over(item: Item, now: int) -> list[str]:
    """The sets of marks of what is over (`over_at`) for which nothing can ask any more."""
    oldest = (now // SECOND - _KEPT_OVER) // MINUTE_SECONDS
    return _before(item, {"x": oldest, "z": oldest})


def tidy(write: Write, item: Item, lease: int, now: int) -> None:
    """Removes the marks that nothing will ask for any more, and what is left of slots in which all is settled."""
    seconds = now // SECOND
    oldest = {"y": (seconds - _KEPT_TAKEN_BACK) // HOUR_SECONDS, "c": seconds - slot_seconds(lease)}
    for name in (long_over(item, now) + _before(item, oldest))[:TIDIED_AT_ONCE]:
        if write.changes(name) or f"k{name[1:]}" in item:
            continue
        if name.startswith("c"):  # nobody reserves in a slot of the past, unless a sending of that was under way
            write.require_absent(f"k{name[1:]}")
        write.remove(name)


def _before(item: Item, oldest: Mapping[str, int]) -> list[str]:
    """The attributes of these first letters that are named after an earlier time."""
    return [name for name in item if name[0] in oldest and int(name[1:], 36) < oldest[name[0]]]
