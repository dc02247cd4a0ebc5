"""Speech: text in, chunks of audio out as they arrive."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from shared.errors import UpstreamError
from shared.gateway.attempt import Attempt
from shared.gateway.call_meter import CallMeter
from shared.gateway.candidates import candidates_for
from shared.gateway.estimates import of_speech
from shared.gateway.running import Plan, run
from shared.schemas.context import RequestContext
from shared.schemas.model import Capability
from shared.schemas.speech import SpeechRequest
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services


def speak(services: "Services", request: SpeechRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
    """The audio of the request's text: at least one chunk.

    Errors about the request's model are raised immediately, all others by the iterator.
    """

    async def sources(attempt: Attempt) -> list[AsyncGenerator[bytes, None]]:
        return [_audio(attempt, request)]

    found = candidates_for(Capability.SPEECH, request.model, services, context)
    plan = Plan(
        "speech",
        found,
        lambda model: of_speech(request),
        sources,
        # Some models are charged by audio tokens, which no response reports: no price is better than a cost of zero.
        is_priced=lambda price: bool(price.characters),
        is_streamed=True,
        speaks=bool,
    )
    return run(services, context, plan)


async def _audio(attempt: Attempt, request: SpeechRequest) -> AsyncGenerator[bytes, None]:
    silent = True
    meter = CallMeter(attempt.record, lambda: of_speech(request))
    try:
        async with aclosing(attempt.events(attempt.adapter, request, meter)) as audio:
            async for chunk in audio:
                if silent and chunk:
                    silent = False
                    # What providers charge for; they do not report it.
                    meter.reported(Usage(characters=len(request.input)))
                yield chunk
        if silent:
            raise UpstreamError("The provider's response has no audio.")
    finally:
        meter.close()
