"""Text generation from a bare prompt in the dialects that have it."""

from shared.web.app import create_app
from shared.web.chat import chat_route

app = create_app(
    chat_route("/v1/completions", "openai.completions.completion"),
    chat_route("/ai/generate", "compact.chat.generate"),
    chat_route("/ai/ai/generate", "compact.chat.generate"),
    chat_route("/v1/inference/generate", "envelope.chat.generate"),
)
