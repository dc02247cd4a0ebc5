"""Mistral's API: OpenAI's for chat and embeddings, its own for audio."""
