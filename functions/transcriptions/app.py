"""Transcription in two dialects."""

from shared.web.app import Application

app = Application("transcriptions")
