"""Audio: speech written down, whole or as it is understood, and text spoken, as it is made."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from shared.errors import UpstreamError
from shared.framing import sse_frames
from shared.gateway.estimates import of_speech, of_transcription
from shared.gateway.metering import metered, metered_stream, record_usage
from shared.gateway.route import Route
from shared.providers.base import SpeechAdapter, TranscriptionAdapter
from shared.schemas.context import RequestContext
from shared.schemas.model import Capability
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import (
    Transcript,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def transcribe(services: "Services", request: TranscriptionRequest, context: RequestContext) -> Transcript:
    """See Gateway.transcription."""
    route = _transcriber(services, request, context)
    async with metered(services, context, *of_transcription(request)):
        body = await route.body(route.adapter.transcription(request, route.model))
        with route.reading():
            transcript = route.adapter.transcription_response(body, request)
        record_usage(context, transcript.usage)
    return transcript


def transcript_events(
    services: "Services", request: TranscriptionRequest, context: RequestContext
) -> AsyncGenerator[TranscriptEvent, None]:
    """See Gateway.transcription_stream."""
    events = _events(_transcriber(services, request, context), request, context)
    return metered_stream(services, context, *of_transcription(request), events)


def _transcriber(
    services: "Services", request: TranscriptionRequest, context: RequestContext
) -> Route[TranscriptionAdapter]:
    return services.route_for(Capability.TRANSCRIPTION, request.model, TranscriptionAdapter, context)  # type: ignore[type-abstract]


async def _events(
    route: Route[TranscriptionAdapter], request: TranscriptionRequest, context: RequestContext
) -> AsyncGenerator[TranscriptEvent, None]:
    async with route.open(route.adapter.transcription(request, route.model)) as answer:
        await route.check(answer)
        with route.reading():
            async with (
                aclosing(sse_frames(answer)) as frames,
                aclosing(route.adapter.transcription_events(frames)) as events,
            ):
                async for event in events:
                    if isinstance(event, TranscriptDone):
                        record_usage(context, event.transcript.usage)
                    yield event
        await answer.drain()


def speak(services: "Services", request: SpeechRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
    """See Gateway.speech."""
    route = services.route_for(Capability.SPEECH, request.model, SpeechAdapter, context)  # type: ignore[type-abstract]
    if context.price is not None and not context.price.characters:
        # Charged by the tokens of its audio, which no answer counts: better no price than one that comes to nothing.
        context.price = None
    return metered_stream(services, context, *of_speech(request), _audio(route, request, context))


async def _audio(
    route: Route[SpeechAdapter], request: SpeechRequest, context: RequestContext
) -> AsyncGenerator[bytes, None]:
    silent = True
    async with route.open(route.adapter.speech(request, route.model)) as answer:
        await route.check(answer)
        with route.reading():
            async with aclosing(route.adapter.speech_audio(answer, request)) as audio:
                async for chunk in audio:
                    if silent and chunk:
                        silent = False
                        # What vendors charge for; they do not report it.
                        record_usage(context, Usage(characters=len(request.input)))
                    yield chunk
    if silent:
        raise UpstreamError("The provider answered without audio.")
