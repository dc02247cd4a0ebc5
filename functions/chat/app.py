"""Chat completions in the four dialects."""

from shared.web.app import Application

app = Application("chat")
