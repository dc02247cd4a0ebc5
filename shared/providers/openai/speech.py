"""Speech: the request of OpenAI and of compatible vendors; the answer is the audio itself."""

from collections.abc import AsyncGenerator, AsyncIterator

from shared.errors import UnsupportedFeature
from shared.providers.base import Call
from shared.schemas.model import Model
from shared.schemas.speech import SpeechRequest

_VOICE = "alloy"
# A voice is required, and these models have others than OpenAI's.
_VOICES = {
    "canopylabs/orpheus-arabic-saudi": "abdullah",  # https://console.groq.com/docs/text-to-speech/orpheus
    "canopylabs/orpheus-v1-english": "autumn",
    "hexgrad/Kokoro-82M": "af_heart",
}


def call(request: SpeechRequest, model: Model) -> Call:
    if "wav_speech" in model.quirks and request.format != "wav":
        raise UnsupportedFeature(f"response_format: the model '{model.id}' gives wav only.")
    fields = {
        "model": model.upstream,
        "input": request.input,
        "voice": request.voice or _VOICES.get(model.upstream, _VOICE),
        "response_format": request.format,
        "speed": request.speed,
        "instructions": None if "no_speech_instructions" in model.quirks else request.instructions,
    }
    return Call("/audio/speech", {name: value for name, value in fields.items() if value is not None})


async def audio(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield chunk
