"""JSON schemas in the subset that Anthropic accepts."""

import json
from typing import Any

from shared.dataclass import dataclass
from shared.providers.json_schema import Budget, pointed_at, with_null
from shared.schemas.chat import JsonObject

# Keywords that are kept as they are.
_PLAIN_KEYWORDS = frozenset({"type", "const", "default", "required", "title", "description"})
# Keywords that are removed without a note in the description.
_SILENT_KEYWORDS = frozenset({"additionalProperties", "$schema", "$id", "$comment", "examples"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)


@dataclass(frozen=True, slots=True)
class Schema:
    """A caller's schema, and its conversions to what the vendor accepts."""

    root: JsonObject
    budget: Budget

    def compilable(self) -> JsonObject:
        """The schema with only the keywords that the vendor compiles for output and strict tools.

        Objects are closed, alternatives become `anyOf`, `allOf` is merged, and the removed keywords are written into
        the description for the model to see. See
        https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations.
        """
        return self._subset(_never_null(self.root))

    def _subset(self, schema: Any) -> JsonObject:
        if not isinstance(schema, dict):
            return {}
        kept: JsonObject = {}
        notes: JsonObject = {}
        for keyword, value in self._with_all_of_merged(schema).items():
            match keyword:
                case "properties" | "$defs" | "definitions" if isinstance(value, dict):
                    kept[keyword] = {name: self._subset(inner) for name, inner in value.items()}
                case "items" if isinstance(value, dict):
                    kept[keyword] = self._subset(value)
                case "anyOf" | "oneOf" if isinstance(value, list):
                    kept["anyOf"] = [self._subset(inner) for inner in value]
                case "enum" if not any(isinstance(choice, dict | list) for choice in _list(value)):
                    kept[keyword] = value
                case "format" if str(value) in _FORMATS:
                    kept[keyword] = value
                case "minItems" if value in (0, 1):
                    kept[keyword] = value
                case "$ref":
                    kept[keyword] = value
                case _ if keyword in _PLAIN_KEYWORDS:
                    kept[keyword] = value
                case _ if keyword not in _SILENT_KEYWORDS:
                    notes[keyword] = value
        if "$ref" in kept:  # other keywords are refused beside a reference
            return {name: kept[name] for name in ("$ref", "$defs", "definitions") if name in kept}
        if "properties" in kept or "object" in (kept.get("type"), *_list(kept.get("type"))):
            kept["additionalProperties"] = False
        if notes:
            note = ", ".join(f"{keyword}: {json.dumps(value)}" for keyword, value in notes.items())
            self.budget.spend(len(note))
            kept["description"] = f"{kept['description']} ({note})" if kept.get("description") else note
        return kept

    def _with_all_of_merged(self, schema: JsonObject) -> JsonObject:
        """The schema with the parts of its `allOf` merged into it, since references are refused in `allOf`."""
        self.budget.visit(schema)
        schema = with_null(schema)
        merged = {keyword: value for keyword, value in schema.items() if keyword != "allOf"}
        for part in _list(schema.get("allOf")):
            for keyword, value in self._with_all_of_merged(self._resolved(part)).items():
                self.budget.spend(1)
                if keyword == "properties":
                    merged[keyword] = self._joined(_object(merged.get(keyword)), _object(value))
                elif keyword == "required":
                    merged[keyword] = self._union(_list(merged.get(keyword)), _list(value))
                else:
                    merged.setdefault(keyword, value)
        return merged

    def _resolved(self, schema: Any) -> JsonObject:
        """The schema or, if it is a reference within `root`, its target with the keywords beside the reference."""
        reference = _object(schema).get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return _object(schema)
        target = pointed_at(self.root, reference)
        self.budget.inline(target)
        beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        resolved = self._resolved(target)
        self.budget.spend(len(resolved) + len(beside))
        return {**resolved, **beside}

    def object_at_root(self) -> JsonObject:
        """A tool's schema as the vendor accepts it: an object, with no alternatives at its root.

        It has the properties of all alternatives, and requires those that every alternative requires.
        """
        flat = self._with_all_of_merged(_never_null(self._resolved(self.root)))
        for keyword in ("anyOf", "oneOf"):
            branches = [self._resolved(branch) for branch in _list(flat.pop(keyword, None))]
            for branch in branches:
                flat["properties"] = self._joined(_object(branch.get("properties")), _object(flat.get("properties")))
            if common := _required_by_all(branches):
                flat["required"] = self._union(_list(flat.get("required")), common)
        return {**flat, "type": "object"}

    def _joined(self, some: JsonObject, others: JsonObject) -> JsonObject:
        self.budget.spend(len(some) + len(others))
        return {**some, **others}

    def _union(self, some: list[Any], others: list[Any]) -> list[Any]:
        self.budget.spend(len(some) + len(others))
        known = _names(some)
        return some + [value for value in others if not isinstance(value, str) or value not in known]


def _never_null(root: JsonObject) -> JsonObject:
    """A schema's root without `nullable`: it must be an object and nothing else."""
    return {keyword: value for keyword, value in root.items() if keyword != "nullable"}


def _required_by_all(branches: list[JsonObject]) -> list[str]:
    demands = [_names(_list(branch.get("required"))) for branch in branches]
    return [name for name in demands[0] if all(name in demand for demand in demands)] if demands else []


def _names(values: list[Any]) -> dict[str, None]:
    return {value: None for value in values if isinstance(value, str)}


# A caller's schema may be malformed: the vendor's error message says more than ours could.
def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
