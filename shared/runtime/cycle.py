"""One request through an ASGI application: https://asgi.readthedocs.io/en/stable/specs/www.html."""

import asyncio

from mangum.types import ASGI, Message

from shared.runtime.event import HttpEvent
from shared.runtime.failure import CRASHED, OUT_OF_TIME, STOPPING, Failure
from shared.runtime.log import log_crash, log_error
from shared.runtime.output import Output

# How long a cancelled application may take to clean up, in seconds.
_TIDY_UP = 0.3


class Cycle:
    """Passes a request to the application and its response to the output.

    The status is held back until the first part of the body, so that a failure in between can still be reported as an
    error response. Lambda does not report client disconnects: the application sees none until its response is complete.
    """

    def __init__(self, event: HttpEvent, output: Output, request_id: str) -> None:
        self._event = event
        self._output = output
        self._request_id = request_id
        self._ids = {"request_id": request_id, "function_request_id": event.scope["aws.context"].aws_request_id}
        self._start: Message | None = None
        self._asked = False
        self._complete = asyncio.Event()
        self._over = False
        self._stopped = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Cancels the application because the process ends."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def run(self, app: ASGI, seconds: float) -> None:
        """Runs the application for at most `seconds` and makes sure that there is a response, its own or an error."""
        running = asyncio.create_task(app(self._event.scope, self._receive, self._send))
        failure = await self._wait_for(running, seconds)
        self._over = True
        if not self._output.ended:
            await self._output.fail(failure or self._unfinished(), self._request_id)
        await self._output.finish()

    async def _wait_for(self, running: "asyncio.Task[None]", seconds: float) -> Failure | None:
        """Waits for the application. Logs and returns its failure, None if it succeeded."""
        ends = {running, self._stopped}
        await asyncio.wait(ends, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            is_stopped = self._stopped.done()
            log_error("the process is stopping" if is_stopped else "the invocation timed out", **self._ids)
            running.cancel()
            await asyncio.wait({running}, timeout=_TIDY_UP)
            return STOPPING if is_stopped else OUT_OF_TIME
        if running.cancelled():
            log_error("the application was cancelled", **self._ids)
            return CRASHED
        if error := running.exception():
            log_crash(error, **self._ids)
            return CRASHED
        return None

    def _unfinished(self) -> Failure:
        log_error("the application returned before its response was complete", **self._ids)
        return CRASHED

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._event.take_body(), "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._over:
            raise OSError("The invocation is over.")
        match message["type"]:
            case "http.response.start" if self._start is None:
                self._start = message
            case "http.response.body" if self._start is not None and not self._output.ended:
                await self._send_body(self._start, message)
            case unexpected:
                raise RuntimeError(f"unexpected {unexpected}")

    async def _send_body(self, start: Message, message: Message) -> None:
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if not self._output.started:
            await self._output.start(start["status"], start.get("headers", ()), chunk, more=more)
        elif chunk or not more:
            await self._output.body(chunk, more=more)
        if not more:
            self._complete.set()
