"""Transcription, whatever its dialect: parse, call the gateway once, respond."""

from contextlib import AsyncExitStack

from shared.dialects.base import Form, TranscriptionOperation
from shared.errors import InvalidRequest
from shared.web.events import event_stream
from shared.web.http import Response
from shared.web.json_response import json_response
from shared.web.request import ApiRequest

_WAY_AROUND = "Upload it with POST /v1/files and send its id as file_id."


async def transcribe(request: ApiRequest) -> Response:
    """A multipart body, which may have a `file_id` in place of the file."""
    from shared.gateway.transcription import transcribe as transcribe_file
    from shared.gateway.transcription import transcript_events

    services, context = request.services, request.context
    async with AsyncExitStack() as files:
        form = await files.enter_async_context(request.form(_WAY_AROUND))
        await _fetch_stored(form, request, files)
        operation: TranscriptionOperation = request.parse(form)
        if operation.request.stream:
            events = transcript_events(services, operation.request, context)
            # The files stay open until the stream ends, since they may still be being sent to the provider.
            return await event_stream(request, events, operation.encoder(context), resources=files)
        transcript = await request.cancel_on_disconnect(transcribe_file(services, operation.request, context))
    body = operation.body(transcript, context)
    if isinstance(body, tuple):
        media_type, text = body
        return Response(text.encode(), media_type=media_type)
    return json_response(body)


async def _fetch_stored(form: Form, request: ApiRequest, files: AsyncExitStack) -> None:
    """Puts the stored file that `file_id`, or an `s3://` URL in `file`, refers to into the form."""
    ids, texts = ([text for text in form.fields.get(name, ()) if text] for name in ("file_id", "file"))
    references = [*ids, *texts]
    if not references:
        return
    if len(references) > 1 or "file" in form.files:
        raise InvalidRequest.field("file_id", "must be the only file")
    if texts and not texts[0].startswith("s3://"):
        return
    services = request.services
    upload = await services.files.fetch(request.caller.tenant, references[0], services.settings.max_stored_audio)
    files.callback(upload.file.close)
    form.fields.pop("file", None)
    form.files["file"] = [upload]
