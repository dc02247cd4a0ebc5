"""Speech in two dialects."""

from shared.web.app import create_app
from shared.web.speech import speech_route

app = create_app(
    speech_route("/v1/audio/speech", "openai.speech.speech"),
    speech_route("/v1/inference/audio/synthesize", "envelope.speech.speech"),
)
