"""Embeddings use OpenAI's wire format."""

from shared.providers.openai.embeddings import adapter

__all__ = ["adapter"]
