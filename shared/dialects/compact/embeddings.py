"""Embeddings in the compact dialect: one vector for a string, vectors for an array."""

from shared.dialects.base import JsonObject, read
from shared.dialects.openai.embeddings import EmbeddingFields
from shared.schemas.context import RequestContext
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse


def embedding(body: JsonObject) -> "_Embeddings":
    """/ai/embeddings."""
    return _Embeddings(read(EmbeddingFields, body).canonical(), single=isinstance(body["input"], str))


class _Embeddings:
    def __init__(self, request: EmbeddingRequest, *, single: bool) -> None:
        self.request = request
        self._single = single

    def body(self, response: EmbeddingResponse, context: RequestContext) -> JsonObject:
        vectors = [list(vector) for vector in response.vectors]
        found = {"embedding": vectors[0]} if self._single else {"embeddings": vectors}
        return {**found, "dimensions": len(vectors[0]), "usage": {"total_tokens": response.usage.total_tokens}}
