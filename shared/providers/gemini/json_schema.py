"""JSON schemas in the subset that Gemini understands."""

from typing import Any

from shared.errors import InvalidRequest
from shared.providers.json_schema import Budget, pointed_at
from shared.schemas.chat import JsonObject

# What responseJsonSchema and parametersJsonSchema understand, `title` left out as it only repeats the name.
_KEPT_KEYWORDS = frozenset(
    {
        "type",
        "description",
        "default",
        "required",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "additionalProperties",
    }
)
_FORMATS = frozenset({"date-time", "date", "time"})


def cleaned(schema: JsonObject, budget: Budget) -> JsonObject:
    """The schema in the subset that Gemini takes: https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support

    References and `allOf` are resolved, since a reference may have nothing beside it and a cycle of required ones is
    refused; `const` becomes `enum`, `oneOf` becomes `anyOf`; other keywords are left out. Raises InvalidRequest for
    what is no schema, a reference that leads nowhere, and a schema that grows beyond the budget.
    """
    try:
        return _SchemaCleaner(schema, budget).clean(schema)
    except (TypeError, AttributeError, RecursionError):
        raise InvalidRequest("The JSON schema is not valid or nested too deeply.") from None


class _SchemaCleaner:
    def __init__(self, root: JsonObject, budget: Budget) -> None:
        self._root = root
        self._budget = budget

    def clean(self, schema: Any, within: frozenset[str] = frozenset()) -> JsonObject:
        """One schema; `within` are the references that led to it."""
        cleaned = self._composed(schema, within)
        # A required name without a property is refused.
        required = [name for name in cleaned.pop("required", ()) if name in cleaned.get("properties", {})]
        return {**cleaned, "required": required} if required else cleaned

    def _composed(self, schema: Any, within: frozenset[str]) -> JsonObject:
        """The schema with what it refers to and what it is composed of; its own keywords win."""
        self._budget.visit(schema)
        if isinstance(schema, bool):
            return {}  # `true`: anything
        composed: JsonObject = {}
        if reference := schema.get("$ref"):
            composed = self._referred(reference, within)
        for member in schema.get("allOf", ()):
            composed = self._overlaid(composed, self._composed(member, within))
        return self._overlaid(composed, self._own(schema, within))

    def _referred(self, reference: str, within: frozenset[str]) -> JsonObject:
        target = self._target(reference)
        if reference in within:
            short: JsonObject = {name: target[name] for name in ("type", "description") if name in target}
            self._budget.inline(short)
            return short
        return self._composed(target, within | {reference})

    def _own(self, schema: JsonObject, within: frozenset[str]) -> JsonObject:
        own = {name: value for name, value in schema.items() if name in _KEPT_KEYWORDS} | _choices(schema)
        if schema.get("format") in _FORMATS:
            own["format"] = schema["format"]
        if alternatives := schema.get("anyOf") or schema.get("oneOf"):
            own["anyOf"] = [self.clean(alternative, within) for alternative in alternatives]
        if "properties" in schema:
            own["properties"] = {name: self.clean(value, within) for name, value in schema["properties"].items()}
        if isinstance(schema.get("additionalProperties"), dict):
            own["additionalProperties"] = self.clean(schema["additionalProperties"], within)
        # A list of items is how older drafts write prefixItems.
        items = schema.get("items")
        if prefix := schema.get("prefixItems") or (items if isinstance(items, list) else None):
            own["prefixItems"] = [self.clean(item, within) for item in prefix]
        if isinstance(items, dict):
            own["items"] = self.clean(items, within)
        return own

    def _target(self, reference: str) -> JsonObject:
        target = pointed_at(self._root, reference)
        if not isinstance(target, dict):
            raise InvalidRequest(f"The JSON schema refers to '{reference[:100]}', which it does not hold.")
        return target

    def _overlaid(self, base: JsonObject, over: JsonObject) -> JsonObject:
        """Both schemas as one; of a keyword that they share, `over` has its way, except that members add up."""
        properties = {**base.get("properties", {}), **over.get("properties", {})}
        required = list(dict.fromkeys((*base.get("required", ()), *over.get("required", ()))))
        self._budget.spend(len(base) + len(over) + len(properties) + len(required))
        both = {"properties": properties, "required": required}
        return {**base, **over, **{name: value for name, value in both.items() if value}}


def _choices(schema: JsonObject) -> JsonObject:
    """`enum` and `const`, which only work for strings and numbers."""
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    usable = [value for value in values if isinstance(value, str | int | float) and not isinstance(value, bool)]
    if usable:
        return {"enum": usable} if "type" in schema else {"enum": usable, "type": _type_of(usable[0])}
    return {"type": _type_of(values[0])} if values and "type" not in schema else {}


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case None:
            return "null"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"
