"""Chat uses OpenAI's wire format; the differences are quirks of the provider."""

from shared.providers.openai.chat import adapter

__all__ = ["adapter"]
