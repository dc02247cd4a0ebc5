"""DynamoDB's expressions, as far as the stores write them: parsed once, then evaluated on items.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

Attribute = Mapping[str, Any]
"""A value with its type as DynamoDB writes it: {"S": "text"}, {"N": "1"}, {"SS": ["a"]} or {"NS": ["1"]}."""
Item = dict[str, Attribute]

_TOKEN = re.compile(r"\s*([#:]?\w+|<=|[=<(),])")
_ELEMENT_OF = {"SS": "S", "NS": "N"}


class InvalidExpression(ValueError):
    """What DynamoDB answers with a ValidationException."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression is evaluated on. `values` and `names` are those of its placeholders."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Attribute]

    def name(self, path: str) -> str:
        return self.names[path] if path.startswith("#") else path


_Operand = Callable[[Scope], Attribute | None]
_Test = Callable[[Scope], bool]
_Change = Callable[[Scope, Item], None]


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition. `placeholders` are all that it uses."""

    holds: _Test
    placeholders: frozenset[str]


@dataclass(frozen=True, slots=True)
class Update:
    """A parsed update: each path that it changes, and how."""

    changes: tuple[tuple[str, _Change], ...]
    placeholders: frozenset[str]

    def applied(self, scope: Scope) -> Item:
        """The item after the update. Raises InvalidExpression where it names an attribute twice."""
        names = [scope.name(path) for path, _ in self.changes]
        if len(set(names)) < len(names):
            raise InvalidExpression("Two document paths overlap with each other")
        after = dict(scope.item)
        for _, change in self.changes:
            change(scope, after)
        return after


@lru_cache(maxsize=4096)
def condition(text: str) -> Condition:
    """Raises InvalidExpression."""
    tokens = _Tokens(text)
    parsed = _any(tokens)
    tokens.end()
    return Condition(parsed, tokens.placeholders)


@lru_cache(maxsize=4096)
def update(text: str) -> Update:
    """Raises InvalidExpression."""
    tokens = _Tokens(text)
    changes: list[tuple[str, _Change]] = []
    while (verb := tokens.next()) in _CLAUSES:
        changes.append(_CLAUSES[verb](tokens))
        while tokens.sees(","):
            changes.append(_CLAUSES[verb](tokens))
        if tokens.is_empty:
            return Update(tuple(changes), tokens.placeholders)
    raise InvalidExpression(f"{verb} is no clause of an update: {text}")


def number(attribute: Attribute) -> int | Decimal:
    text = attribute["N"]
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


class _Tokens:
    """The tokens of an expression, taken from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        found, end = [], 0
        while end < len(text.rstrip()):
            token = _TOKEN.match(text, end)
            if token is None:
                raise InvalidExpression(f"Syntax error at {text[end:]!r}")
            found.append(token[1])
            end = token.end()
        self.placeholders = frozenset(token for token in found if token[0] in "#:")
        self._left = found[::-1]

    @property
    def is_empty(self) -> bool:
        return not self._left

    def next(self) -> str:
        if not self._left:
            raise InvalidExpression(f"The expression ends too soon: {self._text}")
        return self._left.pop()

    def sees(self, token: str) -> bool:
        """Whether this is the next token, which is taken then."""
        found = bool(self._left) and self._left[-1] == token
        if found:
            self._left.pop()
        return found

    def expect(self, token: str) -> None:
        if not self.sees(token):
            raise InvalidExpression(f"{token} is missing in {self._text}")

    def end(self) -> None:
        if self._left:
            raise InvalidExpression(f"Syntax error at {self._left[-1]!r} in {self._text}")


# Conditions.


def _any(tokens: _Tokens) -> _Test:
    parts = [_all(tokens)]
    while tokens.sees("OR"):
        parts.append(_all(tokens))
    return parts[0] if len(parts) == 1 else lambda scope: any(part(scope) for part in parts)


def _all(tokens: _Tokens) -> _Test:
    parts = [_negated(tokens)]
    while tokens.sees("AND"):
        parts.append(_negated(tokens))
    return parts[0] if len(parts) == 1 else lambda scope: all(part(scope) for part in parts)


def _negated(tokens: _Tokens) -> _Test:
    if tokens.sees("NOT"):
        inner = _negated(tokens)
        return lambda scope: not inner(scope)
    return _test(tokens)


def _test(tokens: _Tokens) -> _Test:
    if tokens.sees("("):
        inner = _any(tokens)
        tokens.expect(")")
        return inner
    for name, function in _FUNCTIONS.items():
        if tokens.sees(name):
            tokens.expect("(")
            made = function(tokens)
            tokens.expect(")")
            return made
    return _comparison(tokens)


def _exists(tokens: _Tokens) -> _Test:
    path = tokens.next()
    return lambda scope: scope.name(path) in scope.item


def _not_exists(tokens: _Tokens) -> _Test:
    path = tokens.next()
    return lambda scope: scope.name(path) not in scope.item


def _contains(tokens: _Tokens) -> _Test:
    left, right = _pair(tokens)

    def test(scope: Scope) -> bool:
        held, sought = left(scope), right(scope)
        if held is None or sought is None:
            return False
        ((kind, content),) = held.items()
        if kind == "S":
            return "S" in sought and sought["S"] in content
        return kind in _ELEMENT_OF and _ELEMENT_OF[kind] in sought and sought[_ELEMENT_OF[kind]] in content

    return test


def _begins_with(tokens: _Tokens) -> _Test:
    left, right = _pair(tokens)

    def test(scope: Scope) -> bool:
        pair = _ordered(left(scope), right(scope))
        return pair is not None and isinstance(pair[0], str) and pair[0].startswith(pair[1])

    return test


_FUNCTIONS = {
    "attribute_exists": _exists,
    "attribute_not_exists": _not_exists,
    "contains": _contains,
    "begins_with": _begins_with,
}


def _pair(tokens: _Tokens) -> tuple[_Operand, _Operand]:
    left = _operand(tokens)
    tokens.expect(",")
    return left, _operand(tokens)


def _comparison(tokens: _Tokens) -> _Test:
    left = _operand(tokens)
    match tokens.next():
        case "=":
            right = _operand(tokens)
            return lambda scope: _equal(left(scope), right(scope))
        case "<":
            right = _operand(tokens)
            return lambda scope: _below(left(scope), right(scope))
        case "<=":
            right = _operand(tokens)
            return lambda scope: _at_most(left(scope), right(scope))
        case "BETWEEN":
            low = _operand(tokens)
            tokens.expect("AND")
            high = _operand(tokens)
            return lambda scope: _between(left(scope), low(scope), high(scope))
        case "IN":
            tokens.expect("(")
            among = [_operand(tokens)]
            while tokens.sees(","):
                among.append(_operand(tokens))
            tokens.expect(")")
            return lambda scope: any(_equal(left(scope), one(scope)) for one in among)
        case other:
            raise InvalidExpression(f"{other} compares nothing")


def _operand(tokens: _Tokens) -> _Operand:
    token = tokens.next()
    if token == "size":  # noqa: S105
        tokens.expect("(")
        path = tokens.next()
        tokens.expect(")")
        return lambda scope: _size(scope.item.get(scope.name(path)))
    if token.startswith(":"):
        return lambda scope: scope.values[token]
    return lambda scope: scope.item.get(scope.name(token))


def _size(attribute: Attribute | None) -> Attribute | None:
    if attribute is None:
        return None
    ((kind, content),) = attribute.items()
    if kind not in _ELEMENT_OF:
        raise NotImplementedError(f"the size of {kind}")
    return {"N": str(len(content))}


def _comparable(attribute: Attribute) -> tuple[str, Any]:
    ((kind, content),) = attribute.items()
    match kind:
        case "N":
            return kind, number(attribute)
        case "S":
            return kind, content
        case _:
            return kind, frozenset(content)


def _equal(left: Attribute | None, right: Attribute | None) -> bool:
    return left is not None and right is not None and _comparable(left) == _comparable(right)


def _below(left: Attribute | None, right: Attribute | None) -> bool:
    pair = _ordered(left, right)
    return pair is not None and pair[0] < pair[1]


def _at_most(left: Attribute | None, right: Attribute | None) -> bool:
    pair = _ordered(left, right)
    return pair is not None and pair[0] <= pair[1]


def _between(value: Attribute | None, low: Attribute | None, high: Attribute | None) -> bool:
    if _below(high, low):
        raise InvalidExpression("BETWEEN needs an upper bound that is not below the lower one")
    return _at_most(low, value) and _at_most(value, high)


def _ordered(left: Attribute | None, right: Attribute | None) -> tuple[Any, Any] | None:
    """Both values, if there are two, and they are both numbers or both texts."""
    if left is None or right is None:
        return None
    (left_kind, left_value), (right_kind, right_value) = _comparable(left), _comparable(right)
    return (left_value, right_value) if left_kind == right_kind in ("N", "S") else None


# Updates. Each of these reads one action of a clause.


def _set(tokens: _Tokens) -> tuple[str, _Change]:
    path = tokens.next()
    tokens.expect("=")
    if not tokens.sees("if_not_exists"):
        operand = _operand(tokens)
        return path, lambda scope, after: _put(after, scope.name(path), operand(scope))
    tokens.expect("(")
    existing, operand = _pair(tokens)
    tokens.expect(")")
    return path, lambda scope, after: _put(after, scope.name(path), existing(scope) or operand(scope))


def _put(after: Item, name: str, attribute: Attribute | None) -> None:
    if attribute is None:
        raise InvalidExpression("The provided expression refers to an attribute that does not exist in the item")
    after[name] = attribute


def _add(tokens: _Tokens) -> tuple[str, _Change]:
    path, value = tokens.next(), tokens.next()

    def change(scope: Scope, after: Item) -> None:
        name, given = scope.name(path), scope.values[value]
        before = after.get(name)
        if "N" in given:
            amount = number(given) + number(_same_kind(before, "N")) if before is not None else number(given)
            after[name] = {"N": str(amount)}
        else:
            (kind,) = given
            held = _same_kind(before, kind)[kind] if before is not None else []
            after[name] = {kind: sorted({*held, *given[kind]})}

    return path, change


def _delete(tokens: _Tokens) -> tuple[str, _Change]:
    path, value = tokens.next(), tokens.next()

    def change(scope: Scope, after: Item) -> None:
        name, given = scope.name(path), scope.values[value]
        (kind,) = given
        if kind not in _ELEMENT_OF:
            raise InvalidExpression("DELETE takes elements out of sets only")
        if name not in after:
            return
        left = {*_same_kind(after[name], kind)[kind]} - {*given[kind]}
        if left:
            after[name] = {kind: sorted(left)}
        else:
            del after[name]

    return path, change


def _remove(tokens: _Tokens) -> tuple[str, _Change]:
    path = tokens.next()

    def change(scope: Scope, after: Item) -> None:
        after.pop(scope.name(path), None)

    return path, change


def _same_kind(attribute: Attribute, kind: str) -> Attribute:
    if kind not in attribute:
        raise InvalidExpression("An operand in the update expression has an incorrect data type")
    return attribute


_CLAUSES = {"SET": _set, "ADD": _add, "DELETE": _delete, "REMOVE": _remove}
