"""The HTTP layer: ASGI applications with routes, authentication and responses."""
