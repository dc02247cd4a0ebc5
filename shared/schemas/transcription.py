"""The canonical transcription request, the transcript, and the events of a streamed one."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

TranscriptFormat: TypeAlias = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity: TypeAlias = Literal["segment", "word"]


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """Speech to be written down. `language` is an ISO 639-1 code, `prompt` shows the style and words to expect.

    `format` says what of the transcript the caller will see: subtitles and verbose_json need segments, or words where
    `granularities` say so. `temperature` is from 0 to 1.
    """

    model: str
    file: Upload
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    format: TranscriptFormat = "json"
    granularities: frozenset[Granularity] = frozenset()
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech; `start` and `end` in seconds. `details` are the vendor's further values by OpenAI's names:
    seek, tokens, temperature, avg_logprob, compression_ratio, no_speech_prob.
    """

    start: float
    end: float
    text: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word; `start` and `end` in seconds."""

    word: str
    start: float
    end: float


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


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """The next words of a streamed transcript."""

    text: str


@dataclass(frozen=True, slots=True)
class TranscriptDone:
    """The end of a streamed transcript, which it holds whole."""

    transcript: Transcript


TranscriptEvent: TypeAlias = TranscriptDelta | TranscriptDone
