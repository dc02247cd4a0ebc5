"""Image generation and editing in three dialects."""

from shared.web.app import Application

app = Application("images")
