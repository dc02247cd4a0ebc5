"""Transcription as OpenAI's SDKs ask for and read it, in five formats and streamed.

https://developers.openai.com/api/reference/resources/audio/subresources/transcriptions
"""

import json
from dataclasses import replace
from typing import Annotated, Any, get_args

from pydantic import Field

from shared.dialects.base import Form, FormWire, Ignored, JsonObject, Unsupported, data_frame, read_form
from shared.dialects.openai.errors import OpenAIDialect
from shared.dialects.openai.subtitles import srt, vtt
from shared.errors import GatewayError, InvalidRequest
from shared.framing import DONE
from shared.schemas.context import RequestContext
from shared.schemas.transcription import (
    Granularity,
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptFormat,
    TranscriptionRequest,
)
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage

_GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
_MAX_HINTS = 100
_MAX_HINT = 200
# A container that may hold film as well as sound is told by its audio type.
_AUDIO = {"audio/wav", "audio/mpeg", "audio/mp4", "audio/webm", "audio/ogg", "audio/flac", "audio/aac"}
_PLAIN: dict[TranscriptFormat, str] = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}


class TranscriptionFields(FormWire):
    """The fields that a request for a transcript has in every dialect."""

    model: Annotated[str, Field(min_length=1)]
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$")] | None = None
    prompt: Annotated[str, Field(max_length=20_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    response_format: TranscriptFormat = "json"


class OpenAITranscription(TranscriptionFields):
    """The fields of /v1/audio/transcriptions."""

    stream: bool = False
    chunking_strategy: Ignored = None  # how a recording is cut before it is heard; each vendor has its own way
    include: Unsupported = None
    known_speaker_names: Unsupported = None
    known_speaker_references: Unsupported = None


def request_of(fields: TranscriptionFields, form: Form, *, stream: bool) -> TranscriptionRequest:
    """Raises InvalidRequest for granularities that do not fit the format, and for a file that is no audio."""
    granularities = _granularities(form)
    if granularities and fields.response_format != "verbose_json":
        raise InvalidRequest.field("timestamp_granularities", "needs response_format verbose_json")
    return TranscriptionRequest(
        model=fields.model,
        file=audio_file(form),
        language=fields.language,
        prompt=fields.prompt,
        temperature=fields.temperature,
        format=fields.response_format,
        granularities=granularities,
        stream=stream,
    )


def audio_file(form: Form) -> Upload:
    """The one file of the form. Raises InvalidRequest."""
    upload = form.only("file")
    if upload.media_type not in _AUDIO:
        raise InvalidRequest.field("file", "is no audio in any of mp3, mp4, mpeg, mpga, m4a, wav, webm, flac, ogg, aac")
    return upload


def _granularities(form: Form) -> frozenset[Granularity]:
    found: set[Granularity] = set()
    for item in _list(form, "timestamp_granularities"):
        if item not in _GRANULARITIES:
            raise InvalidRequest.field("timestamp_granularities", "must be of segment and word")
        found.add(item)
    return frozenset(found)


def _hints(form: Form, name: str) -> tuple[str, ...]:
    """The short texts of a list. Raises InvalidRequest for anything else."""
    hints = _list(form, name)
    if not all(isinstance(hint, str) and len(hint) <= _MAX_HINT for hint in hints) or len(hints) > _MAX_HINTS:
        raise InvalidRequest.field(name, f"must be at most {_MAX_HINTS} texts of at most {_MAX_HINT} characters")
    return tuple(hints)


def _list(form: Form, name: str) -> list[Any]:
    """Repeated fields with and without brackets, JSON arrays, and lists with commas."""
    texts = (*form.fields.get(name, ()), *form.fields.get(f"{name}[]", ()))
    return [item for text in texts for item in _listed(text, name)]


def _listed(text: str, name: str) -> list[Any]:
    if text.lstrip().startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            raise InvalidRequest.field(name, "is not valid JSON") from None
        return items if isinstance(items, list) else [items]
    return [item.strip() for item in text.split(",") if item.strip()]


def transcription(form: Form) -> "TranscriptionOperation":
    """/v1/audio/transcriptions."""
    fields = read_form(OpenAITranscription, form)
    if fields.stream and fields.response_format not in ("json", "text"):
        raise InvalidRequest.field("stream", "is only possible with response_format json or text")
    request = replace(
        request_of(fields, form, stream=fields.stream),
        languages=_hints(form, "languages"),
        keywords=_hints(form, "keywords"),
    )
    return TranscriptionOperation(request)


class TranscriptionOperation:
    """One request for a transcript, answered as OpenAI does: subtitles and text bare, the rest as JSON."""

    def __init__(self, request: TranscriptionRequest) -> None:
        self.request = request

    def body(self, transcript: Transcript, context: RequestContext) -> JsonObject | tuple[str, str]:
        if media_type := _PLAIN.get(self.request.format):
            return media_type, text_of(transcript, self.request)
        return json_body(transcript, self.request)

    def encoder(self, context: RequestContext) -> "TranscriptEncoder":
        return TranscriptEncoder(context.request.id)


def text_of(transcript: Transcript, request: TranscriptionRequest) -> str:
    """The transcript as text, or as the subtitle file that was asked for."""
    match request.format:
        case "srt":
            return srt(transcript)
        case "vtt":
            return vtt(transcript)
        case "text":
            return transcript.text.rstrip("\n") + "\n"
        case _:
            return transcript.text


def json_body(transcript: Transcript, request: TranscriptionRequest) -> JsonObject:
    """`{"text", "usage"}`, for verbose_json with language, duration, segments and words."""
    body: JsonObject = {"text": transcript.text}
    if request.format == "verbose_json":
        body = {
            "task": "transcribe",
            "language": transcript.language or request.language or "",
            "duration": transcript.duration or 0.0,
            "text": transcript.text,
        }
        # Without any granularity, segments are what OpenAI gives.
        if "segment" in request.granularities or not request.granularities:
            body["segments"] = [
                {"id": number, **segment.details, "start": segment.start, "end": segment.end, "text": segment.text}
                for number, segment in enumerate(transcript.segments)
            ]
        if "word" in request.granularities:
            body["words"] = [{"word": word.word, "start": word.start, "end": word.end} for word in transcript.words]
    usage = _usage_body(transcript.usage, by_time=request.format == "verbose_json")
    return {**body, "usage": usage} if usage else body


def _usage_body(usage: Usage, *, by_time: bool = False) -> JsonObject | None:
    """By tokens or, where the vendor counts none, by seconds; `by_time`, as with verbose_json, only by these."""
    if usage.total_tokens and not by_time:
        return {
            "type": "tokens",
            "input_tokens": usage.input_tokens,
            "input_token_details": {
                "audio_tokens": usage.input_audio_tokens,
                "text_tokens": usage.input_tokens - usage.input_audio_tokens,
            },
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        }
    return {"type": "duration", "seconds": usage.audio_seconds} if usage.audio_seconds else None


class TranscriptEncoder:
    """Events as OpenAI streams them: `transcript.text.delta`, then `transcript.text.done` with the whole."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def event(self, event: TranscriptEvent) -> bytes:
        match event:
            case TranscriptDelta():
                return data_frame({"type": "transcript.text.delta", "delta": event.text})
            case TranscriptDone():
                body: JsonObject = {"type": "transcript.text.done", "text": event.transcript.text}
                usage = _usage_body(event.transcript.usage)
                return data_frame({**body, "usage": usage} if usage else body)

    def error(self, error: GatewayError) -> bytes:
        return data_frame(OpenAIDialect().error(error, self._request_id))

    def end(self) -> bytes:
        return DONE
