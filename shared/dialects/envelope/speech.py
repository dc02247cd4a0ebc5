"""Speech in the envelope dialect: raw audio, without the envelope."""

from shared.dialects.base import JsonObject, read
from shared.dialects.openai.speech import SpeechFields
from shared.schemas.speech import SpeechRequest


def speech(body: JsonObject) -> SpeechRequest:
    """/v1/inference/audio/synthesize."""
    return read(SpeechFields, body).canonical()
