"""When two JSON values are equal, and which subschemas hold for a property."""

from collections.abc import Mapping
from typing import Any

from shared.providers.sandbox.json_schema.budget import Budget
from shared.providers.sandbox.json_schema.patterns import found_in
from shared.providers.sandbox.json_schema.schema import Schema


def property_schemas(schema: Mapping[str, Any], name: str, budget: Budget) -> list[Schema]:
    """Every subschema of one object schema that the value of a property must satisfy."""
    budget.spend()
    holding = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    patterns = schema.get("patternProperties", {})
    holding += [subschema for pattern, subschema in patterns.items() if found_in(pattern, name, budget)]
    if not holding and "additionalProperties" in schema:
        return [schema["additionalProperties"]]
    return holding


def identity(value: Any, budget: Budget) -> Any:
    """A hashable key that is equal for equal JSON values: 1 is 1.0 but not true."""
    budget.spend()
    match value:
        case bool():
            return bool, value
        case list():
            return tuple(identity(item, budget) for item in value)
        case dict():
            return frozenset((key, identity(item, budget)) for key, item in value.items())
        case _:
            return value
