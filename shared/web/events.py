"""Streamed responses: server-sent events that are sent as they are produced."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Generic, TypeVar

from shared.dialects import dialect_named
from shared.dialects.base import Encoder
from shared.errors import GatewayError, InternalError
from shared.observability import log_crash
from shared.pump import Pump
from shared.schemas.context import RequestContext
from shared.schemas.events import OriginalEvent, Started
from shared.web.disconnect import disconnected
from shared.web.http import Receive, Response, Scope, Send
from shared.web.request import ApiRequest

T = TypeVar("T")
E = TypeVar("E")


class LiveResponse(Response):
    """A response that is sent as it is produced. If the client disconnects, its source is closed."""

    def __init__(self, media_type: str) -> None:
        super().__init__(None, headers={"cache-control": "no-cache", "x-accel-buffering": "no"}, media_type=media_type)

    async def write(self, send: Send) -> None:
        """Sends the body, including its end."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stops the source."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(self.start)
        writing = asyncio.create_task(self.write(send))
        leaving = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            writing.cancel()
            leaving.cancel()
            try:
                await asyncio.gather(writing, leaving, return_exceptions=True)
            finally:
                await self.close()


class EventStream(LiveResponse, Generic[E]):
    """Events from a Pump, with `keep_alive` sent in every silence of `longest_silence` seconds.

    An error after the first byte is reported in the stream. `resources` stay open until the stream ends.
    """

    def __init__(
        self,
        pump: Pump[E],
        encoder: Encoder[E],
        context: RequestContext,
        *,
        opening: bytes,
        keep_alive: bytes,
        longest_silence: float,
        resources: AsyncExitStack | None = None,
    ) -> None:
        super().__init__("text/event-stream")
        self._pump = pump
        self._encoder = encoder
        self._context = context
        self._opening = opening
        self._keep_alive = keep_alive
        self._longest_silence = longest_silence
        self._resources = resources

    async def close(self) -> None:
        await self._pump.aclose()
        if self._resources is not None:
            await self._resources.aclose()

    async def write(self, send: Send) -> None:
        chunk = self._opening
        ended = False
        while not ended:
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk, ended = await self._next()
        await send({"type": "http.response.body", "body": chunk, "more_body": False})

    async def _next(self) -> tuple[bytes, bool]:
        """The next bytes, and whether they are the last."""
        clock = asyncio.get_running_loop().time
        quiet_until = clock() + self._longest_silence
        try:
            # Some events produce no output in a dialect, so that events may arrive during a long silence.
            while True:
                events = await self._pump.get_all(max(0.0, quiet_until - clock()))
                # Events that arrived together are sent together.
                if chunk := b"".join(map(self._encoder.event, events)):
                    return chunk, False
        except TimeoutError:
            return self._keep_alive, False
        except StopAsyncIteration:
            return self._encoder.end(), True
        except GatewayError as error:
            return self._failed(error), True
        except Exception:  # noqa: BLE001 - logged; the client gets a generic error
            log_crash(self._context.request)
            return self._failed(InternalError("The gateway failed.")), True

    def _failed(self, error: GatewayError) -> bytes:
        self._context.meter.error = error.code
        return self._encoder.error(error)


async def event_stream(
    request: ApiRequest,
    source: AsyncGenerator[E, None],
    encoder: Encoder[E],
    *,
    resources: AsyncExitStack | None = None,
) -> EventStream[E]:
    """The source's events as a response, which closes `resources` when it ends.

    Raises what the source raises before its first event, so that the error gets its own status.
    """
    settings = request.services.settings
    keep_alive = dialect_named(request.route.dialect).keep_alive
    pump = Pump(source)
    first = _first_bytes(pump, encoder, settings.first_event_wait, keep_alive)
    opening = await wait_for_first(request, pump, first)
    return EventStream(
        pump,
        encoder,
        request.context,
        opening=opening,
        keep_alive=keep_alive,
        longest_silence=settings.keep_alive,
        resources=None if resources is None else resources.pop_all(),
    )


async def wait_for_first(request: ApiRequest, pump: Pump[Any], first: Coroutine[Any, Any, T]) -> T:
    """The result of `first`, for which the status line waits. If it raises, closes the pump and raises the same."""
    try:
        return await request.cancel_on_disconnect(first)
    except BaseException as error:
        await pump.aclose()
        if isinstance(error, StopAsyncIteration):
            raise InternalError("The gateway failed.") from None
        raise


async def _first_bytes(pump: Pump[E], encoder: Encoder[E], wait: float, keep_alive: bytes) -> bytes:
    """The bytes of a stream up to its first event with content, or `keep_alive` if there is none within `wait` seconds.

    Nothing is sent before that, so that a provider which fails after its opening still gets an HTTP status.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    opening = b""
    while True:
        try:
            event = await pump.get(deadline - loop.time())
        except TimeoutError:
            return opening + keep_alive
        opening += encoder.event(event)
        if not isinstance(event, Started) and not (isinstance(event, OriginalEvent) and event.is_opening):
            return opening
