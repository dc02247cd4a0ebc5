"""Compaction: https://developers.openai.com/api/reference/resources/responses/methods/compact."""

from typing import Any

from shared.providers.base import Call, CompactionAdapter, unsupported
from shared.providers.openai.responses.original import shortened_payload
from shared.providers.openai.usage import responses_usage
from shared.providers.openai.vendor import raise_error
from shared.providers.openai.vendor import vendor as openai
from shared.schemas.chat import ChatRequest
from shared.schemas.compaction import Compaction
from shared.schemas.model import Model


class OpenAICompaction:
    """Compaction of conversations that came in the Responses API's own wire format."""

    vendor = openai

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for a request of another wire format."""
        original = request.original
        if original is None or original.wire != "responses":
            raise unsupported("model", f"'{model.id}' does not support compaction")
        return Call("/responses/compact", shortened_payload(request, original, model), headers=original.headers)

    def response(self, body: Any) -> Compaction:
        raise_error(body)
        if not isinstance(body["output"], list):
            raise ValueError("no list of items")
        return Compaction(body, responses_usage(body.get("usage") or {}, {}, 0))


adapter: CompactionAdapter = OpenAICompaction()
