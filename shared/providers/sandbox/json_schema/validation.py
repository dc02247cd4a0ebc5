"""Whether a value satisfies a JSON schema: JSON Schema 2020-12 as far as model APIs accept it.

https://json-schema.org/draft/2020-12/json-schema-validation. `format` only annotates there, and keywords that are not
known here are ignored.
"""

import math
from typing import Any

from shared.providers.sandbox.json_schema.budget import Budget
from shared.providers.sandbox.json_schema.patterns import found_in
from shared.providers.sandbox.json_schema.schema import Schema, resolve
from shared.providers.sandbox.json_schema.values import identity, property_schemas


def is_valid(value: Any, schema: Schema, root: Schema, budget: Budget) -> bool:
    """Whether `value` satisfies `schema`, whose references point into `root`. OpenAPI's `nullable` counts too."""
    budget.spend(3)
    if isinstance(schema, bool):
        return schema
    if value is None and schema.get("nullable") is True:
        return True
    return (
        _is_of_type(value, schema, budget)
        and _is_allowed(value, schema, budget)
        and _fits_kind(value, schema, root, budget)
        and _fits_combined(value, schema, root, budget)
    )


def _is_of_type(value: Any, schema: dict[str, Any], budget: Budget) -> bool:
    wanted = schema.get("type")
    if wanted is None:
        return True
    budget.spend(1 if isinstance(wanted, str) else len(wanted))
    return any(_is_type(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted))


def _is_type(value: Any, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return _is_number(value) and value == math.floor(value)
        case "number":
            return _is_number(value)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_allowed(value: Any, schema: dict[str, Any], budget: Budget) -> bool:
    if "const" in schema and identity(value, budget) != identity(schema["const"], budget):
        return False
    if "enum" not in schema:
        return True
    key = identity(value, budget)
    return any(identity(allowed, budget) == key for allowed in schema["enum"])


def _fits_combined(value: Any, schema: dict[str, Any], root: Schema, budget: Budget) -> bool:
    budget.spend(len(schema.get("$ref", "")) // 4)
    if "$ref" in schema and not is_valid(value, resolve(root, schema["$ref"]), root, budget):
        return False
    if not all(is_valid(value, branch, root, budget) for branch in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(is_valid(value, branch, root, budget) for branch in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(is_valid(value, branch, root, budget) for branch in schema["oneOf"]) != 1:
        return False
    return "not" not in schema or not is_valid(value, schema["not"], root, budget)


def _fits_kind(value: Any, schema: dict[str, Any], root: Schema, budget: Budget) -> bool:
    if isinstance(value, str):
        return _fits_string(value, schema, budget)
    if isinstance(value, list):
        return _fits_array(value, schema, root, budget)
    if isinstance(value, dict):
        return _fits_object(value, schema, root, budget)
    return not _is_number(value) or _fits_number(value, schema)


def _fits_string(value: str, schema: dict[str, Any], budget: Budget) -> bool:
    budget.spend(len(value) // 16)
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        return False
    return "pattern" not in schema or found_in(schema["pattern"], value, budget)


def _fits_number(value: float, schema: dict[str, Any]) -> bool:
    if not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
        return False
    if not schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf):
        return False
    return "multipleOf" not in schema or _is_multiple(value, schema["multipleOf"])


def _is_multiple(value: float, unit: float) -> bool:
    """By floating point, as validators do it: 0.3 is no multiple of 0.1 there."""
    if isinstance(value, int) and isinstance(unit, int):
        return value % unit == 0
    quotient = value / unit
    return math.isfinite(quotient) and quotient == math.floor(quotient)


def _fits_array(value: list[Any], schema: dict[str, Any], root: Schema, budget: Budget) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return False
    if schema.get("uniqueItems") and len({identity(item, budget) for item in value}) < len(value):
        return False
    prefix = schema.get("prefixItems", [])
    if not all(is_valid(item, subschema, root, budget) for item, subschema in zip(value, prefix, strict=False)):
        return False
    return all(is_valid(item, schema.get("items", True), root, budget) for item in value[len(prefix) :])


def _fits_object(value: dict[str, Any], schema: dict[str, Any], root: Schema, budget: Budget) -> bool:
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
        return False
    budget.spend(len(schema.get("required", ())))
    if not all(name in value for name in schema.get("required", ())):
        return False
    return all(
        is_valid(item, subschema, root, budget)
        for name, item in value.items()
        for subschema in property_schemas(schema, name, budget)
    )
