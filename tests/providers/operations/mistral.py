"""What goes over Mistral's wire for transcripts and speech, by the models of its SDK (mistralai 2.7)."""

import json
import math
import struct
from typing import Any, Literal, NotRequired, TypedDict

from pydantic import ConfigDict, TypeAdapter, with_config

from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import Segment, Transcript, TranscriptionRequest, Word
from shared.schemas.usage import Usage
from tests.providers.operation_wire import Answer, OperationWire, Sent
from tests.providers.operations.openai import AUTH, ENV, FAILURES, MP3, MP3_FILE, form_fields, in_base64, upload

LISTENER, LISTENER_UPSTREAM = "mistral/voxtral-small-transcribe-latest", "voxtral-small-transcribe-latest"
SPEAKER, SPEAKER_UPSTREAM = "mistral/voxtral-mini-tts-latest", "voxtral-mini-tts-latest"
LISTENS, SPEAKS = "/audio/transcriptions", "/audio/speech"


# --- the SDK's models, as far as they are used here


@with_config(ConfigDict(extra="forbid"))
class TranscriptionParams(TypedDict):
    model: str
    file: bytes
    language: NotRequired[str]
    temperature: NotRequired[float]
    stream: NotRequired[bool]
    timestamp_granularities: NotRequired[list[Literal["segment", "word"]]]


class Piece(TypedDict):
    type: Literal["transcription_segment"]
    text: str
    start: float
    end: float
    score: NotRequired[float | None]
    speaker_id: NotRequired[str | None]


class Counts(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_audio_seconds: NotRequired[int | None]


class TranscriptionAnswer(TypedDict):
    model: str
    text: str
    usage: Counts
    language: str | None
    segments: NotRequired[list[Piece]]


@with_config(ConfigDict(extra="forbid"))
class SpeechParams(TypedDict):
    input: str
    model: str
    stream: bool
    voice_id: str
    response_format: Literal["pcm", "wav", "mp3", "flac", "opus"]


def validate_transcription_request(sent: Sent) -> None:
    fields = form_fields(sent, frozenset(), {"temperature": float})
    if "timestamp_granularities" in fields:
        assert "language" not in fields, "not both: https://docs.mistral.ai/studio/audio/speech-to-text/batch"
        fields["timestamp_granularities"] = [fields["timestamp_granularities"]]
    TypeAdapter(TranscriptionParams).validate_python(fields)


def validate_speech_answer(answer: Answer) -> None:
    for line in answer.body.splitlines():
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            assert event["type"] in ("speech.audio.delta", "speech.audio.done")
            assert ("audio_data" in event) == event["type"].endswith("delta")


# --- transcription


def talk(**fields: Any) -> TranscriptionRequest:
    return TranscriptionRequest(model=LISTENER, file=upload(MP3, "talk.mp3"), **fields)


def transcript(text: str = "Hello there.", **more: Any) -> bytes:
    counts = {"prompt_audio_seconds": 3, "prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 384}
    body = {"model": LISTENER_UPSTREAM, "text": text, "language": None, "usage": counts, **more}
    return json.dumps(body).encode()


def piece(text: str, start: float, end: float) -> dict[str, Any]:
    return {"type": "transcription_segment", "text": text, "start": start, "end": end, "speaker_id": None}


transcription = OperationWire(
    operation="transcription",
    adapter="mistral",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(talk(), LISTENS, form=[("file", MP3_FILE), ("model", LISTENER_UPSTREAM)]),
        "everything": Sent(
            talk(language="en", prompt="Names: Zoë.", temperature=0.2, format="text"),
            LISTENS,
            form=[("file", MP3_FILE), ("model", LISTENER_UPSTREAM), ("language", "en"), ("temperature", "0.2")],
        ),
        **{
            name: Sent(
                talk(language="en", **wanted),
                LISTENS,
                form=[("file", MP3_FILE), ("model", LISTENER_UPSTREAM), ("timestamp_granularities", times)],
            )
            for name, times, wanted in (
                ("verbose", "segment", {"format": "verbose_json"}),
                ("subtitles", "segment", {"format": "srt"}),
                ("segments", "segment", {"format": "verbose_json", "granularities": frozenset({"segment"})}),
                ("words", "word", {"format": "verbose_json", "granularities": frozenset({"word"})}),
            )
        },
    },
    answers={
        "text": Answer(
            talk(),
            transcript(),
            Transcript(text="Hello there.", duration=3.0, usage=Usage(audio_seconds=3)),
        ),
        "segments": Answer(
            talk(format="verbose_json"),
            transcript(language="en", segments=[piece(" Hello there.", 0.1, 2.5)]),
            Transcript(
                text="Hello there.",
                language="en",
                duration=3.0,
                segments=(Segment(0.1, 2.5, " Hello there."),),
                usage=Usage(audio_seconds=3),
            ),
        ),
        "words": Answer(
            talk(format="verbose_json", granularities=frozenset({"word"})),
            transcript(segments=[piece("Hello", 0.1, 0.9), piece(" there.", 1, 2.5)]),
            Transcript(
                text="Hello there.",
                duration=3.0,
                words=(Word("Hello", 0.1, 0.9), Word("there.", 1.0, 2.5)),
                usage=Usage(audio_seconds=3),
            ),
        ),
    },
    failures=FAILURES,
    validate_request=validate_transcription_request,
    validate_answer=lambda answer: TypeAdapter(TranscriptionAnswer).validate_json(answer.body),
    refused={
        "segments_and_words": (
            talk(format="verbose_json", granularities=frozenset({"segment", "word"})),
            "timestamp_granularities",
        ),
    },
)


# --- speech

HELLO = SpeechRequest(model=SPEAKER, input="Hello.")


def asked(**fields: Any) -> dict[str, Any]:
    minimal = {
        "model": SPEAKER_UPSTREAM,
        "input": "Hello.",
        "voice_id": "en_paul_neutral",
        "response_format": "mp3",
        "stream": True,
    }
    return minimal | fields


def spoken(*chunks: bytes) -> bytes:
    events: list[dict[str, Any]] = [{"type": "speech.audio.delta", "audio_data": in_base64(chunk)} for chunk in chunks]
    events.append({"type": "speech.audio.done", "usage": {"prompt_tokens": 4, "total_tokens": 9}})
    frames = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return "".join(frames).encode()


FLOATS = struct.pack("<7f", 0.0, 0.5, -0.5, 1.0, -1.0, 1.5, math.nan)
INTEGERS = struct.pack("<7h", 0, 16384, -16384, 32767, -32767, 32767, 0)

speech = OperationWire(
    operation="speech",
    adapter="mistral",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(HELLO, SPEAKS, asked()),
        "everything": Sent(
            SpeechRequest(
                model=SPEAKER, input="Hello.", voice="fr_marie_happy", format="opus", speed=1.5, instructions="Whisper."
            ),
            SPEAKS,
            asked(voice_id="fr_marie_happy", response_format="opus"),
        ),
        "a_voice_of_openais": Sent(
            SpeechRequest(model=SPEAKER, input="Hello.", voice="Nova"), SPEAKS, asked(voice_id="gb_jane_neutral")
        ),
    },
    answers={
        "audio": Answer(HELLO, spoken(MP3[:7], MP3[7:]), MP3, "text/event-stream"),
        "samples": Answer(
            SpeechRequest(model=SPEAKER, input="Hello.", format="pcm"),
            spoken(FLOATS[:5], FLOATS[5:6], FLOATS[6:]),
            INTEGERS,
            "text/event-stream",
        ),
    },
    failures=FAILURES,
    validate_request=lambda sent: TypeAdapter(SpeechParams).validate_python(sent.json, strict=True),
    validate_answer=validate_speech_answer,
    refused={"aac": (SpeechRequest(model=SPEAKER, input="Hello.", format="aac"), "response_format")},
)

wires: list[OperationWire] = [transcription, speech]
