"""The canonical transcription request, the transcript, and the events of a streamed one.

Transcripts come from vendors: texts that are none and times that are no numbers raise TypeError or ValueError when one
is made.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

TranscriptFormat: TypeAlias = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity: TypeAlias = Literal["segment", "word"]


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """Speech to be written down. `language` is an ISO 639-1 code, `prompt` shows the style and words to expect.

    `languages` are those that may be spoken, where the caller does not know which. `keywords` are words to expect.
    `format` says what of the transcript the caller will see: subtitles and verbose_json need segments, or words where
    `granularities` say so. `temperature` is from 0 to 1.
    """

    model: str
    file: Upload
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    temperature: float | None = None
    format: TranscriptFormat = "json"
    granularities: frozenset[Granularity] = frozenset()
    stream: bool = False

    @property
    def prompt_with_keywords(self) -> str | None:
        """The prompt of a vendor that has no field for keywords."""
        return "\n".join(filter(None, (self.prompt, ", ".join(self.keywords)))) or None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech; `start` and `end` in seconds. `details` are the vendor's further values by OpenAI's names:
    seek, tokens, temperature, avg_logprob, compression_ratio, no_speech_prob.
    """

    start: float
    end: float
    text: str
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.text, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word; `start` and `end` in seconds."""

    word: str
    start: float
    end: float

    def __post_init__(self) -> None:
        _check(self.word, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said. Whatever the vendor does not tell is None or empty; `duration` is in seconds, `language` as the
    vendor names it.
    """

    text: str
    language: str | None = None
    duration: float | None = None
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        _check(self.text, self.duration or 0.0, self.usage.audio_seconds)
        _check(self.language or "")


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """The next words of a streamed transcript."""

    text: str

    def __post_init__(self) -> None:
        _check(self.text)


@dataclass(frozen=True, slots=True)
class TranscriptDone:
    """The end of a streamed transcript, which it holds whole."""

    transcript: Transcript


TranscriptEvent: TypeAlias = TranscriptDelta | TranscriptDone


def _check(text: str, *seconds: float) -> None:
    if not isinstance(text, str):
        raise TypeError("a text that is none")
    text.encode()  # half of a surrogate pair, which JSON can express, is a ValueError
    # JSON has neither NaN nor Infinity, but Python reads them.
    if not all(map(math.isfinite, seconds)):
        raise ValueError("a time that is no number")
