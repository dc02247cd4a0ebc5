"""What a stream has said so far, in case it breaks off before its provider has reported what it used."""

from shared.gateway.estimates import CHARACTERS_PER_TOKEN, TOKENS_PER_MEDIUM
from shared.schemas.usage import Usage


class StreamedUsage:
    """Counts what is said by each candidate until it is complete."""

    def __init__(self) -> None:
        self._characters = 0
        self._images = 0
        self._open: set[int] = set()

    def said(self, text: str, index: int = 0) -> None:
        """Text, reasoning or a tool call's arguments."""
        if text:
            self._characters += len(text)
            self._open.add(index)

    def made_image(self, index: int) -> None:
        self._images += 1
        self._open.add(index)

    def finished(self, index: int = 0) -> None:
        self._open.discard(index)

    def unreported(self, expected: Usage, reported: Usage) -> Usage:
        """What was probably used beyond what has been reported; nothing where all that had begun is complete."""
        if not self._open:
            return Usage()
        tokens = self._images * TOKENS_PER_MEDIUM
        used = expected.model_copy(
            update={
                "output_tokens": tokens + -(-self._characters // CHARACTERS_PER_TOKEN),
                "output_image_tokens": tokens,
                "images": self._images,
            }
        )
        return Usage(
            **{name: max(0, getattr(used, name) - getattr(reported, name)) for name in Usage.model_fields},
        )
