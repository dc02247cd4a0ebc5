"""Values made up to satisfy a JSON schema, deterministically and close to what a prompt is about."""

from shared.providers.sandbox.json_schema.budget import Budget
from shared.providers.sandbox.json_schema.hints import LONGEST_HINT, Hints
from shared.providers.sandbox.json_schema.making import make
from shared.providers.sandbox.json_schema.schema import UnsatisfiableSchema

__all__ = ["LONGEST_HINT", "Budget", "Hints", "UnsatisfiableSchema", "make"]
