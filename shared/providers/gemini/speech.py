"""Speech by streamGenerateContent: https://ai.google.dev/gemini-api/docs/generate-content/speech-generation."""

from binascii import a2b_base64
from collections.abc import Iterator
from struct import pack

from pydantic_core import from_json

from shared.errors import InvalidRequest, UpstreamError
from shared.framing import Frame
from shared.media import standard_base64
from shared.providers.base import Call, FrameDecoder, Reader, SpeechAdapter, truncated, unsupported
from shared.providers.gemini.requests import generate_content
from shared.providers.gemini.responses import parts, raise_if_blocked
from shared.providers.gemini.vendor import raise_error
from shared.providers.gemini.vendor import vendor as gemini
from shared.schemas.chat import JsonObject
from shared.schemas.model import Model
from shared.schemas.speech import SpeechFormat, SpeechRequest

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
# The voice that replaces each of OpenAI's, similar in pitch and manner, so that OpenAI's clients keep working.
_OPENAI_VOICES = {
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
# The voice of Google's own examples. A style requires a voice.
_DEFAULT_VOICE = "Kore"

_BY_NAME = {voice.lower(): voice for voice in _VOICES} | _OPENAI_VOICES

# The header of a WAV of 24 kHz, 16 bits and one channel whose length is unknown, as OpenAI streams it.
_WAV_HEADER = pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, 1, 24000, 48000, 2, 16, b"data", 2**32 - 1
)


class GeminiSpeech:
    """Speech. Accepts Gemini's voices and OpenAI's; the latter are replaced by similar ones. Ignores `speed`."""

    vendor = gemini

    def call(self, request: SpeechRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for formats other than wav and pcm, and InvalidRequest for an unknown voice."""
        if request.format not in ("wav", "pcm"):
            raise unsupported("response_format", "this model supports wav and pcm only.")
        part: JsonObject = {"text": request.input}
        if request.instructions:
            part["speechMetadata"] = {"style": request.instructions}
        config = {
            "responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": _voice(request.voice)}}},
        }
        body = {"contents": [{"role": "user", "parts": [part]}], "generationConfig": config}
        return generate_content(body, model, stream=True)

    def frames(self) -> FrameDecoder:
        """Each frame is a GenerateContentResponse with the next samples."""
        return gemini.frames()

    def reader(self, request: SpeechRequest) -> Reader[bytes]:
        """Reads audio in the request's format."""
        return _SpeechReader(request.format)


def _voice(name: str | None) -> str:
    """Gemini's name of a voice, which may be given in any case."""
    voice = _BY_NAME.get(name.lower()) if name else _DEFAULT_VOICE
    if voice is None:
        raise InvalidRequest.field("voice", f"this model's voices are {', '.join(_VOICES)}")
    return voice


class _SpeechReader:
    """Reads the samples, which arrive as the bare PCM that the format `pcm` requires.

    Raises ContentFiltered, and UpstreamError if the stream is incomplete or holds no audio.
    """

    done = False  # the stream has no end marker

    def __init__(self, audio_format: SpeechFormat) -> None:
        self._header = _WAV_HEADER if audio_format == "wav" else b""
        self._has_audio = False
        self._finished = False

    def body(self, body: bytes) -> Iterator[bytes]:
        """The audio of a whole GenerateContentResponse."""
        yield from self.frame(Frame(body))
        yield from self.end()

    def frame(self, frame: Frame) -> Iterator[bytes]:
        """The samples of the next GenerateContentResponse. In the format wav a header precedes the first."""
        response = from_json(frame.data)
        raise_error(response)
        for part in parts(response):
            if "inlineData" in part:
                if not self._has_audio and self._header:
                    yield self._header
                self._has_audio = True
                yield a2b_base64(standard_base64(part["inlineData"]["data"]))
        raise_if_blocked(response)
        self._finished |= any("finishReason" in candidate for candidate in response.get("candidates", ()))

    def end(self) -> tuple[()]:
        """No more audio follows."""
        if not self._finished:
            raise truncated()
        if not self._has_audio:
            raise UpstreamError("The model returned no audio.")
        return ()


adapter: SpeechAdapter = GeminiSpeech()
