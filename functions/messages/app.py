"""Anthropic's Messages API: messages and the count of their tokens."""

from shared.web.app import Application

app = Application("messages")
