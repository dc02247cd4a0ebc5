"""Speech, whatever its dialect: parse, call the gateway once, and send the audio as it arrives."""

from shared.pump import Pump
from shared.schemas.speech import SpeechRequest
from shared.web.events import LiveResponse, wait_for_first
from shared.web.http import Response, Send
from shared.web.request import ApiRequest


async def speak(request: ApiRequest) -> Response:
    from shared.dialects.openai.speech import MEDIA_TYPES
    from shared.gateway import speech as gateway

    wanted: SpeechRequest = await request.parsed()
    pump = Pump(gateway.speak(request.services, wanted, request.context))
    first = await wait_for_first(request, pump, pump.get())
    return AudioStream(pump, first, MEDIA_TYPES[wanted.format])


class AudioStream(LiveResponse):
    """Audio in chunks from a Pump. A failure after the first chunk aborts the response."""

    def __init__(self, pump: Pump[bytes], first: bytes, media_type: str) -> None:
        super().__init__(media_type)
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
