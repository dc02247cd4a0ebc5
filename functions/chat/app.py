"""Chat completions in the four dialects."""

from shared.web.app import create_app
from shared.web.chat import chat_route

app = create_app(
    chat_route("/v1/chat/completions", "openai.chat.chat"),
    chat_route("/v1/chat/completions/stable", "stable.chat.chat"),
    chat_route("/ai/chat", "compact.chat.chat"),
    chat_route("/ai/ai/chat", "compact.chat.chat"),
    chat_route("/v1/inference/chat", "envelope.chat.chat"),
)
