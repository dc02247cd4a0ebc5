"""Callers' files, for content that is too large for a request."""

from shared.web.app import create_app

app = create_app("files")
