"""Counts of input tokens: https://ai.google.dev/api/tokens#method:-models.counttokens."""

from typing import Any

from shared.providers.base import Call, TokenCountAdapter
from shared.providers.gemini.chat import GeminiChat
from shared.providers.gemini.requests import method_path
from shared.providers.gemini.vendor import vendor as gemini
from shared.schemas.chat import ChatRequest
from shared.schemas.model import Model
from shared.schemas.token_count import TokenCount


class GeminiTokenCounts:
    """Counts what the call of the same chat request would send."""

    vendor = gemini

    def counts(self, model: Model) -> bool:
        return True

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises what GeminiChat does."""
        chat = GeminiChat().call(request, model)
        counted = {"model": f"models/{model.upstream}", **chat.json}
        return Call(method_path(model, "countTokens"), json={"generateContentRequest": counted})

    def response(self, body: Any) -> TokenCount:
        return TokenCount(input_tokens=body["totalTokens"])


adapter: TokenCountAdapter = GeminiTokenCounts()
