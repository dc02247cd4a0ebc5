"""JSON schemas in the subset that OpenAI's strict mode accepts."""

from collections.abc import Iterable
from typing import Any

from shared.dataclass import dataclass
from shared.errors import InvalidRequest
from shared.providers.json_schema import Budget, pointed_at, with_null
from shared.schemas.chat import JsonObject

# https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas; OpenAI's own schema helpers know
# more refused keywords than that guide.
_REFUSED_IN_STRICT_SCHEMAS = frozenset(
    {
        "$schema",
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "maxProperties",
        "minContains",
        "minProperties",
        "not",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)


def strict_schema(schema: JsonObject, budget: Budget) -> JsonObject:
    """The schema without the keywords that strict mode refuses, with `allOf` and references inlined where it refuses
    them, and with objects closed.

    What satisfies the result also satisfies the original, apart from the removed keywords. Optional properties stay
    optional: strict mode refuses them, with an error that says so. Raises InvalidRequest for an invalid schema and for
    one that grows beyond the budget.
    """
    try:
        # The root must be an object and nothing else.
        root = {key: value for key, value in schema.items() if key != "nullable"}
        return _StrictSchema(schema, budget).clean_object(root, frozenset())
    except RecursionError:
        raise InvalidRequest("The JSON schema is nested too deeply.") from None
    except (TypeError, AttributeError):
        raise InvalidRequest("The JSON schema is invalid.") from None


@dataclass(slots=True)
class _StrictSchema:
    """The conversion of one schema."""

    root: JsonObject
    budget: Budget

    def clean(self, node: Any, inlined: frozenset[str]) -> Any:
        """The node as strict mode accepts it; `inlined` are the references whose targets contain it."""
        return self.clean_object(node, inlined) if isinstance(node, dict) else node

    def clean_object(self, node: JsonObject, inlined: frozenset[str]) -> JsonObject:
        self.budget.visit(node)
        node = _kept(node)
        reference = node.get("$ref")
        if reference is not None and (len(node) == 1 or reference in inlined):
            return {"$ref": reference}  # the keywords beside a recursive reference are lost
        if node.keys() == {"allOf"} and len(node["allOf"]) == 1:
            return self.clean_object(node["allOf"][0], inlined)
        if reference is not None or "allOf" in node:
            followed: set[str] = set()
            node = self._flat(node, inlined, followed)
            inlined = inlined.union(followed)
        return self._clean_children(node, inlined)

    def _flat(self, node: JsonObject, inlined: frozenset[str], followed: set[str]) -> JsonObject:
        """The node with its reference and its allOf merged into it. Adds each reference it resolves to `followed`."""
        own = _kept(node)
        members = own.pop("allOf", None) or []
        reference = own.pop("$ref", None)
        if reference in inlined:
            raise InvalidRequest("The JSON schema is recursive through allOf.")
        if reference is not None and reference not in followed:
            followed.add(reference)
            members = [self._target(reference), *members]
        for member in members:
            self.budget.visit(member)
        return self._merged([*(self._flat(member, inlined, followed) for member in members), own])

    def _merged(self, schemas: Iterable[JsonObject]) -> JsonObject:
        """One schema for all of them: objects and `required` are merged, of other values the last one wins."""
        merged: JsonObject = {}
        for schema in schemas:
            self.budget.spend(len(schema))
            for key, value in schema.items():
                known = merged.get(key)
                if isinstance(known, dict) and isinstance(value, dict):
                    self.budget.spend(len(known) + len(value))
                    merged[key] = {**known, **value}
                elif key == "required" and known is not None:
                    self.budget.spend(len(known) + len(value))
                    merged[key] = list(dict.fromkeys([*known, *value]))
                else:
                    merged[key] = value
        return merged

    def _clean_children(self, node: JsonObject, inlined: frozenset[str]) -> JsonObject:
        alternatives = [*(node.pop("anyOf", None) or ()), *(node.pop("oneOf", None) or ())]
        if alternatives:
            node["anyOf"] = [self.clean(alternative, inlined) for alternative in alternatives]
        for key in ("properties", "$defs", "definitions"):
            if key in node:
                node[key] = {name: self.clean(child, inlined) for name, child in node[key].items()}
        for key in ("items", "additionalProperties"):
            if key in node:
                node[key] = self.clean(node[key], inlined)
        kinds = node.get("type")
        if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
            node.setdefault("additionalProperties", False)
        return node

    def _target(self, reference: str) -> JsonObject:
        target = pointed_at(self.root, reference)
        if not isinstance(target, dict):
            raise InvalidRequest("The JSON schema refers to a definition that does not exist.")
        return target


def _kept(node: JsonObject) -> JsonObject:
    kept = {key: value for key, value in node.items() if key not in _REFUSED_IN_STRICT_SCHEMAS}
    if kept.get("default", ...) is None:  # OpenAI's own helper drops this one too
        del kept["default"]
    return with_null(kept)
