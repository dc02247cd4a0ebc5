"""Chat completions in the four dialects."""

from shared.web.app import create_app

app = create_app("chat")
