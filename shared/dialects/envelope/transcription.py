"""Transcription in the envelope dialect: every format inside `{"status", "data", "meta"}`."""

from shared.dialects.base import Form, JsonObject, read_form
from shared.dialects.envelope import enveloped
from shared.dialects.openai.transcription import (
    TranscriptionFields,
    TranscriptionOperation,
    json_body,
    request_of,
    text_of,
)
from shared.schemas.context import RequestContext
from shared.schemas.transcription import Transcript, TranscriptFormat


class EnvelopeTranscription(TranscriptionFields):
    """The fields of /v1/inference/audio/transcribe."""

    response_format: TranscriptFormat = "text"


def transcription(form: Form) -> "_Enveloped":
    """/v1/inference/audio/transcribe."""
    return _Enveloped(request_of(read_form(EnvelopeTranscription, form), form, stream=False))


class _Enveloped(TranscriptionOperation):
    def body(self, transcript: Transcript, context: RequestContext) -> JsonObject:
        data = json_body(transcript, self.request)
        return enveloped({**data, "text": text_of(transcript, self.request)}, context)
