"""Speech.

Wire format: https://developers.openai.com/api/reference/resources/audio/subresources/speech.
"""

from shared.errors import UnsupportedFeature
from shared.framing import ChunkDecoder, Frame
from shared.providers.base import Call, FrameDecoder, Reader, SpeechAdapter
from shared.providers.openai.vendor import vendor as openai
from shared.schemas.model import Model
from shared.schemas.speech import SpeechRequest

_VOICE = "alloy"
# A voice is required, and these models do not have OpenAI's voices.
_VOICES = {
    "canopylabs/orpheus-arabic-saudi": "abdullah",  # https://console.groq.com/docs/text-to-speech/orpheus
    "canopylabs/orpheus-v1-english": "autumn",
    "hexgrad/Kokoro-82M": "af_heart",
}


class OpenAISpeech:
    """Speech; the body of an answer is the audio itself."""

    vendor = openai

    def call(self, request: SpeechRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for an audio format that the model lacks."""
        if "wav_speech" in model.quirks and request.format != "wav":
            raise UnsupportedFeature(f"response_format: the model '{model.id}' supports wav only.")
        fields = {
            "model": model.upstream,
            "input": request.input,
            "voice": request.voice or _VOICES.get(model.upstream, _VOICE),
            "response_format": request.format,
            "speed": request.speed,
            "instructions": None if "no_speech_instructions" in model.quirks else request.instructions,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        return Call("/audio/speech", body, streamed=True)

    def frames(self) -> FrameDecoder:
        return ChunkDecoder()

    def reader(self, request: SpeechRequest) -> Reader[bytes]:
        return SpeechReader()


class SpeechReader:
    """Passes the audio on as it comes. Nothing in it marks its end."""

    done = False

    def body(self, body: bytes) -> tuple[bytes, ...]:
        return (body,)

    def frame(self, frame: Frame) -> tuple[bytes, ...]:
        return (frame.data,)

    def end(self) -> tuple[bytes, ...]:
        return ()


adapter: SpeechAdapter = OpenAISpeech()
