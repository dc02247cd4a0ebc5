"""Values made up to satisfy a JSON schema, deterministically and close to what a prompt is about."""

from shared.providers.sandbox.json_schema.hints import Hints
from shared.providers.sandbox.json_schema.making import make
from shared.providers.sandbox.json_schema.schema import UnsatisfiableSchema

__all__ = ["Hints", "UnsatisfiableSchema", "make"]
