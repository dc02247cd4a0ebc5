"""Authentication, framing and errors are those of OpenAI's API."""

from shared.providers.openai.vendor import vendor

__all__ = ["vendor"]
