"""Text spoken: https://ai.google.dev/gemini-api/docs/generate-content/speech-generation."""

import json
from binascii import a2b_base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from struct import pack

from shared.errors import InvalidRequest, UpstreamError
from shared.framing import sse_frames
from shared.media import standard_base64
from shared.providers.base import Call, truncated
from shared.providers.gemini.errors import error_object, error_of
from shared.providers.gemini.finish import parts, refuse_filtered
from shared.providers.gemini.wire import generate, unsupported
from shared.schemas.chat import JsonObject
from shared.schemas.model import Model
from shared.schemas.speech import SpeechRequest

_VOICES = (
    "Achernar",
    "Achird",
    "Algenib",
    "Algieba",
    "Alnilam",
    "Aoede",
    "Autonoe",
    "Callirrhoe",
    "Charon",
    "Despina",
    "Enceladus",
    "Erinome",
    "Fenrir",
    "Gacrux",
    "Iapetus",
    "Kore",
    "Laomedeia",
    "Leda",
    "Orus",
    "Puck",
    "Pulcherrima",
    "Rasalgethi",
    "Sadachbia",
    "Sadaltager",
    "Schedar",
    "Sulafat",
    "Umbriel",
    "Vindemiatrix",
    "Zephyr",
    "Zubenelgenubi",
)
# OpenAI's voices and those of Gemini that stand in for them, alike in pitch and manner, so that clients keep working.
_STAND_INS = {
    "alloy": "Kore",
    "ash": "Orus",
    "ballad": "Algieba",
    "cedar": "Achird",
    "coral": "Aoede",
    "echo": "Charon",
    "fable": "Puck",
    "marin": "Sulafat",
    "nova": "Zephyr",
    "onyx": "Algenib",
    "sage": "Vindemiatrix",
    "shimmer": "Leda",
    "verse": "Fenrir",
}
# The voice of Google's own examples. One has to be named wherever a style is.
_DEFAULT_VOICE = "Kore"

_BY_NAME = {voice.lower(): voice for voice in _VOICES} | _STAND_INS

# A WAV of 24 kHz, 16 bits and one channel whose length is not known yet, as OpenAI streams it.
_OPEN_WAV = pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, 1, 24000, 48000, 2, 16, b"data", 2**32 - 1
)


def call(request: SpeechRequest, model: Model) -> Call:
    """See `Gemini.speech`."""
    if request.format not in ("wav", "pcm"):
        raise unsupported("response_format", "this model gives wav and pcm only.")
    part: JsonObject = {"text": request.input}
    if request.instructions:
        part["speechMetadata"] = {"style": request.instructions}
    config = {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": _voice(request.voice)}}},
    }
    return generate({"contents": [{"role": "user", "parts": [part]}], "generationConfig": config}, model, stream=True)


def _voice(name: str | None) -> str:
    voice = _BY_NAME.get(name.lower()) if name else _DEFAULT_VOICE
    if voice is None:
        raise InvalidRequest.field("voice", f"this model's voices are {', '.join(_VOICES)}")
    return voice


async def audio(chunks: AsyncIterator[bytes], request: SpeechRequest) -> AsyncGenerator[bytes, None]:
    """See `Gemini.speech_audio`. What is streamed is bare PCM, just as `pcm` has to be."""
    spoke = finished = False
    async with aclosing(sse_frames(chunks)) as frames:
        async for frame in frames:
            chunk = json.loads(frame.data)
            if error := error_object(chunk):
                raise error_of(error.get("code", 500), {}, error)
            for part in parts(chunk):
                if "inlineData" in part:
                    if not spoke and request.format == "wav":
                        yield _OPEN_WAV
                    spoke = True
                    yield a2b_base64(standard_base64(part["inlineData"]["data"]))
            refuse_filtered(chunk)
            finished |= any("finishReason" in candidate for candidate in chunk.get("candidates", ()))
    if not finished:
        raise truncated()
    if not spoke:
        raise UpstreamError("The model gave no sound.")
