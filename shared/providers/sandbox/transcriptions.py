"""Transcripts on the sandbox's wire: `POST /transcriptions` takes a Recording as JSON and answers with a Transcript.

A stream has a `delta` for each word, `{"type":"delta","text":"Hello"}`, and ends with `done`, which has the
`transcript`, or with an error.
"""

import binascii
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import cache
from itertools import islice
from typing import Any

from pydantic import TypeAdapter

from shared.framing import Frame
from shared.providers.base import Call, LocalAnswer, truncated
from shared.providers.sandbox import behaviour, frames, tokens
from shared.schemas.base import Frozen
from shared.schemas.transcription import (
    Granularity,
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)

_WORDS_BEFORE_BREAK = 3
# However long a transcript is, its stream takes about as many seconds at most.
_LONGEST_STREAM = 3.0


class Recording(Frozen):
    """What the sandbox is to write down; `audio` is a file in base64."""

    model: str
    audio: str
    language: str | None = None
    prompt: str | None = None
    granularities: frozenset[Granularity] = frozenset()
    stream: bool = False


@cache
def _transcripts() -> TypeAdapter[Transcript]:
    return TypeAdapter(Transcript)


def call(request: TranscriptionRequest, upstream: str) -> Call:
    """The recording of a request. Every format and granularity can be made of the answer."""
    json: dict[str, Any] = {
        "model": upstream,
        "audio": b64encode(request.file.read()).decode("ascii"),
        "language": request.language,
        "prompt": request.prompt,
        "granularities": sorted(request.granularities),
        "stream": request.stream,
    }
    return Call(path="/transcriptions", json={name: value for name, value in json.items() if value is not None})


def response(body: bytes) -> Transcript:
    """The transcript of a body."""
    return _transcripts().validate_json(body)


async def events(source: AsyncIterator[Frame]) -> AsyncGenerator[TranscriptEvent, None]:
    """See TranscriptionAdapter.transcription_events."""
    async for frame in source:
        kind, fields = frames.read(frame.data)
        if kind == "delta":
            yield TranscriptDelta(fields["text"])
        elif kind == "done":
            yield TranscriptDone(_transcripts().validate_python(fields["transcript"]))
            return
    raise truncated()


def answer(body: bytes) -> LocalAnswer:
    """The transcript of a recording. Raises ValidationError for a body that is none."""
    recording = Recording.model_validate_json(body)
    media_type = behaviour.EVENTS if recording.stream else behaviour.JSON
    if (other := behaviour.instead(recording.model, "transcription", media_type=media_type)) is not None:
        return other
    try:
        audio = binascii.a2b_base64(recording.audio, strict_mode=True)
    except binascii.Error:
        return behaviour.failure(400, "audio is not base64.")
    from shared.providers.sandbox.dictation import transcribe

    by_word = "word" in recording.granularities
    transcript = transcribe(audio, recording.language, recording.prompt, words=by_word)
    if recording.stream:
        return LocalAnswer(_streamed(recording.model, transcript), headers={"content-type": media_type})
    return behaviour.whole(recording.model, _transcripts().dump_json(transcript, exclude_none=True))


def _streamed(model: str, transcript: Transcript) -> Iterator[bytes | float]:
    name = behaviour.name_of(model)
    words = tokens.words(transcript.text)
    pause = min(behaviour.USUAL_PAUSE, _LONGEST_STREAM / max(1, len(words)))
    if name == behaviour.SLOW:
        pause = behaviour.SLOW_PAUSE
    breaks = name in (behaviour.MIDSTREAM, behaviour.TRUNCATED)
    for number, word in enumerate(islice(words, _WORDS_BEFORE_BREAK if breaks else None)):
        if number or name == behaviour.SLOW:
            yield pause
        yield frames.write("delta", {"text": word})
    if name == behaviour.MIDSTREAM:
        yield frames.write_error(500, behaviour.BROKEN)
    elif not breaks:
        told = _transcripts().dump_python(transcript, mode="json", exclude_none=True)
        yield frames.write("done", {"transcript": told})
