"""The responses dialect: OpenAI's Responses API, with errors as OpenAI's other endpoints have them."""

from shared.dialects.openai import dialect as dialect
