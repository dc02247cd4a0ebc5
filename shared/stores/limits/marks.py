"""Marks: the short names by which an item knows the reservations that are made in it.

A mark tells of one reservation whether its item still has it, however often a write was sent and whoever wrote in
between. Most are three letters long, so that two hundred of them cost less than the rest of a kilobyte: the first
reservation of a process in an item has a long random mark and draws a number there, the process's *seat*; from then on
two letters name the seat and the third one of its reservations. No two processes that live at the same time have the
same seat, as long as fewer than 8,281 others have come in between.
"""

import os

LETTERS = "".join(letter for letter in map(chr, range(33, 127)) if letter not in '"+\\')
WITHOUT_PLACE = "+"
"""What the mark of a reservation begins with that takes no place in flight."""
_LONG = 7
_REMEMBERED = 1000


class Marks:
    """The marks that this process gives."""

    def __init__(self) -> None:
        self._seats: dict[str, _Seat] = {}

    def new(self, item: str, *, place: bool = True) -> str:
        """A mark that nobody else has in an item."""
        seat = self._seats.get(item)
        mark = None if seat is None else seat.take()
        if mark is None:
            self._seats.pop(item, None)
            mark = random_mark()
        return mark if place else WITHOUT_PLACE + mark

    def sit(self, item: str, number: int) -> None:
        """Takes the seat of the number that was drawn, unless another was drawn meanwhile."""
        if item in self._seats:
            return
        high, low = divmod(number % len(LETTERS) ** 2, len(LETTERS))
        self._seats[item] = _Seat(LETTERS[high] + LETTERS[low])
        if len(self._seats) > _REMEMBERED:
            self._seats.pop(next(iter(self._seats)))

    def free(self, item: str, mark: str) -> None:
        """Lets a mark be given again: nothing that was ever sent with it can arrive any more."""
        if (seat := self._seats.get(item)) is not None:
            seat.free(mark.removeprefix(WITHOUT_PLACE))


class _Seat:
    """The marks of one process in one item, each given as late as possible after it was given before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._free = dict.fromkeys(LETTERS)

    def take(self) -> str | None:
        letter = next(iter(self._free), None)
        if letter is None:
            return None
        del self._free[letter]
        return self._name + letter

    def free(self, mark: str) -> None:
        if mark.startswith(self._name) and len(mark) == len(self._name) + 1:
            self._free[mark[-1]] = None


def random_mark() -> str:
    """A mark that needs no seat."""
    number, letters = int.from_bytes(os.urandom(8)), ""
    for _ in range(_LONG):
        number, digit = divmod(number, len(LETTERS))
        letters += LETTERS[digit]
    return letters


def asks_for_seat(mark: str) -> bool:
    """Whether the reservation that has such a mark is to draw a number."""
    return len(mark.removeprefix(WITHOUT_PLACE)) == _LONG


def places(marks: frozenset[str]) -> int:
    """How many of the reservations take a place in flight."""
    return sum(not mark.startswith(WITHOUT_PLACE) for mark in marks)
