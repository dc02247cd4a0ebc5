"""Transcription: `POST /transcription` takes a recording in base64 and answers with the events of a transcript.

The sandbox writes down the very words that it spoke itself, and for other recordings sentences chosen by their hash.
"""

import hashlib
import io
import re
import struct
import wave
from base64 import b64decode, b64encode
from itertools import accumulate
from typing import Any

from shared.audio.bounds import longest_seconds
from shared.media import SNIFF_BYTES, sniff
from shared.providers.base import Call, LocalAnswer, TranscriptionAdapter
from shared.providers.sandbox import tokens, wire
from shared.schemas import transcription as schema
from shared.schemas.model import Model
from shared.schemas.usage import Usage

_SENTENCES = (
    "The old captain slowly crosses the bridge.",
    "My neighbour has found a paper map.",
    "Our guide will soon leave the station.",
)
_SECONDS_A_SENTENCE = 2.5
_MOST_SENTENCES = 1000
_LONGEST_SPEECH = 4 * 4096  # bytes
_COMPRESSED_BYTES_A_SECOND = 16_000
_TOKENS_A_SECOND = 10


class SandboxTranscription(wire.EventOperation[schema.TranscriptEvent]):
    union = schema.TranscriptEvent

    def call(self, request: schema.TranscriptionRequest, model: Model) -> Call:
        json = {
            "model": model.upstream,
            "audio": b64encode(request.file.read()).decode("ascii"),
            "language": request.language or "en",
            "prompt": request.prompt or "",
            "words": "word" in request.granularities,
            "stream": request.stream,
        }
        return Call("/transcription", json, streamed=request.stream)


adapter: TranscriptionAdapter = SandboxTranscription()


def answer(body: dict[str, Any]) -> LocalAnswer:
    audio = b64decode(body["audio"])
    seconds, said = _listen(audio)
    text = said or _invented(audio, seconds, body["prompt"])
    words = tuple(map(schema.Word, *_timed(text.split(), seconds)))
    # What OpenAI tells of a segment besides.
    details = dict.fromkeys(("seek", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"), 0)
    sentences = list(filter(None, re.split(r"(?<=[.!?])\s+", text.strip())))
    timed = zip(*_timed(sentences, seconds), strict=True)
    segments = tuple(schema.Segment(start, end, part, {**details, "tokens": []}) for part, start, end in timed)
    listened = round(seconds * _TOKENS_A_SECOND)
    usage = Usage(
        input_tokens=listened + tokens.count(body["prompt"]),
        input_audio_tokens=listened,
        output_tokens=tokens.count(text),
        audio_seconds=seconds,
    )
    given = words if body["words"] else ()
    transcript = schema.Transcript(text, body["language"], seconds, segments, given, usage)
    events = [*map(schema.TranscriptDelta, tokens.words(text)), schema.TranscriptDone(transcript)]
    return wire.answer(body["model"], events, stream=body["stream"])


def _listen(audio: bytes) -> tuple[float, str]:
    """How many seconds a recording has, and what it says where it is the sandbox's own."""
    try:
        with wave.open(io.BytesIO(audio)) as file:
            # A file that was written as it was recorded does not know its length.
            frames = min(file.getnframes(), len(audio) // (file.getnchannels() * file.getsampwidth()))
            seconds = round(frames / file.getframerate(), 2)
    except (wave.Error, EOFError, ZeroDivisionError):
        usual = len(audio) / _COMPRESSED_BYTES_A_SECOND
        return round(max(1.0, min(usual, longest_seconds(audio, sniff(audio[:SNIFF_BYTES]) or ""))), 2), ""
    size = min(_LONGEST_SPEECH, struct.unpack_from("<I", audio, 40)[0]) if audio[36:40] == b"said" else 0
    return seconds, audio[44 : 44 + size].decode(errors="replace")


def _invented(audio: bytes, seconds: float, prompt: str) -> str:
    """About as much as is spoken in that time, after the prompt, since its words are those to expect."""
    count = max(1, min(_MOST_SENTENCES, round(seconds / _SECONDS_A_SENTENCE)))
    sentences = [_SENTENCES[number % len(_SENTENCES)] for number in hashlib.shake_256(audio).digest(count)]
    return " ".join([f"{' '.join(prompt.split()).rstrip('.!?')}."] * bool(prompt.strip()) + sentences)


def _timed(pieces: list[str], seconds: float) -> tuple[list[str], list[float], list[float]]:
    """The pieces of a text, when each starts, and when it ends; together they cover the recording."""
    ends = list(accumulate((len(piece.split()) for piece in pieces), initial=0))
    times = [round(seconds * end / max(1, ends[-1]), 2) for end in ends]
    return pieces, times[:-1], times[1:]
