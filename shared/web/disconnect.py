"""Cancels work whose client has disconnected."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from shared.web.http import ClientDisconnect, Receive

T = TypeVar("T")


async def cancel_on_disconnect(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """The work's result. If the client disconnects first, cancels the work and raises ClientDisconnect."""
    worker = asyncio.current_task()
    assert worker is not None
    cancelled_before, has_left, is_over = worker.cancelling(), False, False

    def leave(watching: "asyncio.Task[None]") -> None:
        nonlocal has_left
        if not watching.cancelled():
            watching.exception()  # a client that cannot be listened to has left as well
            if not is_over:
                has_left = True
                worker.cancel()

    # The work has no task of its own: handing its result over would take a turn of the event loop.
    watching = asyncio.create_task(disconnected(receive))
    watching.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if has_left and worker.cancelling() - 1 <= cancelled_before:
            raise ClientDisconnect from None
        raise
    finally:
        is_over = True
        watching.cancel()
        if has_left:
            worker.uncancel()


async def disconnected(receive: Receive) -> None:
    """Returns when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
