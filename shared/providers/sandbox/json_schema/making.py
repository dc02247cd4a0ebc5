"""The maker: tries values from the likeliest on, until one satisfies the schema."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

from shared.providers.sandbox.json_schema.alternatives import Plain, all_of, alternatives
from shared.providers.sandbox.json_schema.budget import Budget
from shared.providers.sandbox.json_schema.hints import Hints
from shared.providers.sandbox.json_schema.numbers import numbers
from shared.providers.sandbox.json_schema.schema import Schema, UnsatisfiableSchema
from shared.providers.sandbox.json_schema.strings import strings
from shared.providers.sandbox.json_schema.validation import is_valid
from shared.providers.sandbox.json_schema.values import identity, property_schemas

# Bounds that keep any schema's cost small: values tried for one of them, different values of each
# child that are combined, levels that a value may have below the point where its schema recurs, and its length.
_MOST_TRIES = 300
_COMBINED = 6
_MOST_LEVELS = 8
_LARGEST = 100_000

_ANY_TYPE = ("string", "integer", "object", "array", "boolean", "null", "number")

# What a schema without `type` is about, by the keywords that it has.
_IMPLIED_BY = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def make(schema: Schema, hints: Hints | None = None, budget: Budget | None = None) -> Any:
    """A JSON value that satisfies `schema` (JSON Schema 2020-12; the keywords of `validation.py`).

    Optional properties are there, too, and lists have an item; where a schema recurs, only what it requires.
    Raises UnsatisfiableSchema, also for a schema that is malformed or too intricate to be solved by trying
    within `budget`.
    """
    budget = budget or Budget()
    try:
        budget.spend(30)
        return next(_Maker(schema, hints or Hints(), budget).candidates(schema, "", frozenset(), None))
    except UnsatisfiableSchema:
        raise
    except StopIteration:
        raise UnsatisfiableSchema("The sandbox finds no value that satisfies the JSON schema.") from None
    # A keyword's value is not what the keyword takes, a pattern is none, or a reference leads in circles.
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error):
        raise UnsatisfiableSchema("The sandbox does not understand the JSON schema.") from None


class _Maker:
    """One search. `room` is how many levels of nesting are left; None while the schema has not recurred."""

    def __init__(self, root: Schema, hints: Hints, budget: Budget) -> None:
        self._root = root
        self._hints = hints
        self._budget = budget

    def candidates(self, schema: Schema, name: str, path: frozenset[str], room: int | None) -> Iterator[Any]:
        """Values that satisfy `schema`, best first; `name` is the property's, `path` the references that led here."""
        self._budget.spend(10)
        for plain in alternatives(schema, self._root, self._budget):
            recurs = room is None and plain.references & path
            for enough in range(_MOST_LEVELS) if recurs else (room,):
                for value in self._values(plain, name, path | plain.references, enough):
                    # Both: a value that was made for one branch of an anyOf should not get by on another's account.
                    if self._is_valid(value, plain.keywords) and self._is_valid(value, schema):
                        yield value

    def _is_valid(self, value: Any, schema: Schema) -> bool:
        return is_valid(value, schema, self._root, self._budget)

    def _values(self, plain: Plain, name: str, path: frozenset[str], room: int | None) -> Iterator[Any]:
        """Values that probably satisfy a plain schema."""
        keywords = plain.keywords
        if any(keywords.get(least, 0) > _LARGEST for least in ("minLength", "minItems", "minProperties")):
            raise UnsatisfiableSchema("The JSON schema asks for too long a value.")
        if "enum" in keywords:
            yield from self._hints.in_order(keywords["enum"], self._budget)
            return
        types = keywords.get("type") or _implied_types(keywords)
        free = "string" in types and keywords.keys().isdisjoint(("format", "pattern"))
        if free and (hint := self._hints.for_string(name)):
            yield hint[: keywords.get("maxLength")]
        if keywords.get("default") not in (None, "", [], {}):
            yield keywords["default"]
        yield from keywords.get("examples", ())
        for kind in sorted(types, key=_is_null):
            yield from islice(self._of_type(kind, keywords, name, path, room), _MOST_TRIES)

    def _of_type(
        self, kind: str, keywords: dict[str, Any], name: str, path: frozenset[str], room: int | None
    ) -> Iterator[Any]:
        match kind:
            case "string":
                yield from strings(keywords, name, self._hints.variant, self._budget)
            case "integer" | "number":
                yield from numbers(keywords, whole=kind == "integer")
            case "boolean":
                yield from (True, False)
            case "null":
                yield None
            case "array":
                yield from self._arrays(keywords, name, path, room)
            case "object":
                yield from self._objects(keywords, path, room)

    def _pool(self, schema: Schema, name: str, path: frozenset[str], room: int | None, size: int) -> list[Any]:
        """The first `size` values of a child; none where no level is left for it."""
        if room == 0:
            return []
        return list(islice(self.candidates(schema, name, path, None if room is None else room - 1), size))

    def _arrays(self, keywords: dict[str, Any], name: str, path: frozenset[str], room: int | None) -> Iterator[Any]:
        prefix, items = keywords.get("prefixItems", []), keywords.get("items", True)
        distinct = bool(keywords.get("uniqueItems"))
        least = keywords.get("minItems", 0)
        longest = max(least, len(prefix) or 1) if room is None else least
        for length in range(min(longest, keywords.get("maxItems", longest)), least - 1, -1):
            # Few values at first: only the rare array that fails with them is worth more.
            for size in (length, length + _COMBINED) if distinct else (1, _COMBINED):
                self._budget.spend(length)
                pools = [self._pool(schema, name, path, room, size) for schema in prefix[:length]]
                if length > len(prefix):
                    pools += [self._pool(items, name, path, room, size)] * (length - len(prefix))
                yield from map(list, _distinct(pools, self._budget) if distinct else _rows(pools, self._budget))

    def _objects(self, keywords: dict[str, Any], path: frozenset[str], room: int | None) -> Iterator[Any]:
        required = frozenset(keywords.get("required", []))
        for names in _property_names(keywords, self._budget, lean=room is not None):
            for size in (1, _COMBINED):
                pools = {
                    name: self._pool(all_of(property_schemas(keywords, name, self._budget)), name, path, room, size)
                    for name in names
                }
                possible = {name: pool for name, pool in pools.items() if pool or name in required}
                for row in _rows([*possible.values()], self._budget):
                    yield dict(zip(possible, row, strict=True))


def _is_null(kind: str) -> bool:
    """Null comes last: where a value may be missing, one that is there shows more."""
    return kind == "null"


def _implied_types(keywords: dict[str, Any]) -> Sequence[str]:
    implied = [kind for kind, telling in _IMPLIED_BY.items() if not keywords.keys().isdisjoint(telling)]
    return [*implied, *(kind for kind in _ANY_TYPE if kind not in implied)]


def _property_names(keywords: dict[str, Any], budget: Budget, *, lean: bool) -> Iterator[list[str]]:
    """The sets of properties worth trying: all that there are, unless `lean`, then as few as may be."""
    required = keywords.get("required", [])
    declared = list(dict.fromkeys([*keywords.get("properties", {}), *required]))
    needed = frozenset(required)
    budget.spend(len(declared) + len(required) + keywords.get("minProperties", 0))
    optional = [name for name in declared if name not in needed]
    extra = [f"property{number}" for number in range(1, keywords.get("minProperties", 0) + 1)]
    fewest = max(0, keywords.get("minProperties", 0) - len(required))
    most = max(0, keywords.get("maxProperties", len(declared)) - len(required))
    choices = [[*optional, *extra][:fewest]]
    if not lean and most > fewest:
        choices.insert(0, optional[:most])
    for chosen in choices:
        wanted = needed.union(chosen)
        yield [name for name in [*declared, *extra] if name in wanted]


def _rows(pools: Sequence[Sequence[Any]], budget: Budget) -> Iterator[tuple[Any, ...]]:
    """The rows of one value from each pool."""
    budget.spend(sum(map(len, pools)))
    for row in product(*pools):
        budget.spend(1 + len(row) // 4)
        yield row


def _distinct(pools: Sequence[Sequence[Any]], budget: Budget) -> Iterator[tuple[Any, ...]]:
    """The rows of one value from each pool in which no value comes twice."""
    keyed: dict[int, dict[Any, Any]] = {}
    for pool in pools:
        if id(pool) not in keyed:
            keyed[id(pool)] = {identity(value, budget): value for value in reversed(pool)}
    if len(frozenset().union(*keyed.values())) < len(pools):
        return
    columns = [[*reversed(keyed[id(pool)].items())] for pool in pools]
    budget.spend(sum(map(len, columns)) // 8)
    row: list[tuple[Any, Any]] = []
    used: set[Any] = set()
    left = [iter(columns[0])] if columns else []
    if not columns:
        yield ()
    while left:
        budget.spend()
        if len(row) == len(left):  # the value that was tried last
            used.discard(row.pop()[0])
        for key, value in left[-1]:
            budget.spend()
            if key not in used:
                used.add(key)
                row.append((key, value))
                break
        else:
            left.pop()
            continue
        if len(row) < len(columns):
            left.append(iter(columns[len(row)]))
        else:
            budget.spend(len(row) // 4)
            yield tuple(value for _, value in row)
