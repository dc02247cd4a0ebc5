"""The sources of what Gemini says.

Those that it has searched for are in https://ai.google.dev/api/generate-content#GroundingMetadata, those that it quotes
in …#CitationMetadata. Both count bytes of UTF-8.
"""

from collections.abc import Iterator
from dataclasses import field
from typing import Any

from shared.dataclass import dataclass
from shared.schemas.chat import Citation, JsonObject


@dataclass(slots=True)
class Sources:
    """What one candidate's frames have told of its sources."""

    _grounding: JsonObject = field(default_factory=dict)
    _quoted: list[JsonObject] = field(default_factory=list)

    def read(self, candidate: JsonObject) -> None:
        """Takes in the next frame's candidate. A later list stands in the place of an earlier one."""
        grounding = candidate.get("groundingMetadata") or {}
        self._grounding.update((name, value) for name, value in grounding.items() if value)
        quoted = candidate.get("citationMetadata") or {}
        self._quoted = quoted.get("citationSources") or quoted.get("citations") or self._quoted

    @property
    def searches(self) -> int:
        """How often the vendor has searched the web."""
        return len(self._grounding.get("webSearchQueries") or ())

    def citations(self, text: str) -> Iterator[Citation]:
        """The sources, each with the stretch of the candidate's text that it supports."""
        chunks = [_source(chunk) for chunk in self._grounding.get("groundingChunks") or ()]
        if not (chunks or self._quoted):
            return
        encoded = text.encode()
        unused = set(range(len(chunks)))
        for support in self._grounding.get("groundingSupports") or ():
            start, end = _span(support.get("segment") or {}, encoded)
            for index in support.get("groundingChunkIndices") or ():
                unused.discard(index)
                yield from _citation(chunks[index], start, end)
        for index in sorted(unused):
            yield from _citation(chunks[index], 0, 0)
        for source in self._quoted:
            yield from _citation(source, *_span(source, encoded))


def _source(chunk: JsonObject) -> JsonObject:
    """The web page or place of a GroundingChunk; other kinds have no address that a caller could open."""
    source: Any = chunk.get("web") or chunk.get("maps") or {}
    return dict(source)


def _citation(source: JsonObject, start: int, end: int) -> Iterator[Citation]:
    if url := source.get("uri"):
        yield Citation(url=url, title=source.get("title") or "", start=start, end=end)


def _span(segment: JsonObject, text: bytes) -> tuple[int, int]:
    """A segment in characters of all text. The vendor counts from the beginning of a part, but repeats the text."""
    start, end = segment.get("startIndex", 0), segment.get("endIndex", 0)
    quoted = segment.get("text", "").encode()
    if quoted and text[start:end] != quoted and (found := text.find(quoted)) >= 0:
        start, end = found, found + len(quoted)
    return len(text[:start].decode(errors="ignore")), len(text[:end].decode(errors="ignore"))
