"""The routes that speak: parse, call the gateway once, and send the audio on as it comes."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from starlette.types import Send

from shared.errors import InternalError
from shared.pump import Pump
from shared.schemas.speech import SpeechRequest
from shared.web.app import context_of
from shared.web.body import json_body
from shared.web.caller import ProcessServices
from shared.web.events import LiveResponse, cancel_on_disconnect
from shared.web.routes import parser, post


def speech_route(path: str, name: str) -> Callable[[FastAPI], None]:
    """POST `path`, its body read by a dialect's parser."""

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        from shared.dialects.openai.speech import MEDIA_TYPES
        from shared.gateway.speech import speak

        wanted: SpeechRequest = await json_body(request, services.settings.max_body, parser(name))
        pump = Pump(speak(services, wanted, context_of(request)))
        try:
            # Until there is audio, a failure keeps its own status.
            first = await cancel_on_disconnect(pump.get(), request.receive)
        except StopAsyncIteration:
            await pump.aclose()
            raise InternalError("The gateway failed.") from None
        except BaseException:
            await pump.aclose()
            raise
        return AudioStream(pump, first, MEDIA_TYPES[wanted.format])

    return post(path, endpoint)


class AudioStream(LiveResponse):
    """Audio in chunks as they come from a Pump. A failure on the way breaks the answer off."""

    def __init__(self, pump: Pump[bytes], first: bytes, media_type: str) -> None:
        self.media_type = media_type
        super().__init__()
        self._pump = pump
        self._first = first

    async def write(self, send: Send) -> None:
        chunk = self._first
        while True:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            try:
                chunk = await self._pump.get()
            except StopAsyncIteration:
                break
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def close(self) -> None:
        await self._pump.aclose()
