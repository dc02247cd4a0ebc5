"""What the adapters share in cleaning up a caller's JSON schemas: references, and a bound on what becomes of them."""

import json
from dataclasses import dataclass
from typing import Any

from shared.errors import InvalidRequest

_MAX_NODES = 10_000  # twice the number of properties that OpenAI takes
_MAX_TEXT = 1_000_000


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
