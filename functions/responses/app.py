"""OpenAI's Responses API."""

from shared.web.app import Application

app = Application("responses")
