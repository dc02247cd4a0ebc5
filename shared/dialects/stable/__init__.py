"""The stable dialect: OpenAI's chat with defaults of its own, and Gemini's raw content; errors as OpenAI's."""

from shared.dialects.openai import dialect as dialect
