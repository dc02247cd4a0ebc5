"""Transcripts: the requests of OpenAI and of compatible vendors, and their answers, whole or streamed."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeAlias

from shared.errors import UnsupportedFeature
from shared.framing import Frame
from shared.providers.base import Call, truncated
from shared.providers.openai.errors import raise_error
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
# What a Segment has fields for, and its number, which is its place.
_OWN_FIELDS = frozenset({"id", "start", "end", "text"})


def call(request: TranscriptionRequest, model: Model) -> Call:
    verbose = request.format in (*_SUBTITLES, "verbose_json") or bool(request.granularities)
    _check_support(request, model, verbose=verbose)
    fields: list[tuple[str, str | Upload | None]] = [
        ("file", request.file),
        ("model", model.upstream),
        ("languages[]" if "languages_list" in model.quirks else "language", request.language),
        ("prompt", request.prompt),
        ("temperature", None if request.temperature is None else str(request.temperature)),
        ("response_format", "verbose_json" if verbose else "json"),
        *(("timestamp_granularities[]", granularity) for granularity in _granularities(request)),
        ("stream", "true" if request.stream else None),
    ]
    return Call("/audio/transcriptions", form=[(name, value) for name, value in fields if value is not None])


def _granularities(request: TranscriptionRequest) -> list[str]:
    """Words alone would come without the segments that subtitles are made of."""
    wanted = set(request.granularities)
    if wanted and request.format in _SUBTITLES:
        wanted.add("segment")
    return sorted(wanted)


def _check_support(request: TranscriptionRequest, model: Model, *, verbose: bool) -> None:
    if verbose and "json_transcripts" in model.quirks:
        raise UnsupportedFeature(
            f"response_format: the model '{model.id}' gives text without times; it has json and text only."
        )
    if request.stream and "no_transcript_stream" in model.quirks:
        raise UnsupportedFeature(f"stream: the model '{model.id}' does not stream transcripts.")
    if request.stream and verbose:
        raise UnsupportedFeature("stream: a streamed transcript has no times, so its response_format is json or text.")


def response(body: bytes) -> Transcript:
    answer = json.loads(body)
    raise_error(answer)
    return _transcript(answer)


async def events(frames: AsyncIterator[Frame]) -> AsyncGenerator[TranscriptEvent, None]:
    async for frame in frames:
        if frame.data.strip() == b"[DONE]":
            break
        event = json.loads(frame.data)
        kind = event.get("type")
        raise_error(event, named_error="error" in (frame.event, kind))
        if kind == "transcript.text.delta":
            yield TranscriptDelta(event["delta"])
        elif kind == "transcript.text.done":
            yield TranscriptDone(_transcript(event))
            return
    raise truncated()


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
    """whisper-1 names one language; gpt-transcribe lists those that it is sure of."""
    codes = [language["code"] for language in answer.get("languages") or ()]
    return answer.get("language") or next(iter(codes), None)


def _segment(segment: JsonObject) -> Segment:
    details = {name: value for name, value in segment.items() if name not in _OWN_FIELDS}
    return Segment(float(segment["start"]), float(segment["end"]), segment["text"], details)


def _word(word: JsonObject) -> Word:
    return Word(word["word"], float(word["start"]), float(word["end"]))


def _usage(usage: JsonObject, duration: float | None) -> Usage:
    """Tokens, or seconds where the model is charged by these."""
    if "input_tokens" in usage:
        details = usage.get("input_token_details") or {}
        return Usage(
            input_tokens=usage["input_tokens"],
            output_tokens=usage.get("output_tokens") or 0,
            input_audio_tokens=details.get("audio_tokens") or 0,
        )
    return Usage(audio_seconds=float(usage.get("seconds") or duration or 0))
