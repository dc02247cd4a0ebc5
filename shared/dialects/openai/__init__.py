"""The OpenAI dialect: OpenAI's API as its SDKs expect it."""

from shared.dialects.openai.errors import OpenAIDialect

dialect = OpenAIDialect()
