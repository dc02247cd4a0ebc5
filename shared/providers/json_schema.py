"""What the adapters share in cleaning up a caller's JSON schemas: references, and a bound on what becomes of them."""

import json
from typing import Any

from shared.dataclass import dataclass
from shared.errors import InvalidRequest
from shared.schemas.chat import JsonObject

_MAX_NODES = 10_000  # twice the number of properties that OpenAI takes
_MAX_TEXT = 1_000_000

_NULL = {"type": "null"}
# Keywords that restrict the value whatever `type` says, so that adding null to `type` is not enough.
_WITHOUT_NULL = frozenset({"$ref", "allOf", "enum", "const"})
# Keywords that stay outside when a schema is wrapped in `anyOf`.
_AROUND_ALTERNATIVES = frozenset({"$schema", "$id", "$defs", "definitions", "title", "description", "default"})


@dataclass(slots=True)
class Budget:
    """What the schemas of one request may still grow to; a reference costs a line and may stand for a megabyte."""

    nodes: int = _MAX_NODES
    text: int = _MAX_TEXT

    def visit(self, schema: Any) -> None:
        """Pays for a schema without the schemas within it, which are visited themselves."""
        self.nodes -= 1
        self.spend(_own_size(schema))

    def inline(self, schema: Any) -> None:
        """Pays for a schema and all within it."""
        self.nodes -= 1
        self.spend(_size(schema))

    def spend(self, text: int) -> None:
        """Pays for characters, or for entries of lists and objects that are copied."""
        self.text -= text
        if self.nodes < 0 or self.text < 0:
            raise InvalidRequest("The JSON schema is too intricate for this model.")


def with_null(schema: JsonObject) -> JsonObject:
    """The schema with OpenAPI's `nullable` expressed in JSON Schema; nested schemas are left unchanged."""
    if "nullable" not in schema:
        return schema
    plain = {keyword: value for keyword, value in schema.items() if keyword != "nullable"}
    return or_null(plain) if schema["nullable"] is True else plain


def or_null(schema: JsonObject) -> JsonObject:
    """A schema that also allows null."""
    if not schema.keys().isdisjoint(_WITHOUT_NULL):
        around = {keyword: value for keyword, value in schema.items() if keyword in _AROUND_ALTERNATIVES}
        inner = {keyword: value for keyword, value in schema.items() if keyword not in _AROUND_ALTERNATIVES}
        return {**around, "anyOf": [_without_null(inner), _NULL]}
    wider = dict(schema)
    for keyword in ("anyOf", "oneOf"):
        if isinstance(alternatives := schema.get(keyword), list) and _NULL not in alternatives:
            wider[keyword] = [*alternatives, _NULL]
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(kinds, list) and "null" not in kinds:
        wider["type"] = [*kinds, "null"]
    return wider


def _without_null(schema: JsonObject) -> JsonObject:
    """The schema without null among its types and values; some providers require the values to match the type."""
    narrower = dict(schema)
    if isinstance(values := schema.get("enum"), list):
        narrower["enum"] = [value for value in values if value is not None]
    if isinstance(kinds := schema.get("type"), list) and len(others := [kind for kind in kinds if kind != "null"]) == 1:
        narrower["type"] = others[0]
    return narrower


def pointed_at(root: Any, reference: str) -> Any:
    """What a reference within the document points to (RFC 6901), None where it leads nowhere or out of it."""
    target = root if reference == "#" or reference.startswith("#/") else None
    for step in reference.split("/")[1:]:
        target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
    return target


def _own_size(schema: Any) -> int:
    if not isinstance(schema, dict):
        return _size(schema)
    size = 0
    for keyword, value in schema.items():
        size += len(keyword)
        match keyword:
            case "properties" | "$defs" | "definitions" if isinstance(value, dict):
                size += sum(len(name) + _size_unless_schema(inner) for name, inner in value.items())
            case "allOf" | "anyOf" | "oneOf" if isinstance(value, list):
                size += sum(_size_unless_schema(inner) for inner in value)
            case "items" | "additionalProperties":
                size += _size_unless_schema(value)
            case _:
                size += _size(value)
    return size


def _size_unless_schema(value: Any) -> int:
    return 1 if isinstance(value, dict) else _size(value)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))
