"""What a prompt suggests for the values of a schema."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

# Words that make a property ask for a name, or for what the prompt is about.
_NAME_WORDS = ("location", "city", "place", "country", "town", "address", "destination", "origin", "region", "name")
_TEXT_WORDS = ("query", "question", "prompt", "text", "message", "content", "input", "search", "topic", "subject")

# Capitalised words, "New York" as one, that do not merely begin a sentence.
_PROPER_NAME = re.compile(r"(?<=[\w,;:(\"'] )[A-ZÀ-ÖØ-Þ]\w+(?: [A-ZÀ-ÖØ-Þ]\w+)*|(?<=[(\"'])[A-ZÀ-ÖØ-Þ]\w+")


@dataclass(frozen=True, slots=True)
class Hints:
    """`text` is the prompt, `proper_name` the first name in it; `variant` chooses between equally good values."""

    text: str = ""
    proper_name: str | None = None
    variant: int = 0

    @classmethod
    def of(cls, prompt: str, variant: int = 0) -> "Hints":
        """The hints of a prompt."""
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

    def in_order(self, values: Sequence[Any]) -> list[Any]:
        """The values of an enumeration: those that the prompt mentions, then the others from `variant` on."""
        start = self.variant % len(values) if values else 0
        turned = [*values[start:], *values[:start]]
        return sorted(turned, key=lambda value: not self._mentions(value))

    def _mentions(self, value: Any) -> bool:
        """Whether the prompt has the value as a word or words of its own."""
        whole = rf"(?<!\w){re.escape(str(value))}(?!\w)"
        return isinstance(value, str) and re.search(whole, self.text, re.IGNORECASE) is not None
