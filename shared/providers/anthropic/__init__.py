"""Anthropic's own API, through which the Claude models are called."""
