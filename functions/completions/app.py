"""Text generation from a bare prompt in the dialects that have it."""

from shared.web.app import Application

app = Application("completions")
