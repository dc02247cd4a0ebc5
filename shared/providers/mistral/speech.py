"""Speech: https://docs.mistral.ai/api/endpoint/audio/speech."""

import sys
from array import array
from binascii import a2b_base64
from collections.abc import Iterator
from math import isnan

from pydantic_core import from_json

from shared.errors import UpstreamError
from shared.framing import Frame
from shared.media import standard_base64
from shared.providers.base import Call, FrameDecoder, Reader, SpeechAdapter, truncated, unsupported
from shared.providers.openai.vendor import raise_error
from shared.providers.openai.vendor import vendor as mistral
from shared.schemas.model import Model
from shared.schemas.speech import SpeechFormat, SpeechRequest

_VOICE = "en_paul_neutral"
_OTHER_VOICE = "gb_jane_neutral"
# Replacements for OpenAI's voices, so that OpenAI's clients keep working.
_OPENAI_VOICES = {
    **dict.fromkeys(("alloy", "ash", "ballad", "cedar", "echo", "fable", "onyx", "verse"), _VOICE),
    **dict.fromkeys(("coral", "marin", "nova", "sage", "shimmer"), _OTHER_VOICE),
}


class MistralSpeech:
    """Speech, streamed as events. `speed` and `instructions` are not sent: Mistral has no such fields."""

    vendor = mistral

    def call(self, request: SpeechRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for aac."""
        if request.format == "aac":
            raise unsupported("response_format", "this model supports mp3, opus, flac, wav and pcm.")
        voice = request.voice or _VOICE
        body = {
            "model": model.upstream,
            "input": request.input,
            "voice_id": _OPENAI_VOICES.get(voice.lower(), voice),
            "response_format": request.format,
            "stream": True,
        }
        return Call("/audio/speech", body, streamed=True)

    def frames(self) -> FrameDecoder:
        return mistral.frames()

    def reader(self, request: SpeechRequest) -> Reader[bytes]:
        return _SpeechReader(request.format)


class _SpeechReader:
    """Decodes audio from base64. A stream is complete at `speech.audio.done`."""

    def __init__(self, audio_format: SpeechFormat) -> None:
        self.done = False
        self._samples = _Samples() if audio_format == "pcm" else None

    def body(self, body: bytes) -> Iterator[bytes]:
        answer = from_json(body)
        raise_error(answer)
        yield self._audio(answer)
        self._check_samples()

    def frame(self, frame: Frame) -> Iterator[bytes]:
        if self.done:
            return
        event = from_json(frame.data)
        kind = event.get("type") or frame.event
        raise_error(event, named_error=kind == "error")
        if kind == "speech.audio.delta":
            yield self._audio(event)
        elif kind == "speech.audio.done":
            self.done = True
            self._check_samples()

    def end(self) -> tuple[bytes, ...]:
        if not self.done:
            raise truncated()
        return ()

    def _audio(self, answer: dict[str, str]) -> bytes:
        audio = a2b_base64(standard_base64(answer["audio_data"]))
        return self._samples.convert(audio) if self._samples else audio

    def _check_samples(self) -> None:
        if self._samples and self._samples.rest:
            raise UpstreamError("The provider's audio ends inside a sample.")


class _Samples:
    """Converts Mistral's PCM, 32-bit floats from -1 to 1 at 24 kHz, to the 16-bit integers of the format `pcm`."""

    def __init__(self) -> None:
        self.rest = b""

    def convert(self, audio: bytes) -> bytes:
        """The complete samples so far; a chunk may end inside a sample."""
        audio = self.rest + audio
        whole = len(audio) - len(audio) % 4
        self.rest = audio[whole:]
        samples = array("f", audio[:whole])
        if sys.byteorder == "big":
            samples.byteswap()
        integers = array("h", (_integer(sample) for sample in samples))
        if sys.byteorder == "big":
            integers.byteswap()
        return integers.tobytes()


def _integer(sample: float) -> int:
    return 0 if isnan(sample) else round(max(-1.0, min(1.0, sample)) * 32767)


adapter: SpeechAdapter = MistralSpeech()
