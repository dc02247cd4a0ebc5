"""What a JSON schema is here, and where its references point."""

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
