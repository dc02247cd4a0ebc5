"""An application's start and end: https://asgi.readthedocs.io/en/stable/specs/lifespan.html."""

import asyncio
from contextlib import suppress

from mangum.types import ASGI, Message, Scope


class Lifespan:
    """Tells an application when the process begins to serve and when it ends, if the application wants to know."""

    def __init__(self, app: ASGI) -> None:
        self._app = app
        self._news: asyncio.Queue[Message] = asyncio.Queue()
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the application has started, or has shown that it does not want to know."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._running = asyncio.create_task(self._run(scope))
        await self._tell("lifespan.startup")

    async def end(self, seconds: float) -> None:
        """Lets the application end, for so many seconds at most."""
        if self._running is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._tell("lifespan.shutdown")
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, scope: Scope) -> None:
        with suppress(Exception):  # so an application shows that it does not want to know
            await self._app(scope, self._news.get, self._told.put)

    async def _tell(self, what: str) -> None:
        assert self._running is not None
        self._news.put_nowait({"type": what})
        told = asyncio.create_task(self._told.get())
        await asyncio.wait({told, self._running}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
