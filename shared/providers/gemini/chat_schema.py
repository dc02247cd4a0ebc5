"""JSON schemas reduced to the subset that Gemini supports."""

from typing import Any

from shared.errors import InvalidRequest
from shared.providers.json_schema import Budget, or_null, pointed_at, with_null
from shared.schemas.chat import JsonObject

# What responseJsonSchema and parametersJsonSchema support, without `title`, which only repeats the property's name.
_SUPPORTED_KEYWORDS = frozenset(
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


def supported_schema(schema: JsonObject, budget: Budget) -> JsonObject:
    """The schema in Gemini's subset: https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support

    References and `allOf` are resolved, since Gemini allows no keyword beside a reference and rejects a cycle of
    required ones; `const` becomes `enum` and `oneOf` becomes `anyOf`; other keywords are dropped. Raises
    InvalidRequest for a value that is not a schema, an unresolvable reference, and a schema that exceeds the budget.
    """
    try:
        # The answer and the arguments of a call are never null.
        root = {name: value for name, value in schema.items() if name != "nullable"}
        return _SchemaReducer(schema, budget).reduce(root)
    except (TypeError, AttributeError, RecursionError):
        raise InvalidRequest("The JSON schema is invalid or nested too deeply.") from None


class _SchemaReducer:
    def __init__(self, root: JsonObject, budget: Budget) -> None:
        self._root = root
        self._budget = budget

    def reduce(self, schema: Any, within: frozenset[str] = frozenset()) -> JsonObject:
        """One schema; `within` holds the references that are being resolved around it."""
        reduced = self._composed(schema, within)
        # Gemini rejects a required name without a property.
        required = [name for name in reduced.pop("required", ()) if name in reduced.get("properties", {})]
        return {**reduced, "required": required} if required else reduced

    def _composed(self, schema: Any, within: frozenset[str]) -> JsonObject:
        """The schema merged with its reference and the members of its `allOf`; its own keywords take precedence."""
        self._budget.visit(schema)
        if isinstance(schema, bool):
            return {}  # `true` allows any value
        schema = _with_null(schema)
        composed: JsonObject = {}
        if reference := schema.get("$ref"):
            composed = self._resolved(reference, within)
        for member in schema.get("allOf", ()):
            composed = self._merged(composed, self._composed(member, within))
        return self._merged(composed, self._own(schema, within))

    def _resolved(self, reference: str, within: frozenset[str]) -> JsonObject:
        target = self._target(reference)
        if reference in within:
            short: JsonObject = {name: target[name] for name in ("type", "description") if name in target}
            self._budget.inline(short)
            return short
        return self._composed(target, within | {reference})

    def _own(self, schema: JsonObject, within: frozenset[str]) -> JsonObject:
        own = {name: value for name, value in schema.items() if name in _SUPPORTED_KEYWORDS} | _choices(schema)
        if schema.get("format") in _FORMATS:
            own["format"] = schema["format"]
        if alternatives := schema.get("anyOf") or schema.get("oneOf"):
            own["anyOf"] = [self.reduce(alternative, within) for alternative in alternatives]
        if "properties" in schema:
            own["properties"] = {name: self.reduce(value, within) for name, value in schema["properties"].items()}
        if isinstance(schema.get("additionalProperties"), dict):
            own["additionalProperties"] = self.reduce(schema["additionalProperties"], within)
        # Before draft 2020-12, `items` as a list is what prefixItems is now.
        items = schema.get("items")
        if prefix := schema.get("prefixItems") or (items if isinstance(items, list) else None):
            own["prefixItems"] = [self.reduce(item, within) for item in prefix]
        if isinstance(items, dict):
            own["items"] = self.reduce(items, within)
        return own

    def _target(self, reference: str) -> JsonObject:
        target = pointed_at(self._root, reference)
        if not isinstance(target, dict):
            raise InvalidRequest(f"The JSON schema refers to '{reference[:100]}', which it does not contain.")
        return target

    def _merged(self, base: JsonObject, over: JsonObject) -> JsonObject:
        """Both schemas in one. `over` takes precedence, except that properties and required names are combined."""
        properties = {**base.get("properties", {}), **over.get("properties", {})}
        required = list(dict.fromkeys((*base.get("required", ()), *over.get("required", ()))))
        self._budget.spend(len(base) + len(over) + len(properties) + len(required))
        both = {"properties": properties, "required": required}
        return {**base, **over, **{name: value for name, value in both.items() if value}}


def _with_null(schema: JsonObject) -> JsonObject:
    """The schema with null as a type: Gemini does not accept it as a value of `enum`."""
    schema = with_null(schema)
    values = schema.get("enum")
    return or_null(schema) if isinstance(values, list) and None in values and len(values) > 1 else schema


def _choices(schema: JsonObject) -> JsonObject:
    """`enum` and `const`, which Gemini supports for strings and numbers only."""
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
