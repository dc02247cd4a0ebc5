"""Transcription: https://docs.mistral.ai/api/endpoint/audio/transcriptions."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from pydantic_core import from_json

from shared.framing import Frame
from shared.providers.base import Call, FrameDecoder, Reader, TranscriptionAdapter, truncated, unsupported
from shared.providers.openai.vendor import raise_error
from shared.providers.openai.vendor import vendor as mistral
from shared.schemas.model import Model
from shared.schemas.transcription import (
    Granularity,
    Segment,
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
    Word,
)
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

JsonObject: TypeAlias = dict[str, Any]


class MistralTranscription:
    """Transcripts, whole and streamed. `prompt` is not sent: Mistral has no such field and refuses unknown ones."""

    vendor = mistral

    def call(self, request: TranscriptionRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for timestamps of a stream, and for those of words and segments together."""
        times = _times(request)
        if times and request.stream:
            raise unsupported("stream", "a streamed transcript has no timestamps; use response_format json or text.")
        fields: list[tuple[str, str | Upload | None]] = [
            ("file", request.file),
            ("model", model.upstream),
            # Mistral refuses a language together with timestamps.
            ("language", None if times else request.language),
            ("temperature", None if request.temperature is None else str(request.temperature)),
            ("timestamp_granularities", times),
            ("stream", "true" if request.stream else None),
        ]
        form = [(name, value) for name, value in fields if value is not None]
        return Call("/audio/transcriptions", form=form, streamed=request.stream)

    def frames(self) -> FrameDecoder:
        return mistral.frames()

    def reader(self, request: TranscriptionRequest) -> Reader[TranscriptEvent]:
        return _TranscriptReader(_times(request))


def _times(request: TranscriptionRequest) -> Granularity | None:
    """The timestamps to ask for; words and segments are returned in the same list. Subtitles need segments."""
    if request.format in ("srt", "vtt") or request.granularities == {"segment"}:
        return "segment"
    if len(request.granularities) > 1:
        raise unsupported(
            "timestamp_granularities", "this model returns timestamps of segments or of words, not of both."
        )
    if request.granularities:
        return "word"
    return "segment" if request.format == "verbose_json" else None


class _TranscriptReader:
    """Reads one transcript, whole or streamed. A stream is complete at `transcription.done`."""

    def __init__(self, times: Granularity | None) -> None:
        self.done = False
        self._times = times
        self._language: str | None = None

    def body(self, body: bytes) -> Iterator[TranscriptEvent]:
        answer = from_json(body)
        raise_error(answer)
        yield TranscriptDone(self._transcript(answer))

    def frame(self, frame: Frame) -> Iterator[TranscriptEvent]:
        if self.done:
            return
        if frame.data.strip() == b"[DONE]":
            raise truncated()
        event = from_json(frame.data)
        kind = event.get("type")
        raise_error(event, named_error="error" in (frame.event, kind))
        if kind == "transcription.language":
            self._language = event["audio_language"]
        elif kind == "transcription.text.delta":
            yield TranscriptDelta(event["text"])
        elif kind == "transcription.done":
            self.done = True
            yield TranscriptDone(self._transcript(event))

    def end(self) -> tuple[TranscriptEvent, ...]:
        if not self.done:
            raise truncated()
        return ()

    def _transcript(self, answer: JsonObject) -> Transcript:
        pieces = answer.get("segments") or ()
        seconds = (answer.get("usage") or {}).get("prompt_audio_seconds")
        in_words = self._times == "word"
        return Transcript(
            text=answer["text"],
            language=answer.get("language") or self._language,
            duration=None if seconds is None else float(seconds),
            segments=() if in_words else tuple(map(_segment, pieces)),
            words=tuple(map(_word, pieces)) if in_words else (),
            # Transcription is charged by the second; the tokens are not charged.
            usage=Usage(audio_seconds=float(seconds or 0)),
        )


def _segment(piece: JsonObject) -> Segment:
    return Segment(float(piece["start"]), float(piece["end"]), piece["text"])


def _word(piece: JsonObject) -> Word:
    return Word(piece["text"].strip(), float(piece["start"]), float(piece["end"]))


adapter: TranscriptionAdapter = MistralTranscription()
