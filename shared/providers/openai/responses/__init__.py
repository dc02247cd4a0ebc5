"""OpenAI's Responses API, through which its reasoning models are called."""
