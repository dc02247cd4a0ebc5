"""The HTTP side: FastAPI applications made of routes, callers and answers."""
