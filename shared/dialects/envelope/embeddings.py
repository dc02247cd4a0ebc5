"""Embeddings in the envelope dialect: OpenAI's response inside `{"status", "data", "meta"}`."""

from shared.dialects.base import JsonObject, read
from shared.dialects.envelope import enveloped
from shared.dialects.openai.embeddings import EmbeddingFields, EmbeddingsOperation
from shared.schemas.context import RequestContext
from shared.schemas.embedding import EmbeddingResponse


def embedding(body: JsonObject) -> "_Enveloped":
    """/v1/inference/embed."""
    return _Enveloped(read(EmbeddingFields, body).canonical())


class _Enveloped(EmbeddingsOperation):
    def body(self, response: EmbeddingResponse, context: RequestContext) -> JsonObject:
        return enveloped(super().body(response, context), context)
