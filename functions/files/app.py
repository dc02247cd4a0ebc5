"""Callers' own files, for what is too large to be sent with a request."""

from shared.web.app import create_app
from shared.web.files import file_routes

app = create_app(
    file_routes,
)
