"""Strings that match a regular expression of the kind that JSON schemas hold.

Understands literals, escapes, classes, groups, alternatives and quantifiers. Making strings reads over assertions: what
they say is left to the check of the result. That check is not `re`'s, which may try forever: it follows every way
through the pattern at once, and each step is counted.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import islice, product
from string import ascii_letters, digits, punctuation
from typing import TypeAlias

from shared.providers.sandbox.json_schema.budget import Budget
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
_LONGEST_PATTERN = 2_000


@dataclass(frozen=True, slots=True)
class _Char:
    """One of several characters: `options` to choose from, and `source`, the expression of all that it matches."""

    options: str
    source: re.Pattern[str]


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


@dataclass(frozen=True, slots=True)
class _Assertion:
    """What must hold at a place: an anchor's symbol, or a look-around's and what it looks for."""

    kind: str
    item: "_Node | None" = None


_Node: TypeAlias = _Char | _Sequence | _Choice | _Repeat | _Assertion


def matches(pattern: str, shortest: int, longest: int | None, budget: Budget) -> Iterator[str]:
    """Strings that match `pattern`, with a length within the bounds.

    Raises UnsatisfiableSchema for a pattern that uses more than what is understood here.
    """
    node = _parsed(pattern, budget)
    most = max(_MOST_REPEATS, shortest)
    fewest = bisect_left(range(most + 1), shortest, key=lambda repeats: _reach(node, repeats, budget))
    for repeats in (1, 0, *range(max(2, fewest), most + 1)):
        if repeats < fewest:
            continue
        for text in islice(_strings(node, repeats, budget), _MOST_STRINGS):
            if shortest <= len(text) and (longest is None or len(text) <= longest):
                yield text


def found_in(pattern: str, text: str, budget: Budget) -> bool:
    """Whether `pattern` matches anywhere in the text, as `re.search` has it.

    Raises UnsatisfiableSchema as `matches` does.
    """
    budget.spend(5 + len(text) // 4)
    return bool(_ends(_parsed(pattern, budget), text, frozenset(range(len(text) + 1)), budget))


def _parsed(pattern: str, budget: Budget) -> "_Node":
    if pattern not in budget.memo:
        if len(pattern) > _LONGEST_PATTERN:
            raise UnsatisfiableSchema("The JSON schema has too long a pattern for the sandbox.")
        budget.spend(20 + 10 * len(pattern))
        re.compile(pattern)  # for what is no pattern at all
        budget.memo[pattern] = _Parser(pattern).parse()
    node: _Node = budget.memo[pattern]
    return node


def _times(node: _Repeat, repeats: int) -> int:
    return node.least + repeats if node.most is None else min(node.most, node.least + repeats)


def _reach(node: _Node, repeats: int, budget: Budget) -> int:
    """The length of the longest string that is made for a node with that many repeats."""
    budget.spend()
    match node:
        case _Char():
            return 1
        case _Choice():
            return max(_reach(option, repeats, budget) for option in node.options)
        case _Sequence():
            return sum(_reach(item, repeats, budget) for item in node.items)
        case _Repeat():
            return _times(node, repeats) * _reach(node.item, repeats, budget)
        case _Assertion():
            return 0


def _strings(node: _Node, repeats: int, budget: Budget) -> Iterator[str]:
    """Strings that match a node; `repeats` is how far quantifiers go beyond their least."""
    budget.spend(3)
    match node:
        case _Char():
            yield from node.options
        case _Choice():
            for option in node.options:
                yield from _strings(option, repeats, budget)
        case _Sequence():
            pools = [list(islice(_strings(item, repeats, budget), _VARIETY)) for item in node.items]
            yield from _joined(product(*pools), budget)
        case _Repeat():
            pool = list(islice(_strings(node.item, repeats, budget), _VARIETY))
            times = _times(node, repeats)
            if times * max(map(len, pool), default=0) > _LONGEST or times > _LONGEST:
                raise UnsatisfiableSchema("The JSON schema has a pattern that asks for too long a string.")
            budget.spend(times // 8)
            yield from _joined(
                (tuple(pool[:1] * shorter) for shorter in range(times, max(node.least, times - 3) - 1, -1)), budget
            )
            yield from _joined(product(pool, repeat=times), budget)
        case _Assertion():
            yield ""


def _joined(rows: Iterator[tuple[str, ...]], budget: Budget) -> Iterator[str]:
    for row in rows:
        text = "".join(row)
        budget.spend(1 + len(row) // 16 + len(text) // 64)
        yield text


def _ends(node: _Node, text: str, starts: Set[int], budget: Budget) -> Set[int]:
    """Where matches of a node may end that begin at one of `starts`."""
    budget.spend(1 + len(starts) // 2)
    match node:
        case _Char(source=source):
            return {start + 1 for start in starts if start < len(text) and source.match(text[start])}
        case _Choice():
            return set().union(*(_ends(option, text, starts, budget) for option in node.options))
        case _Sequence():
            for item in node.items:
                if not starts:
                    break
                starts = _ends(item, text, starts, budget)
            return starts
        case _Repeat():
            return _repeated_ends(node, text, starts, budget)
        case _Assertion():
            return {start for start in starts if _holds(node, text, start, budget)}


def _repeated_ends(node: _Repeat, text: str, starts: Set[int], budget: Budget) -> Set[int]:
    for _ in range(node.least):
        before, starts = starts, _ends(node.item, text, starts, budget)
        if starts == before:  # and so it stays
            break
    found, newest = set(starts), starts
    more = 0
    while newest and (node.most is None or more < node.most - node.least):
        newest = _ends(node.item, text, newest, budget) - found
        found |= newest
        more += 1
    return found


def _holds(node: _Assertion, text: str, place: int, budget: Budget) -> bool:
    budget.spend()
    match node.kind:
        case "^" | "A":
            return place == 0
        case "$":
            return place == len(text) or text[place:] == "\n"
        case "Z":
            return place == len(text)
        case "b" | "B":
            before, after = (
                bool(re.match(r"\w", text[at : at + 1])) if at >= 0 else False for at in (place - 1, place)
            )
            return (before != after) == (node.kind == "b")
        case "?=" | "?!":
            assert node.item is not None
            return bool(_ends(node.item, text, {place}, budget)) == (node.kind == "?=")
        case _:  # looking back, over as many characters as there always are
            assert node.item is not None
            start = place - _reach(node.item, 0, budget)
            behind = start >= 0 and place in _ends(node.item, text, {start}, budget)
            return behind == (node.kind == "?<=")


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
        start = self._next
        match self._take():
            case "(":
                return self._group()
            case "[":
                return self._char(self._class(), start)
            case ".":
                return self._char(_PRINTABLE, start)
            case "^" | "$" as edge:
                return _Assertion(edge)
            case "\\" if anchor := self._accept("b", "B", "A", "Z"):
                return _Assertion(anchor)
            case "\\":
                return self._char(self._escape(), start)
            case "*" | "+" | "?":
                raise self._unknown()
            case literal:
                return _Char(literal, re.compile(re.escape(literal)))

    def _char(self, options: str, start: int) -> _Node:
        return _Char(options, re.compile(self._pattern[start : self._next]))

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
        return _Assertion(assertion, node) if assertion else node

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
