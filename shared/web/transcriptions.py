"""The routes that write speech down, whatever their dialect: parse, call the gateway once, answer."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from fastapi import FastAPI, Request, Response

from shared.dialects.base import Form, TranscriptionOperation
from shared.errors import InvalidRequest
from shared.gateway.services import Services
from shared.pump import Pump
from shared.schemas.context import RequestContext
from shared.web.app import context_of, json_response
from shared.web.caller import ProcessServices
from shared.web.events import EventStream, cancel_on_disconnect, first_bytes
from shared.web.form import form_body
from shared.web.routes import parser, post

_WAY_AROUND = "Upload it with POST /v1/files and send its id as file_id."


def transcription_route(path: str, name: str) -> Callable[[FastAPI], None]:
    """POST `path`, a multipart body read by a dialect's parser. A `file_id` stands for a file that is stored."""

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        from shared.gateway.transcription import transcribe

        context = context_of(request)
        async with AsyncExitStack() as files:
            form = await files.enter_async_context(form_body(request, services.settings.max_body, _WAY_AROUND))
            await _fetch_stored(form, services, context, files)
            operation: TranscriptionOperation = parser(name)(form)
            if operation.request.stream:
                return await _streamed(operation, services, context, request, files)
            transcript = await cancel_on_disconnect(transcribe(services, operation.request, context), request.receive)
        body = operation.body(transcript, context)
        if isinstance(body, tuple):
            media_type, text = body
            return Response(text, media_type=media_type)
        return json_response(body)

    return post(path, endpoint)


async def _fetch_stored(form: Form, services: Services, context: RequestContext, files: AsyncExitStack) -> None:
    """Puts the file that `file_id`, or an `s3://` reference in `file`, stands for into the form."""
    ids, texts = ([text for text in form.fields.get(name, ()) if text] for name in ("file_id", "file"))
    references = [*ids, *texts]
    if not references:
        return
    if len(references) > 1 or "file" in form.files:
        raise InvalidRequest.field("file_id", "must be the only file")
    if texts and not texts[0].startswith("s3://"):
        return
    upload = await services.files.fetch(context.caller.tenant, references[0], services.settings.max_stored_audio)
    files.callback(upload.file.close)
    form.fields.pop("file", None)
    form.files["file"] = [upload]


async def _streamed(
    operation: TranscriptionOperation,
    services: Services,
    context: RequestContext,
    request: Request,
    files: AsyncExitStack,
) -> Response:
    """The transcript as it is understood; the form's files stay open until it ends, since they may be on their way."""
    from shared.gateway.transcription import transcript_events

    pump = Pump(transcript_events(services, operation.request, context))
    encoder = operation.encoder(context)
    try:
        opening = await cancel_on_disconnect(
            first_bytes(pump, encoder, services.settings.first_event_wait), request.receive
        )
    except BaseException:
        await pump.aclose()
        raise
    keep_alive = services.settings.keep_alive
    return EventStream(pump, encoder, context, opening=opening, keep_alive=keep_alive, resources=files.pop_all())
