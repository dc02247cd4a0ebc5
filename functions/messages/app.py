"""Anthropic's Messages API: messages and the count of their tokens."""

from shared.web.app import create_app

app = create_app("messages")
