"""Counts of input tokens: https://platform.claude.com/docs/en/api/messages/count_tokens."""

from typing import Any

from shared.providers.anthropic.chat import AnthropicChat
from shared.providers.anthropic.vendor import vendor as anthropic
from shared.providers.base import Call, TokenCountAdapter
from shared.schemas.chat import ChatRequest
from shared.schemas.model import Model
from shared.schemas.token_count import TokenCount

# What of a request is about its answer, which is not counted.
_OF_THE_ANSWER = frozenset(
    {
        *("container", "diagnostics", "fallback_credit_token", "fallbacks", "inference_geo", "max_tokens", "metadata"),
        *("service_tier", "stop_sequences", "stream", "temperature", "thread", "top_k", "top_p"),
    }
)


class AnthropicTokenCounts:
    """Counts what the call of the same chat request would send."""

    vendor = anthropic

    def counts(self, model: Model) -> bool:
        return True

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises what AnthropicChat does."""
        chat = AnthropicChat().call(request, model)
        body = {name: value for name, value in chat.json.items() if name not in _OF_THE_ANSWER}
        return Call("/v1/messages/count_tokens", json=body, headers=chat.headers)

    def response(self, body: Any) -> TokenCount:
        return TokenCount(input_tokens=body["input_tokens"])


adapter: TokenCountAdapter = AnthropicTokenCounts()
