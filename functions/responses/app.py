"""OpenAI's Responses API."""

from shared.web.app import create_app

app = create_app("responses")
