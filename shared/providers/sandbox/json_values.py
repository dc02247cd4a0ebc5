"""Makes a value for a JSON schema, for the arguments of tool calls and for JSON schema output.

The value is built straight from `const`, `enum`, `default`, `examples`, `type`, `properties`, `required`, `items`,
`prefixItems`, `format`, `$ref`, `allOf`, the bounds of numbers, lengths and items, and the first branch of `anyOf` or
`oneOf` of which a value can be made. Other keywords are ignored, `pattern` among them, since matching a caller's
expression may take forever: a string that must match one needs an example or a default.
"""

import math
import re
from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import Any, TypeAlias

from shared.providers.json_schema import pointed_at
from shared.providers.sandbox.vendor import Unanswerable

Schema: TypeAlias = dict[str, Any]

# So that no schema keeps the process busy, however it multiplies itself.
_MOST_VALUES = 2_000
_LONGEST_STRING = 10_000

_FORMATS = {
    "date": "2025-01-31",
    "date-time": "2025-01-31T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "hostname": "host.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/1",
    "uuid": "00000000-0000-4000-8000-000000000001",
}


def make(schema: Any, prompt: str, text: str) -> Any:
    """A value, with the options that the prompt mentions and otherwise the first ones; `text` is for its strings.

    Raises Unanswerable for a schema that is malformed, allows no value, never ends, or asks for too much.
    """
    try:
        return next(_Maker(schema, prompt, text).values(schema))
    except (StopIteration, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError):
        raise Unanswerable(400, "The sandbox cannot make a value for this JSON schema.") from None


class _Maker:
    """`inside` are the references around a schema: one that refers to itself has no values there."""

    def __init__(self, root: Any, prompt: str, text: str) -> None:
        self._root = root
        self._words = set(re.findall(r"\w+", prompt.lower()))
        self._text = text
        self._left = _MOST_VALUES

    def values(self, schema: Any, inside: frozenset[str] = frozenset()) -> Iterator[Any]:
        """At most one value for each branch of the schema."""
        for plain, around in self._plain(schema, inside):
            given = (plain.get("const"), plain.get("default"), *plain.get("examples", ()))
            if options := plain.get("enum"):
                yield next((option for option in options if str(option).lower() in self._words), options[0])
            elif (found := next((value for value in given if value is not None), None)) is not None:
                yield found
            else:
                yield from self._typed(plain, around)

    def _plain(self, schema: Any, inside: frozenset[str]) -> Iterator[tuple[Schema, frozenset[str]]]:
        """The schema with what `$ref` and `allOf` add to it, once for each branch of `anyOf` or `oneOf`."""
        self._left -= 1
        if schema is False or self._left < 0:
            return
        own = {} if schema is True else dict(schema)
        parts = own.pop("allOf", [])
        if (reference := own.pop("$ref", None)) is not None:
            if reference in inside:
                return
            inside |= {reference}
            parts = [pointed_at(self._root, reference), *parts]
        branches = own.pop("anyOf", None) or own.pop("oneOf", None)
        for branch in [[each] for each in branches] if branches else [[]]:
            plain, around = own, inside
            for part in (*parts, *branch):
                added, within = next(self._plain(part, inside), (None, inside))
                if added is None:
                    break
                properties = {**added.get("properties", {}), **plain.get("properties", {})}
                required = [*added.get("required", ()), *plain.get("required", ())]
                plain, around = {**added, **plain, "properties": properties, "required": required}, around | within
            else:
                yield plain, around

    def _typed(self, schema: Schema, inside: frozenset[str]) -> Iterator[Any]:
        kind = schema.get("type", "object" if schema.get("properties") else "array" if "items" in schema else "string")
        match next((each for each in kind if each != "null"), "null") if isinstance(kind, list) else kind:
            case "object":  # with all properties, but for optional ones of which no value can be made
                properties, required = schema.get("properties", {}), schema.get("required", ())
                names = dict.fromkeys((*properties, *required))
                values = ((name, self.values(properties.get(name, True), inside)) for name in names)
                made = {name: value for name, found in values for value in islice(found, 1)}
                yield from [made] if made.keys() >= set(required) else []
            case "array":  # as short as may be, but not empty unless it must be
                first, least = schema.get("prefixItems", []), schema.get("minItems", 0)
                count = min(max(least, len(first), 1), schema.get("maxItems", math.inf), _MOST_VALUES)
                items = islice(chain(first, repeat(schema.get("items", True))), count)
                listed = [value for item in items for value in islice(self.values(item, inside), 1)]
                yield from [listed] if len(listed) >= least else []
            case "string":
                text = _FORMATS.get(schema.get("format", ""), self._text)
                yield text.ljust(min(schema.get("minLength", 0), _LONGEST_STRING), ".")[: schema.get("maxLength")]
            case "integer" | "number" as number:
                yield _number(schema, schema.get("multipleOf", 1 if number == "integer" else None))
            case "boolean":
                yield True
            case "null":
                yield None


def _number(schema: Schema, unit: float | None) -> Any:
    """The first multiple of the unit within the bounds; without a unit any number between them."""
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    low, high = max(schema.get("minimum", -math.inf), above), min(schema.get("maximum", math.inf), below)
    if unit is None and math.isfinite(high - low):
        return (low + high) / 2
    unit = unit or 1
    if math.isinf(low):
        low = 1 if high > 1 else high - unit
    steps = math.ceil(low / unit)
    return (steps + (steps * unit <= above)) * unit
