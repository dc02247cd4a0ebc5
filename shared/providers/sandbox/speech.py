"""Speech on the sandbox's wire: `POST /speech` takes a SpeechRequest as JSON and answers with a WAV file, in pieces."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import cache
from itertools import islice

from pydantic import TypeAdapter

from shared.errors import FieldError, UnsupportedFeature
from shared.providers.base import Call, LocalAnswer, truncated
from shared.providers.sandbox import behaviour, wav
from shared.schemas.speech import SpeechRequest

MEDIA_TYPE = "audio/wav"
_LONGEST_INPUT = 4096


@cache
def _requests() -> TypeAdapter[SpeechRequest]:
    return TypeAdapter(SpeechRequest)


def call(request: SpeechRequest, upstream: str) -> Call:
    """The request as it is, addressed to the model's upstream name. Raises UnsupportedFeature for other formats."""
    if request.format not in ("wav", "pcm"):
        message = f"The sandbox speaks WAV and PCM only: set response_format to wav or pcm, not {request.format}."
        raise UnsupportedFeature(message, details=[FieldError("response_format", message)])
    json = _requests().dump_python(request, mode="json", exclude_none=True)
    return Call(path="/speech", json={**json, "model": upstream})


async def audio(chunks: AsyncIterator[bytes], request: SpeechRequest) -> AsyncGenerator[bytes, None]:
    """The WAV file as it is, or the samples in it where PCM is asked for.

    Raises UpstreamError where the file ends before its header says, ValueError where it is none.
    """
    head = b""
    left: int | None = None
    async for chunk in chunks:
        if left is None:
            head += chunk
            found = wav.read(head)
            if found is None:
                continue
            if request.format == "wav":
                yield head[: found.start]
            chunk, left = head[found.start :], found.size
        left -= len(chunk)
        if chunk:
            yield chunk
    if left != 0:
        raise truncated()


def answer(body: bytes) -> LocalAnswer:
    """The text as sound. Raises ValidationError for a body that is no SpeechRequest."""
    request = _requests().validate_json(body)
    if (other := behaviour.instead(request.model, "speech", media_type=MEDIA_TYPE)) is not None:
        return other
    speed = 1.0 if request.speed is None else request.speed
    if not 0.25 <= speed <= 4:
        return behaviour.failure(400, "speed must be from 0.25 to 4.")
    if not 1 <= len(request.input) <= _LONGEST_INPUT:
        return behaviour.failure(400, f"input must have from 1 to {_LONGEST_INPUT} characters.")
    return LocalAnswer(_spoken(request, speed), headers={"content-type": MEDIA_TYPE})


def _spoken(request: SpeechRequest, speed: float) -> Iterator[bytes | float]:
    from shared.providers.sandbox.voice import Voice

    voice = Voice(request.voice, speed)
    name = behaviour.name_of(request.model)
    size = voice.data_bytes(request.input)
    pieces = voice.speak(request.input)
    if name in (behaviour.MIDSTREAM, behaviour.TRUNCATED):  # sound has no place for an error: it ends too early
        pieces = (piece[: len(piece) // 2] for piece in islice(pieces, 1))
    yield wav.header(size, request.input)
    for number, piece in enumerate(pieces):
        if number:
            yield behaviour.SLOW_PAUSE if name == behaviour.SLOW else behaviour.USUAL_PAUSE
        yield piece
