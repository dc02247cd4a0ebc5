"""Embeddings in three dialects."""

from shared.web.app import Application

app = Application("embeddings")
