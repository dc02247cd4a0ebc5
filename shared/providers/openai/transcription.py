"""Transcription.

Wire format: https://developers.openai.com/api/reference/resources/audio/subresources/transcriptions.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

from pydantic_core import from_json

from shared.errors import UnsupportedFeature
from shared.framing import Frame
from shared.providers.base import Call, FrameDecoder, Reader, TranscriptionAdapter, truncated
from shared.providers.openai.usage import reported_cost
from shared.providers.openai.vendor import raise_error
from shared.providers.openai.vendor import vendor as openai
from shared.schemas.model import Model
from shared.schemas.transcription import (
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

_SUBTITLES = ("srt", "vtt")
# The values that Segment has fields for, and `id`, which is the segment's position.
_OWN_FIELDS = frozenset({"id", "start", "end", "text"})


class OpenAITranscription:
    """Transcripts, whole and streamed.

    Subtitles are never asked for: they are made from the segments of verbose_json, which hold more.
    """

    vendor = openai

    def call(self, request: TranscriptionRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for segments, words or a stream that the model does not support."""
        verbose = request.format in (*_SUBTITLES, "verbose_json") or bool(request.granularities)
        _check_support(request, model, verbose=verbose)
        fields: list[tuple[str, str | Upload | None]] = [
            ("file", request.file),
            ("model", model.upstream),
            *_hints(request, model),
            ("temperature", None if request.temperature is None else str(request.temperature)),
            ("response_format", "verbose_json" if verbose else "json"),
            *(("timestamp_granularities[]", granularity) for granularity in _granularities(request)),
            ("stream", "true" if request.stream else None),
        ]
        form = [(name, value) for name, value in fields if value is not None]
        return Call("/audio/transcriptions", form=form, streamed=request.stream)

    def frames(self) -> FrameDecoder:
        return openai.frames()

    def reader(self, request: TranscriptionRequest) -> Reader[TranscriptEvent]:
        return TranscriptReader()


def _hints(request: TranscriptionRequest, model: Model) -> list[tuple[str, str | Upload | None]]:
    """What the caller knows of the recording."""
    if "languages_list" not in model.quirks:
        return [("language", request.language), ("prompt", request.prompt_with_keywords)]
    languages = (request.language,) if request.language else request.languages
    return [
        *(("languages[]", language) for language in languages),
        ("prompt", request.prompt),
        *(("keywords[]", keyword) for keyword in request.keywords),
    ]


def _granularities(request: TranscriptionRequest) -> list[str]:
    """The granularities to ask for. Subtitles are made of segments, which a request for words alone would not get."""
    wanted = set(request.granularities)
    if wanted and request.format in _SUBTITLES:
        wanted.add("segment")
    return sorted(wanted)


def _check_support(request: TranscriptionRequest, model: Model, *, verbose: bool) -> None:
    if verbose and "json_transcripts" in model.quirks:
        raise UnsupportedFeature(
            f"response_format: the model '{model.id}' returns no timestamps, so it supports json and text only."
        )
    if request.stream and "no_transcript_stream" in model.quirks:
        raise UnsupportedFeature(f"stream: the model '{model.id}' does not stream transcripts.")
    if request.stream and verbose:
        raise UnsupportedFeature("stream: a streamed transcript has no timestamps; use response_format json or text.")


class TranscriptReader:
    """Reads one transcript, whole or streamed. A stream is complete at `transcript.text.done`."""

    def __init__(self) -> None:
        self.done = False

    def body(self, body: bytes) -> Iterator[TranscriptEvent]:
        answer = from_json(body)
        raise_error(answer)
        yield TranscriptDone(_transcript(answer))

    def frame(self, frame: Frame) -> Iterator[TranscriptEvent]:
        if self.done:
            return
        if frame.data.strip() == b"[DONE]":
            raise truncated()
        event = from_json(frame.data)
        kind = event.get("type")
        raise_error(event, named_error="error" in (frame.event, kind))
        if kind == "transcript.text.delta":
            yield TranscriptDelta(event["delta"])
        elif kind == "transcript.text.done":
            self.done = True
            yield TranscriptDone(_transcript(event))

    def end(self) -> tuple[TranscriptEvent, ...]:
        if not self.done:
            raise truncated()
        return ()


def _transcript(answer: JsonObject) -> Transcript:
    duration = answer.get("duration")
    return Transcript(
        text=answer["text"],
        language=_language(answer),
        duration=None if duration is None else float(duration),
        segments=tuple(_segment(segment) for segment in answer.get("segments") or ()),
        words=tuple(_word(word) for word in answer.get("words") or ()),
        usage=_usage(answer.get("usage") or {}, duration),
    )


def _language(answer: JsonObject) -> str | None:
    """whisper-1 returns one language; gpt-transcribe returns a list, which may be empty."""
    codes = [language["code"] for language in answer.get("languages") or ()]
    return answer.get("language") or next(iter(codes), None)


def _segment(segment: JsonObject) -> Segment:
    details = {name: value for name, value in segment.items() if name not in _OWN_FIELDS}
    return Segment(float(segment["start"]), float(segment["end"]), segment["text"], details)


def _word(word: JsonObject) -> Word:
    return Word(word["word"], float(word["start"]), float(word["end"]))


def _usage(usage: JsonObject, duration: float | None) -> Usage:
    """Tokens, or seconds of audio for a model that is charged by them. OpenRouter reports both, and the cost."""
    cost = reported_cost(usage)
    if "input_tokens" in usage:
        details = usage.get("input_token_details") or {}
        return Usage(
            input_tokens=usage["input_tokens"],
            output_tokens=usage.get("output_tokens") or 0,
            input_audio_tokens=details.get("audio_tokens") or 0,
            cost=cost,
        )
    return Usage(audio_seconds=float(usage.get("seconds") or duration or 0), cost=cost)


adapter: TranscriptionAdapter = OpenAITranscription()
