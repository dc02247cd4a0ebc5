"""A schema with references and combinators, taken apart into plain ones of which any will do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from math import gcd, lcm
from typing import Any

from shared.providers.sandbox.json_schema.budget import Budget
from shared.providers.sandbox.json_schema.schema import Schema, resolve
from shared.providers.sandbox.json_schema.values import identity, property_schemas

_COMBINATORS = frozenset(("$ref", "allOf", "anyOf", "oneOf", "nullable"))


@dataclass(frozen=True, slots=True)
class Plain:
    """Keywords without references and combinators, and the references that led to them.

    `type` is a list here and `const` has become an `enum` of one.
    """

    keywords: dict[str, Any]
    references: frozenset[str] = frozenset()


def alternatives(schema: Schema, root: Schema, budget: Budget, chain: frozenset[str] = frozenset()) -> Iterator[Plain]:
    """The plain schemas whose values, mostly, satisfy `schema`: `not` and the "one" of oneOf are left to a check.

    `chain` holds the references already followed, so that one that leads back to itself ends.
    """
    budget.spend(5)
    if schema is False:
        return
    if schema is True:
        yield Plain({})
        return
    budget.spend(len(schema) + sum(len(schema.get(keyword, ())) for keyword in ("allOf", "anyOf", "oneOf")))
    groups: list[Sequence[Schema]] = [[branch] for branch in schema.get("allOf", ())]
    groups += [sorted(schema[keyword], key=_is_null) for keyword in ("anyOf", "oneOf") if keyword in schema]
    followed: frozenset[str] = frozenset()
    if "$ref" in schema:
        if schema["$ref"] in chain:
            return
        followed = frozenset((schema["$ref"],))
        budget.spend(len(schema["$ref"]) // 4)
        groups.insert(0, [resolve(root, schema["$ref"])])
    yield from _conjoin(Plain(_own_keywords(schema), followed), groups, root, budget, chain | followed)
    if schema.get("nullable") is True:
        yield Plain({"type": ["null"]}, followed)


def _is_null(schema: Schema) -> bool:
    """Null comes last here, too (see `making.py`)."""
    return isinstance(schema, dict) and schema.get("type") == "null"


def _own_keywords(schema: dict[str, Any]) -> dict[str, Any]:
    own = {keyword: value for keyword, value in schema.items() if keyword not in _COMBINATORS}
    if isinstance(own.get("type"), str):
        own["type"] = [own["type"]]
    if "const" in own:
        own["enum"] = [own.pop("const")]
    return own


def _conjoin(
    plain: Plain, groups: Sequence[Sequence[Schema]], root: Schema, budget: Budget, chain: frozenset[str]
) -> Iterator[Plain]:
    """`plain` together with one branch of each group, in every combination."""
    budget.spend(1 + len(groups) // 16)
    if not groups:
        yield plain
        return
    for branch in groups[0]:
        for other in alternatives(branch, root, budget, chain):
            both = Plain(_merged(plain.keywords, other.keywords, budget), plain.references | other.references)
            yield from _conjoin(both, groups[1:], root, budget, chain)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """The keywords whose values satisfy both. Of two patterns or formats the second stays, and a check decides."""
    merged = {**first, **second}
    budget.spend(20 + len(merged))
    for keyword, merge in _MERGES.items():
        if keyword in first and keyword in second:
            merged[keyword] = merge(first[keyword], second[keyword], budget)
    if "properties" in merged:
        merged["properties"] = {
            name: all_of([*property_schemas(first, name, budget), *property_schemas(second, name, budget)])
            for name in {**first.get("properties", {}), **second.get("properties", {})}
        }
    return merged


def all_of(schemas: Sequence[Schema]) -> Schema:
    """One schema for several that hold at once."""
    return schemas[0] if len(schemas) == 1 else {"allOf": list(schemas)}


def _common_types(first: list[str], second: list[str], budget: Budget) -> list[str]:
    budget.spend(2 * len(first) * len(second))

    def among(name: str, names: list[str]) -> bool:
        return name in names or (name == "integer" and "number" in names)

    return [name for name in dict.fromkeys([*first, *second]) if among(name, first) and among(name, second)]


def _common_values(first: list[Any], second: list[Any], budget: Budget) -> list[Any]:
    allowed = {identity(value, budget) for value in second}
    return [value for value in first if identity(value, budget) in allowed]


def _union(first: list[Any], second: list[Any], budget: Budget) -> list[Any]:
    budget.spend(len(first) + len(second))
    return list(dict.fromkeys([*first, *second]))


def _both(first: Schema, second: Schema, _: Budget) -> Schema:
    return all_of([first, second])


def _both_prefixes(first: list[Schema], second: list[Schema], budget: Budget) -> list[Schema]:
    budget.spend(len(first) + len(second))
    return [all_of(pair) for pair in zip_longest(first, second, fillvalue=True)]


def common_multiple(first: float, second: float) -> float:
    """The least number that is a multiple of both."""
    one, other = Fraction(str(first)), Fraction(str(second))
    multiple = Fraction(lcm(one.numerator, other.numerator), gcd(one.denominator, other.denominator))
    return multiple.numerator if multiple.denominator == 1 else float(multiple)


def _larger(first: Any, second: Any, _: Budget) -> Any:
    return max(first, second)


def _smaller(first: Any, second: Any, _: Budget) -> Any:
    return min(first, second)


_MERGES: Mapping[str, Callable[[Any, Any, Budget], Any]] = {
    "type": _common_types,
    "enum": _common_values,
    "required": _union,
    "items": _both,
    "prefixItems": _both_prefixes,
    "additionalProperties": _both,
    "uniqueItems": lambda first, second, _: first or second,
    "multipleOf": lambda first, second, _: common_multiple(first, second),
    "minimum": _larger,
    "exclusiveMinimum": _larger,
    "maximum": _smaller,
    "exclusiveMaximum": _smaller,
    "minLength": _larger,
    "maxLength": _smaller,
    "minItems": _larger,
    "maxItems": _smaller,
    "minProperties": _larger,
    "maxProperties": _smaller,
}
