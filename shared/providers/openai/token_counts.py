"""Counts of input tokens: https://developers.openai.com/api/docs/guides/token-counting."""

from typing import Any

from shared.providers.base import Call, TokenCountAdapter
from shared.providers.openai.chat import OpenAIChat
from shared.providers.openai.vendor import raise_error
from shared.providers.openai.vendor import vendor as openai
from shared.schemas.chat import ChatRequest
from shared.schemas.model import Model
from shared.schemas.token_count import TokenCount

# What of a request is counted; the API has no other fields.
_COUNTED = frozenset(
    {
        *("input", "instructions", "model", "parallel_tool_calls", "personality", "reasoning", "text", "tool_choice"),
        *("tools", "truncation"),
    }
)


class OpenAITokenCounts:
    """Counts what the call of the same chat request would send by the Responses API."""

    vendor = openai

    def counts(self, model: Model) -> bool:
        return OpenAIChat().wire(model) == "responses"

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises what OpenAIChat does."""
        # A short answer would be asked of chat completions.
        chat = OpenAIChat().call(request.model_copy(update={"max_tokens": None}), model)
        body = {name: value for name, value in chat.json.items() if name in _COUNTED}
        return Call("/responses/input_tokens", json=body, headers=chat.headers)

    def response(self, body: Any) -> TokenCount:
        raise_error(body)
        return TokenCount(input_tokens=body["input_tokens"])


adapter: TokenCountAdapter = OpenAITokenCounts()
