"""OpenAI's API, and the vendors that are compatible with it."""
