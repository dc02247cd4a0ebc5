"""The messages dialect: /v1/messages as Anthropic's SDKs and agents expect it."""

from shared.dialects.messages.errors import MessagesDialect

dialect = MessagesDialect()
