"""The OpenAI dialect: /v1/chat/completions, /v1/completions and /v1/models as OpenAI's SDKs expect them."""

from shared.dialects.openai.errors import OpenAIDialect

dialect = OpenAIDialect()
