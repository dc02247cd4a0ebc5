"""Callers' files, for content that is too large for a request."""

from shared.web.app import Application

app = Application("files")
