"""The canonical transcription request, the transcript, and the events of a streamed one.

Values come from vendors: constructing a transcript with an invalid text or time raises TypeError or ValueError.
"""

import math
from dataclasses import field
from typing import Any, Literal, TypeAlias

from shared.dataclass import dataclass
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

TranscriptFormat: TypeAlias = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity: TypeAlias = Literal["segment", "word"]


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """Speech to transcribe. `language` is an ISO 639-1 code, `prompt` shows the style and words to expect.

    `languages` are those that may be spoken, if the caller does not know which. `keywords` are words to expect.
    `format` determines what the caller gets: subtitles and verbose_json need segments, or words if `granularities`
    include them. `temperature` is from 0 to 1.
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
    """A transcript. Values that the vendor does not report are None or empty; `duration` is in seconds, `language` is
    the vendor's name.
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
    """The end of a streamed transcript, with all of it."""

    transcript: Transcript


TranscriptEvent: TypeAlias = TranscriptDelta | TranscriptDone


def _check(text: str, *seconds: float) -> None:
    if not isinstance(text, str):
        raise TypeError("a text is not a string")
    text.encode()  # raises ValueError for a lone surrogate, which JSON can express
    # JSON has neither NaN nor Infinity, but Python reads them.
    if not all(map(math.isfinite, seconds)):
        raise ValueError("a time is not a number")
