"""Speech as OpenAI's SDKs ask for it; the answer is audio.

https://developers.openai.com/api/reference/resources/audio/subresources/speech
"""

from typing import Annotated, Any

from pydantic import Field, field_validator

from shared.dialects.base import JsonObject, Wire, read
from shared.errors import InvalidRequest
from shared.schemas.speech import SpeechFormat, SpeechRequest

MAX_INPUT = 4096
MEDIA_TYPES: dict[SpeechFormat, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
Voice = Annotated[str, Field(min_length=1, max_length=200)]


class SpeechFields(Wire):
    """The fields that a request for speech has in every dialect."""

    model: Annotated[str, Field(min_length=1)]
    input: Annotated[str, Field(min_length=1, max_length=MAX_INPUT)]
    voice: Voice | None = None
    response_format: SpeechFormat = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4)] | None = None

    @field_validator("voice", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """OpenAI's own voices may come as `{"id"}`."""
        return value.get("id") if isinstance(value, dict) else value

    def canonical(self) -> SpeechRequest:
        return SpeechRequest(
            model=self.model, input=self.input, voice=self.voice, format=self.response_format, speed=self.speed
        )


class OpenAISpeech(SpeechFields):
    """The body of /v1/audio/speech."""

    voice: Voice
    instructions: Annotated[str, Field(max_length=MAX_INPUT)] | None = None
    stream_format: str | None = None

    def canonical(self) -> SpeechRequest:
        if self.stream_format not in (None, "audio"):
            raise InvalidRequest.field("stream_format", "only audio is possible here")
        return SpeechRequest(
            model=self.model,
            input=self.input,
            voice=self.voice,
            format=self.response_format,
            speed=self.speed,
            instructions=self.instructions,
        )


def speech(body: JsonObject) -> SpeechRequest:
    """/v1/audio/speech."""
    return read(OpenAISpeech, body).canonical()
