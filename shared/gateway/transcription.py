"""Transcription of speech, in one piece or streamed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache
from typing import TYPE_CHECKING

from shared.errors import UpstreamError
from shared.gateway.attempt import Attempt
from shared.gateway.call_meter import CallMeter, Estimate
from shared.gateway.candidates import candidates_for
from shared.gateway.estimates import of_transcription
from shared.gateway.running import Plan, run
from shared.schemas.context import RequestContext
from shared.schemas.model import Capability
from shared.schemas.transcription import Transcript, TranscriptDelta, TranscriptEvent, TranscriptionRequest

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def transcribe(services: "Services", request: TranscriptionRequest, context: RequestContext) -> Transcript:
    """The transcript of the request's file. Raises any GatewayError."""
    transcript = None
    async with aclosing(transcript_events(services, request, context)) as events:
        async for event in events:
            if not isinstance(event, TranscriptDelta):
                transcript = event.transcript
    if transcript is None:
        raise UpstreamError("The provider's response has no transcript.")
    return transcript


def transcript_events(
    services: "Services", request: TranscriptionRequest, context: RequestContext
) -> AsyncGenerator[TranscriptEvent, None]:
    """The same as a stream. Errors about the request's model are raised immediately, all others by the iterator."""

    estimate = cache(lambda: of_transcription(request))  # once, off the event loop

    async def sources(attempt: Attempt) -> list[AsyncGenerator[TranscriptEvent, None]]:
        return [_call(attempt, request, estimate)]

    found = candidates_for(Capability.TRANSCRIPTION, request.model, services, context)
    plan = Plan("transcription", found, lambda model: estimate(), sources, is_streamed=request.stream)
    return run(services, context, plan)


async def _call(
    attempt: Attempt, request: TranscriptionRequest, estimate: Estimate
) -> AsyncGenerator[TranscriptEvent, None]:
    meter = CallMeter(attempt.record, estimate)
    try:
        async with aclosing(attempt.events(attempt.adapter, request, meter)) as events:
            async for event in events:
                if isinstance(event, TranscriptDelta):
                    meter.said(event.text)
                else:
                    meter.reported(event.transcript.usage)
                yield event
        meter.close(is_complete=True)
    finally:
        meter.close()
