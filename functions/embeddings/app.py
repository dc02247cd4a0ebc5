"""Embeddings in three dialects."""

from shared.web.app import create_app

app = create_app("embeddings")
