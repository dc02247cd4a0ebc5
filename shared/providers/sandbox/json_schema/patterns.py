"""Strings that match a regular expression of the kind that JSON schemas hold.

Understands literals, escapes, classes, groups, alternatives and quantifiers. Assertions are read over: what they say
is left to a check of the result.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, product
from string import ascii_letters, digits, punctuation
from typing import TypeAlias

from shared.providers.sandbox.json_schema.schema import UnsatisfiableSchema

_WORD = ascii_letters + digits + "_"
_PRINTABLE = ascii_letters + digits + punctuation + " "


def _without(excluded: str) -> str:
    return "".join(char for char in _PRINTABLE if char not in excluded)


_CLASSES = {
    "d": digits,
    "w": _WORD,
    "s": " ",
    "D": _without(digits),
    "W": _without(_WORD),
    "S": _without(" "),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_HEX_DIGITS = {"x": 2, "u": 4}

# What may be tried for one node, how far something unbounded is repeated, and how long a string may get.
_VARIETY = 5
_MOST_STRINGS = 100
_MOST_REPEATS = 16
_LONGEST = 100_000


@dataclass(frozen=True, slots=True)
class _Char:
    """One of several characters."""

    options: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    items: "tuple[_Node, ...]"


@dataclass(frozen=True, slots=True)
class _Choice:
    options: "tuple[_Node, ...]"


@dataclass(frozen=True, slots=True)
class _Repeat:
    """`most` is None where there is no limit."""

    item: "_Node"
    least: int
    most: int | None


_Node: TypeAlias = _Char | _Sequence | _Choice | _Repeat

_NOTHING = _Sequence(())


def matches(pattern: str, shortest: int, longest: int | None) -> Iterator[str]:
    """Strings that match `pattern`, with a length within the bounds.

    Raises UnsatisfiableSchema for a pattern that uses more than what is understood here.
    """
    node = _Parser(pattern).parse()
    for repeats in (1, 0, *range(2, max(_MOST_REPEATS, shortest) + 1)):
        for text in islice(_strings(node, repeats), _MOST_STRINGS):
            if shortest <= len(text) and (longest is None or len(text) <= longest):
                yield text


def _strings(node: _Node, repeats: int) -> Iterator[str]:
    """Strings that match a node; `repeats` is how far quantifiers go beyond their least."""
    match node:
        case _Char():
            yield from node.options
        case _Choice():
            yield from chain.from_iterable(_strings(option, repeats) for option in node.options)
        case _Sequence():
            pools = [list(islice(_strings(item, repeats), _VARIETY)) for item in node.items]
            yield from map("".join, product(*pools))
        case _Repeat():
            pool = list(islice(_strings(node.item, repeats), _VARIETY))
            times = node.least + repeats if node.most is None else min(node.most, node.least + repeats)
            if times * max(map(len, pool), default=0) > _LONGEST:
                raise UnsatisfiableSchema("The JSON schema has a pattern that asks for too long a string.")
            yield from ("".join(pool[:1] * shorter) for shorter in range(times, max(node.least, times - 3) - 1, -1))
            yield from map("".join, product(pool, repeat=times))


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._next = 0

    def parse(self) -> _Node:
        node = self._choice()
        if self._peek():
            raise self._unknown()
        return node

    def _unknown(self) -> UnsatisfiableSchema:
        return UnsatisfiableSchema("The sandbox does not understand a pattern in the JSON schema.")

    def _peek(self) -> str:
        return self._pattern[self._next : self._next + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise self._unknown()
        self._next += 1
        return char

    def _accept(self, *texts: str) -> str:
        """Whichever of `texts` comes next, taken; else nothing."""
        found = next((text for text in texts if self._pattern.startswith(text, self._next)), "")
        self._next += len(found)
        return found

    def _choice(self) -> _Node:
        options = [self._sequence()]
        while self._accept("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self) -> _Node:
        items: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._quantified(self._atom()))
        return _Sequence(tuple(items))

    def _atom(self) -> _Node:
        match self._take():
            case "(":
                return self._group()
            case "[":
                return _Char(self._class())
            case ".":
                return _Char(_PRINTABLE)
            case "^" | "$":
                return _NOTHING
            case "\\" if self._accept("b", "B", "A", "Z"):
                return _NOTHING
            case "\\":
                return _Char(self._escape())
            case "*" | "+" | "?":
                raise self._unknown()
            case literal:
                return _Char(literal)

    def _group(self) -> _Node:
        assertion = self._accept("?=", "?!", "?<=", "?<!")
        if self._accept("?P<"):
            while self._take() != ">":
                pass
        elif not self._accept("?:") and self._peek() == "?":
            raise self._unknown()
        node = self._choice()
        if self._take() != ")":
            raise self._unknown()
        return _NOTHING if assertion else node

    def _escape(self) -> str:
        """What may stand for an escape of which the backslash is taken."""
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _HEX_DIGITS:
            code = "".join(self._take() for _ in range(_HEX_DIGITS[char]))
            if 0xD800 <= int(code, 16) <= 0xDFFF:  # half a character, which no UTF-8 text can hold
                raise self._unknown()
            return chr(int(code, 16))
        if char.isalnum():  # a back-reference, a Unicode property
            raise self._unknown()
        return char

    def _class(self) -> str:
        negated = bool(self._accept("^"))
        options = "" if self._peek() != "]" else self._take()
        while not self._accept("]"):
            first = self._class_item()
            if len(first) == 1 and self._peek() == "-" and not self._pattern.startswith("-]", self._next):
                self._take()
                last = self._class_item()
                options += "".join(map(chr, range(ord(first), min(ord(last), ord(first) + 255) + 1)))
            else:
                options += first
        return _without(options) if negated else options

    def _class_item(self) -> str:
        char = self._take()
        return self._escape() if char == "\\" else char

    def _quantified(self, item: _Node) -> _Node:
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if symbol := self._accept(*bounds):
            node = _Repeat(item, *bounds[symbol])
        elif self._peek() == "{" and (found := self._counts()):
            node = _Repeat(item, *found)
        else:
            return item
        self._accept("?")  # whether it is lazy makes no difference to what matches
        return node

    def _counts(self) -> tuple[int, int | None] | None:
        """The numbers of `{2}`, `{2,}`, `{,5}` or `{2,5}`; None where a brace is only a brace."""
        inside, brace, _ = self._pattern[self._next + 1 :].partition("}")
        least, comma, most = inside.partition(",")
        if not brace or not (least + most).isdecimal():
            return None
        self._next += len(inside) + 2
        return int(least or 0), (int(most) if most else None) if comma else int(least)
