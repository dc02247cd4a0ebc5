"""The sandbox's values for JSON schemas, judged by the jsonschema library and by pydantic."""

import json
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

from shared.providers.sandbox.json_values import make as make_value
from shared.providers.sandbox.vendor import Unanswerable


def make(schema: Any, prompt: str = "", text: str = "example") -> Any:
    return make_value(schema, prompt, text)


# Satisfiable schemas of the keywords that are honoured.

_NAMES = st.sampled_from(["id", "name", "tags", "größe", "a b", "x/y"])
_SMALL = st.integers(0, 5)
_SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9, allow_nan=False) | st.text(max_size=5)
_FORMATS = ["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "unheard-of"]


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
    limits = {
        draw(st.sampled_from(["minimum", "exclusiveMinimum"])): low,
        draw(st.sampled_from(["maximum", "exclusiveMaximum"])): low + 2 * unit + draw(st.integers(0, 50)),
        "multipleOf": unit,
    }
    return {"type": kind} | {key: limits[key] for key in draw(st.sets(st.sampled_from(sorted(limits))))}


@st.composite
def _arrays(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> dict[str, Any]:
    least, prefix = draw(_SMALL), draw(st.lists(items, max_size=3))
    schema: dict[str, Any] = {"type": "array", "items": draw(items), "minItems": least}
    return schema | ({"prefixItems": prefix} if prefix else {}) | {"maxItems": max(least, len(prefix)) + draw(_SMALL)}


@st.composite
def _objects(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(_NAMES, values, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    closed = {"additionalProperties": False} if draw(st.booleans()) else {}
    return {"type": "object", "properties": properties, "required": required, **closed}


@st.composite
def _combined(draw: st.DrawFn, schemas: st.SearchStrategy[Any]) -> dict[str, Any]:
    schema = draw(schemas)
    tagged = [
        {"type": "object", "properties": {"kind": {"const": tag}, "value": schema}, "required": ["kind"]}
        for tag in ("one", "two")
    ]
    base = {"type": "object", "properties": {"base": schema}, "required": ["base"]}
    return draw(
        st.sampled_from(
            [
                {"anyOf": [False, schema, {"type": "null"}]},
                {"oneOf": tagged},
                {"allOf": [schema, True, {"title": "the same"}, schema]},
                {"allOf": [base], "properties": {"own": schema}, "required": ["own"]},
                {"$ref": "#/$defs/list"},
                {"$ref": "#/$defs/tree", "description": "a tree"},
                {"$ref": "#/$defs/odd~1name"},
            ]
        )
    )


_LEAVES = st.one_of(
    _strings(),
    _numbers("integer"),
    _numbers("number"),
    st.builds(lambda name: {"type": "string", "format": name}, st.sampled_from(_FORMATS)),
    st.builds(lambda values: {"enum": values}, st.lists(_SCALARS, min_size=1, max_size=4)),
    st.builds(lambda value: {"const": value}, _SCALARS.filter(lambda value: value is not None)),
    st.sampled_from(
        [
            {},
            True,
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["null", "integer"]},
            {"type": "string", "default": "standard"},
            {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["ABC"]},
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
    "odd/name": {"type": "integer"},
}


def _faults(value: Any, schema: Any) -> list[str]:
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [error.message for error in validator.iter_errors(value)]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(_SCHEMAS, st.text(max_size=20))
def test_a_satisfiable_schema_gets_a_value_that_satisfies_it(schema: Any, prompt: str) -> None:
    root = {"$defs": _DEFINITIONS, "allOf": [schema]}
    Draft202012Validator.check_schema(root)
    value = make(root, prompt, prompt)
    assert not _faults(value, root)
    assert json.loads(json.dumps(value)) == value
    assert make(root, prompt, prompt) == value


_KEYWORDS = ["type", "$ref", "items", "properties", "enum", "anyOf", "allOf", "required", "minLength", "multipleOf"]
_KEYWORDS += ["minItems", "prefixItems", "examples", "minimum", "format", "maxLength", "maxItems"]


@settings(max_examples=200)
@given(
    st.recursive(
        _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(_KEYWORDS), inner), max_leaves=10
    )
)
def test_what_is_no_schema_is_refused_or_answered(malformed: Any) -> None:
    with suppress(Unanswerable):
        make(malformed)


class _Colour(Enum):
    RED = "red"
    BLUE = "blue"


class _Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class _Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = Field(min_length=2)


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
    wealth: Decimal = Field(gt=0)
    code: str = Field(pattern=r"^[A-Z]{3}-\d+$", examples=["ABC-1"])
    notes: dict[str, int] = Field(default_factory=dict)
    share: float = Field(gt=0, lt=1)


def test_pydantic_accepts_the_value_of_its_own_schema() -> None:
    person = _Person.model_validate(make(_Person.model_json_schema()))
    assert len(person.pets) == 2
    assert person.spouse is None or person.spouse.spouse is None


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"allOf": [False]},
        {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/missing"},
        {"type": "colour"},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100}},
    ],
)
def test_a_schema_of_which_no_value_can_be_made_is_refused(schema: Any) -> None:
    with pytest.raises(Unanswerable):
        make(schema)


def _levels(keyword: str, **more: str) -> dict[str, Any]:
    """A schema of nine levels, each of which has the next one nine times."""
    levels = {f"level{at}": {keyword: [{"$ref": f"#/$defs/level{at + 1}"}] * 9, **more} for at in range(9)}
    return {"$ref": "#/$defs/level0", "$defs": {**levels, "level9": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        _levels("prefixItems", type="array"),
        _levels("allOf"),
        _levels("anyOf"),
        {"properties": {f"child{at}": {"$ref": "#"} for at in range(30)}},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "(.*)*!"},
        {"enum": [f"value {number}" for number in range(50_000)]},
        {"items": {"items": {"items": {"type": "string"}, "minItems": 99}, "minItems": 99}, "minItems": 99},
    ],
)
def test_a_value_stays_small_whatever_the_schema(schema: Any) -> None:
    with suppress(Unanswerable):
        assert len(json.dumps(make(schema, "a" * 500))) < 200_000


def test_the_first_branch_that_comes_to_an_end_is_taken() -> None:
    endless = {"type": "object", "properties": {"self": {"$ref": "#/$defs/endless"}}, "required": ["self"]}
    schema = {"anyOf": [False, {"$ref": "#/$defs/endless"}, {"type": "integer"}], "$defs": {"endless": endless}}
    assert make(schema) == 1


def test_a_recursive_schema_is_followed_once() -> None:
    assert make({"$ref": "#/$defs/list", "$defs": _DEFINITIONS}) == {"value": "example", "next": None}
    assert make({"$ref": "#/$defs/tree", "$defs": _DEFINITIONS}) == {
        "children": [],
        "other": {"value": "example", "next": None},
    }


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "Oslo"),
        ({"type": "string", "maxLength": 2}, "Os"),
        ({"type": "string", "minLength": 6}, "Oslo.."),
        ({"enum": ["celsius", "fahrenheit"]}, "fahrenheit"),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": "integer", "default": 3}, 3),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "integer", "multipleOf": 1009, "minimum": 5000}, 5045),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "number", "minimum": 0.2, "maximum": 0.4}, pytest.approx(0.3)),
    ],
)
def test_values_are_those_of_the_prompt_and_otherwise_the_first(schema: Any, value: Any) -> None:
    assert make(schema, "How warm is it in Oslo, in Fahrenheit?", "Oslo") == value
