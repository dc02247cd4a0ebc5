"""OpenAI's API, as OpenAI and the vendors compatible with it speak it."""
