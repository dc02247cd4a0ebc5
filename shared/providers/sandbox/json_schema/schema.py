"""What a JSON schema is here, where its references point, and which subschemas hold for a property."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

Schema: TypeAlias = dict[str, Any] | bool


class UnsatisfiableSchema(ValueError):
    """No value fits the schema, or the sandbox finds none. The message is for the caller."""


def resolve(root: Schema, reference: str) -> Any:
    """The subschema at a JSON pointer (RFC 6901) within the document, such as `#/$defs/Node`."""
    if not reference.startswith("#"):
        raise UnsatisfiableSchema("The JSON schema refers to another document.")
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key) if isinstance(found, list) else key]
        except (LookupError, TypeError, ValueError):
            raise UnsatisfiableSchema(f"The JSON schema has nothing at {reference}.") from None
    return found


def property_schemas(schema: Mapping[str, Any], name: str) -> list[Schema]:
    """Every subschema of one object schema that the value of a property must satisfy."""
    holding = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    patterns = schema.get("patternProperties", {})
    holding += [subschema for pattern, subschema in patterns.items() if re.search(pattern, name)]
    if not holding and "additionalProperties" in schema:
        return [schema["additionalProperties"]]
    return holding


def identity(value: Any) -> Any:
    """A hashable key that is equal for equal JSON values: 1 is 1.0 but not true."""
    match value:
        case bool():
            return bool, value
        case list():
            return tuple(map(identity, value))
        case dict():
            return frozenset((key, identity(item)) for key, item in value.items())
        case _:
            return value
