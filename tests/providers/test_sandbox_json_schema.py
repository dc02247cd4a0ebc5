"""The sandbox's values for JSON schemas, judged by the jsonschema library."""

import json
import random
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from shared.providers.sandbox.json_schema import Budget, Hints, UnsatisfiableSchema, make
from shared.providers.sandbox.json_schema.validation import is_valid

# Satisfiable schemas: every composition below keeps at least one value.

_NAMES = st.sampled_from(["id", "name", "city", "tags", "next", "größe", "a b", "x/y", "~"])
_SMALL = st.integers(0, 5)
_SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9, allow_nan=False) | st.text(max_size=5)
_PATTERNS = st.sampled_from(
    [
        "^[a-z]+$",
        r"^\d{3}-\d{4}$",
        "^(red|green|blue)$",
        r"^[A-Z]{2,3}[0-9]*$",
        r"^https?://[\w.-]+(:\d+)?/$",
        r"^#(?:[0-9a-fA-F]{3}){1,2}$",
        r"^\S+@\S+\.[a-z]{2,}$",
        r"^[^\s,]+(,[^\s,]+)+$",
        r"a.c",
        r"^(?P<year>\d{4})-(0[1-9]|1[0-2])$",
        r"^(?=.{4,})\w+?$",
        r"^\x41[\u00e4-\u00fc]\.\-$",
        r"^[]a-]{2}$",
        r"^a{,2}$",
        r"\bword\b|^$",
        "",
    ]
)
_FORMATS = st.sampled_from(
    ["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "regex", "unheard-of"]
)


@st.composite
def _strings(draw: st.DrawFn) -> dict[str, Any]:
    least = draw(st.integers(0, 30))
    lengths = {"minLength": least, "maxLength": least + draw(_SMALL)}
    return {"type": "string"} | {key: lengths[key] for key in draw(st.sets(st.sampled_from(sorted(lengths))))}


@st.composite
def _numbers(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Bounds that are at least two units apart, so that a multiple lies strictly between them."""
    unit = draw(st.sampled_from([1, 3, 7, 100] if kind == "integer" else [1, 5, 0.5, 0.25, 2.5]))
    low = draw(st.integers(-1000, 1000) | st.floats(-1000, 1000))
    high = low + 2 * unit + draw(st.integers(0, 50))
    limits = {
        draw(st.sampled_from(["minimum", "exclusiveMinimum"])): low,
        draw(st.sampled_from(["maximum", "exclusiveMaximum"])): high,
        "multipleOf": unit,
    }
    return {"type": kind} | {key: limits[key] for key in draw(st.sets(st.sampled_from(sorted(limits))))}


@st.composite
def _arrays(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> dict[str, Any]:
    least = draw(_SMALL)
    if draw(st.booleans()):
        many = st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "number", "minimum": 3}, True])
        return {"type": "array", "items": draw(many), "minItems": least, "uniqueItems": True}
    prefix = draw(st.lists(items, max_size=3))
    schema: dict[str, Any] = {"type": "array", "items": draw(items), "minItems": least}
    if prefix:
        schema["prefixItems"] = prefix
    if draw(st.booleans()):
        schema["maxItems"] = least + draw(_SMALL)
    return schema


@st.composite
def _objects(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(_NAMES, values, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    match draw(st.integers(0, 4)):
        case 0:
            schema["additionalProperties"] = False
        case 1:
            schema |= {"additionalProperties": {"type": "integer"}, "minProperties": draw(_SMALL)}
        case 2:
            schema["maxProperties"] = len(required) + draw(_SMALL)
        case 3:
            schema["required"] = [*required, "undeclared"]
        case _:
            pass
    return schema


@st.composite
def _combined(draw: st.DrawFn, schemas: st.SearchStrategy[Any]) -> dict[str, Any]:
    schema = draw(schemas)
    match draw(st.integers(0, 6)):
        case 0:
            return {"anyOf": draw(st.lists(schemas, min_size=1, max_size=3))}
        case 1:
            return {"anyOf": [False, {"type": "null"}, schema]}
        case 2:
            return {"allOf": [schema, True, {"title": "the same"}, schema]}
        case 3:
            tagged = [
                {"type": "object", "properties": {"kind": {"const": tag}, "value": schema}, "required": ["kind"]}
                for tag in ("one", "two", 3)
            ]
            return {"oneOf": tagged}
        case 4:
            base = {"type": "object", "properties": {"base": schema}, "required": ["base"]}
            return {"allOf": [base], "properties": {"own": schema}, "required": ["own"]}
        case 5:
            return {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 4}]}
        case _:
            return {"$ref": draw(st.sampled_from(["#/$defs/list", "#/$defs/tree", "#/$defs/odd~1name%25"]))}


_LEAVES = st.one_of(
    _strings(),
    _numbers("integer"),
    _numbers("number"),
    st.builds(lambda pattern: {"type": "string", "pattern": pattern}, _PATTERNS),
    st.builds(lambda name: {"type": "string", "format": name}, _FORMATS),
    st.builds(lambda values: {"enum": values}, st.lists(_SCALARS, min_size=1, max_size=4)),
    st.builds(lambda value: {"const": value}, _SCALARS | st.lists(_SCALARS, max_size=2)),
    st.sampled_from(
        [
            {},
            True,
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["null", "integer"]},
            {"type": ["string", "null"]},
            {"type": "string", "nullable": True},
            {"type": "string", "default": "standard", "examples": ["one"]},
            {"type": "integer", "default": "not valid", "examples": [None]},
            {"not": {"type": ["string", "integer"]}},
            {"minimum": 3},
            {"minItems": 2},
            {"required": ["a"]},
        ]
    ),
)
_SCHEMAS = st.recursive(_LEAVES, lambda inner: _arrays(inner) | _objects(inner) | _combined(inner), max_leaves=8)

_DEFINITIONS = {
    "list": {
        "type": "object",
        "properties": {"value": {}, "next": {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]}},
        "required": ["value", "next"],
        "additionalProperties": False,
    },
    "tree": {
        "type": "object",
        "properties": {
            "left": {"$ref": "#/$defs/tree"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            "other": {"$ref": "#/$defs/list"},
        },
        "required": ["children"],
    },
    "odd/name%": {"type": "integer"},
}


def _faults(value: Any, schema: Any) -> list[str]:
    checker = Draft202012Validator.FORMAT_CHECKER
    validator = Draft202012Validator(schema, format_checker=checker)
    return [error.message for error in validator.iter_errors(value)]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_SCHEMAS, st.text(max_size=20), st.integers(-3, 1000))
def test_a_satisfiable_schema_gets_a_value_that_satisfies_it(schema: Any, prompt: str, variant: int) -> None:
    root = {"$defs": _DEFINITIONS, "allOf": [schema]}
    Draft202012Validator.check_schema(root)
    value = make(root, Hints.of(prompt, variant))
    assert not _faults(value, root)
    assert json.loads(json.dumps(value)) == value
    assert make(root, Hints.of(prompt, variant)) == value


_WILD_KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"]),
    "enum": st.lists(_SCALARS, max_size=3),
    "minLength": _SMALL,
    "maxLength": _SMALL,
    "pattern": _PATTERNS,
    "minimum": st.floats(-9, 9),
    "exclusiveMaximum": st.floats(-9, 9),
    "multipleOf": st.floats(0.01, 5),
    "minItems": _SMALL,
    "maxItems": _SMALL,
    "uniqueItems": st.booleans(),
    "required": st.lists(_NAMES, max_size=3, unique=True),
    "minProperties": _SMALL,
    "maxProperties": _SMALL,
    "$ref": st.sampled_from(["#/$defs/list", "#/$defs/tree"]),
}


def _wild(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    nested: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(_NAMES, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "e"]), inner, max_size=1),
        "additionalProperties": inner,
        "items": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=3),
        "oneOf": st.lists(inner, min_size=1, max_size=3),
        "allOf": st.lists(inner, min_size=1, max_size=3),
        "not": inner,
    }
    return st.fixed_dictionaries({}, optional=nested | _WILD_KEYWORDS)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=_WILD_KEYWORDS), _wild, max_leaves=6))
def test_any_schema_gets_a_valid_value_or_is_refused(schema: Any) -> None:
    root = {"$defs": _DEFINITIONS, **schema} if isinstance(schema, dict) else schema
    try:
        value = make(root)
    except UnsatisfiableSchema:
        return
    assert not _faults(value, root)


@settings(max_examples=200, deadline=None)
@given(_SCHEMAS, st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner), max_leaves=5))
def test_the_check_agrees_with_jsonschema(schema: Any, value: Any) -> None:
    root = {"$defs": _DEFINITIONS, "allOf": [schema]}
    if '"nullable"' not in json.dumps(schema):
        assert is_valid(value, root, root, Budget()) == Draft202012Validator(root).is_valid(value)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        _SCALARS,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "$ref",
                        "items",
                        "properties",
                        "enum",
                        "anyOf",
                        "required",
                        "pattern",
                        "minLength",
                        "multipleOf",
                        "minItems",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_what_is_no_schema_raises_nothing_else(malformed: Any) -> None:
    with suppress(UnsatisfiableSchema):
        make(malformed)


class _Colour(Enum):
    RED = "red"
    BLUE = "blue"


class _Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class _Dog(BaseModel):
    kind: Literal["dog"]
    tricks: set[str] = Field(min_length=2)


class _Person(BaseModel, extra="forbid"):
    name: str = Field(min_length=1, max_length=10)
    born: date
    seen: datetime | None = None
    id: UUID
    address: IPv4Address
    favourite: _Colour
    pets: list[Annotated[_Cat | _Dog, Field(discriminator="kind")]] = Field(min_length=2)
    spouse: "_Person | None"
    size: tuple[int, float]
    wealth: Decimal = Field(gt=0, decimal_places=2)
    code: str = Field(pattern=r"^[A-Z]{3}-\d+$")
    notes: dict[str, int] = Field(default_factory=dict, min_length=1)
    share: float = Field(gt=0, lt=1)


def test_pydantic_accepts_the_value_of_its_own_schema() -> None:
    person = _Person.model_validate(make(_Person.model_json_schema()))
    assert person.spouse is not None
    assert person.spouse.spouse is None


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/missing"},
        {"type": "string", "pattern": r"^(a)\1$"},
        {"type": "string", "pattern": "("},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True},
        {"type": "colour"},
        {"type": "integer", "multipleOf": 0},
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused(schema: Any) -> None:
    with pytest.raises(UnsatisfiableSchema):
        make(schema)


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_FLAG = {"type": "boolean"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        # What one branch of an allOf says of properties that only another one names.
        (
            {"allOf": [_object(a={"const": 1}) | {"additionalProperties": {"type": "integer"}}, _object("b", b={})]},
            {"a": 1, "b": 1},
        ),
        (
            {"allOf": [{"required": ["d"]}, {"required": ["c"]}], "maxProperties": 2}
            | _object(a=_FLAG, c=_FLAG, d=_FLAG),
            {"c": True, "d": True},
        ),
        ({"allOf": [{"type": "string", "minLength": 9}, {"minLength": 5}]}, "example example"),
        ({"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6.5}]}, 52),
        ({"allOf": [{"type": ["integer", "string"]}, {"type": ["number", "null"]}]}, 1),
        ({"allOf": [{"enum": [1, "a", True]}, {"enum": [True, "a"]}]}, "a"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 1.5),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]} | _object(a=_FLAG, b=_FLAG), {"a": True}),
        ({"anyOf": [{"type": "integer", "default": "x"}, {"type": "string", "format": "date"}]}, 1),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "integer", "multipleOf": 1009, "minimum": 5000}, 5045),
        ({"type": "number", "minimum": 0.2, "exclusiveMaximum": 0.4}, 0.3),
        ({"type": "number", "exclusiveMaximum": -3}, -3.5),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 12, "uniqueItems": True}, [*range(1, 13)]),
        (
            {"type": "array", "items": _object("a", "b", a=_FLAG, b=_FLAG), "minItems": 4, "uniqueItems": True},
            [{"a": a, "b": b} for a in (True, False) for b in (True, False)],
        ),
        (
            {"type": "array", "items": {"minLength": 5, "maxLength": 5}, "minItems": 2, "uniqueItems": True},
            ["examp", "aaaxx"],
        ),
        (
            {"type": "object", "patternProperties": {"^p": _FLAG}, "minProperties": 2},
            {"property1": True, "property2": True},
        ),
        ({"type": "string", "pattern": "^[a-z]+-[^a-zA-Z0-9]+$", "minLength": 9}, "aaaa-!!!!"),
    ],
)
def test_a_schema_with_few_values_gets_one_of_them(schema: Any, value: Any) -> None:
    assert not _faults(value, schema)
    assert make(schema) == value


def test_values_come_from_the_prompt_where_the_property_asks_for_them() -> None:
    schema = {
        "type": "object",
        "properties": {
            "location": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "query": {"type": "string", "maxLength": 11},
            "title": {"type": "string"},
            "days": {"type": "integer", "default": 3},
        },
    }
    assert make(schema, Hints.of("What is the weather in New York, in Fahrenheit?")) == {
        "location": "New York",
        "unit": "fahrenheit",
        "query": "What is the",
        "title": "example title",
        "days": 3,
    }


def test_a_variant_chooses_other_values() -> None:
    schema = {"enum": ["red", "green", "blue"]}
    assert [make(schema, Hints(variant=variant)) for variant in range(4)] == ["red", "green", "blue", "red"]


def test_a_recursive_schema_is_followed_once() -> None:
    assert make({"$ref": "#/$defs/list", "$defs": _DEFINITIONS}) == {
        "value": "example value",
        "next": {"value": "example value", "next": None},
    }


def test_a_wide_recursive_schema_stays_small() -> None:
    node = {"type": "object", "properties": {f"child{i}": {"$ref": "#/$defs/node"} for i in range(30)}}
    value = make({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert len(value) == 30
    assert not any(value.values())


def test_a_schema_of_exponential_size_is_given_up() -> None:
    levels = {f"level{i}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/level{i + 1}"}] * 4} for i in range(12)}
    with pytest.raises(UnsatisfiableSchema, match="intricate"):
        make({"$ref": "#/$defs/level0", "$defs": {**levels, "level12": {"type": "boolean"}}})


def test_the_order_of_a_set_does_not_decide() -> None:
    """Strings hash differently in each process; the value may not depend on it."""
    names = [f"p{i}" for i in range(9)]
    parts = [{"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]} for name in names]
    random.Random(1).shuffle(parts)
    assert list(make({"allOf": parts})) == [part["required"][0] for part in parts]
