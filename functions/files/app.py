"""Callers' own files, for what is too large to be sent with a request."""

from shared.web.app import create_app

app = create_app("files")
