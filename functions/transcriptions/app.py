"""Transcription in two dialects."""

from shared.web.app import create_app
from shared.web.transcriptions import transcription_route

app = create_app(
    transcription_route("/v1/audio/transcriptions", "openai.transcription.transcription"),
    transcription_route("/v1/inference/audio/transcribe", "envelope.transcription.transcription"),
)
