"""What a prompt suggests for the values of a schema."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.providers.sandbox.json_schema.budget import Budget

# Words that make a property ask for a name, or for what the prompt is about.
_NAME_WORDS = ("location", "city", "place", "country", "town", "address", "destination", "origin", "region", "name")
_TEXT_WORDS = ("query", "question", "prompt", "text", "message", "content", "input", "search", "topic", "subject")

# Capitalised words, "New York" as one, that do not merely begin a sentence.
_PROPER_NAME = re.compile(r"(?<=[\w,;:(\"'] )[A-ZÀ-ÖØ-Þ]\w+(?: [A-ZÀ-ÖØ-Þ]\w+)*|(?<=[(\"'])[A-ZÀ-ÖØ-Þ]\w+")


# How much of a prompt is read for hints.
LONGEST_HINT = 2_000


@dataclass(frozen=True, slots=True)
class Hints:
    """`text` is the prompt, `proper_name` the first name in it; `variant` chooses between equally good values."""

    text: str = ""
    proper_name: str | None = None
    variant: int = 0

    @classmethod
    def of(cls, prompt: str, variant: int = 0) -> "Hints":
        """The hints of a prompt, of which only the beginning is read."""
        prompt = prompt[:LONGEST_HINT]
        found = _PROPER_NAME.search(prompt)
        return cls(prompt, found[0] if found else None, variant)

    def naming(self, name: str) -> "Hints":
        """The same hints about another name."""
        return replace(self, proper_name=name)

    def for_string(self, property_name: str) -> str | None:
        """What the prompt holds for a string of that property; the root's property name is empty."""
        words = property_name.lower()
        if self.proper_name and any(word in words for word in _NAME_WORDS):
            return self.proper_name
        if self.text and (not words or any(word in words for word in _TEXT_WORDS)):
            return self.text
        return None

    def varied(self, variant: int) -> "Hints":
        """The same hints for another choice between equally good values."""
        return replace(self, variant=variant)

    def in_order(self, values: Sequence[Any], budget: Budget) -> list[Any]:
        """The values of an enumeration: those that the prompt mentions, then the others from `variant` on."""
        start = self.variant % len(values) if values else 0
        turned = [*values[start:], *values[:start]]
        return sorted(turned, key=lambda value: not self._mentions(value, budget))

    def _mentions(self, value: Any, budget: Budget) -> bool:
        """Whether the prompt has the value as a word or words of its own."""
        budget.spend(2)
        if not isinstance(value, str) or value.lower() not in self.text.lower():
            return False
        budget.spend(100)  # to compile it and to search the text
        return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", self.text, re.IGNORECASE) is not None
