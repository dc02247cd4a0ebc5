"""Values are dataclasses as Python has them, but that nothing refuses to change them at run time."""

import copy
import dataclasses
import pickle

import pytest

from shared.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A value."""

    x: int
    names: tuple[str, ...] = ()
    secret: str = dataclasses.field(default="s", repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Ours:
    """What Python makes of the same."""

    x: int
    names: tuple[str, ...] = ()
    secret: str = dataclasses.field(default="s", repr=False)


@dataclass(slots=True)
class Counter:
    """Something that changes."""

    count: int = 0


def test_equal_values_are_equal_and_have_the_same_hash() -> None:
    assert Point(1, ("a",)) == Point(1, ("a",)) != Point(2, ("a",))
    assert {Point(1), Point(1), Point(2)} == {Point(2), Point(1)}


def test_a_value_is_shown_copied_and_replaced_as_pythons_own() -> None:
    point, own = Point(1, ("a",), secret="t"), Ours(1, ("a",), secret="t")
    assert repr(point).removeprefix("Point") == repr(own).removeprefix("Ours")
    assert dataclasses.replace(point, x=2) == Point(2, ("a",), secret="t")
    assert dataclasses.asdict(point) == dataclasses.asdict(own)
    assert copy.copy(point) == pickle.loads(pickle.dumps(point)) == point
    assert Point.__match_args__ == Ours.__match_args__
    assert not hasattr(point, "__dict__")


def test_a_value_of_what_cannot_be_hashed_cannot_either() -> None:
    with pytest.raises(TypeError):
        hash(Point(1, names=["a"]))  # type: ignore[arg-type]


def test_what_changes_cannot_be_hashed() -> None:
    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
    with pytest.raises(TypeError):
        hash(counter)


def test_a_field_that_is_not_compared_is_not_hashed_either() -> None:
    @dataclass(frozen=True, slots=True)
    class Noted:
        x: int
        notes: list[str] = dataclasses.field(default_factory=list, compare=False)

    assert hash(Noted(1, ["a"])) == hash(Noted(1, ["b"]))


def test_a_hash_of_its_own_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Named:
        x: int

        def __hash__(self) -> int:
            return 5

    assert hash(Named(1)) == 5
