"""Embeddings in three dialects."""

from shared.web.app import create_app
from shared.web.embeddings import embedding_route

app = create_app(
    embedding_route("/v1/embeddings", "openai.embeddings.embedding"),
    embedding_route("/ai/embeddings", "compact.embeddings.embedding"),
    embedding_route("/ai/ai/embeddings", "compact.embeddings.embedding"),
    embedding_route("/v1/inference/embed", "envelope.embeddings.embedding"),
)
