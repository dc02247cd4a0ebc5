"""Work for a client that leaves is cancelled, and nothing else is."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from shared.web.disconnect import cancel_on_disconnect
from shared.web.http import ClientDisconnect, Message

pytestmark = pytest.mark.anyio


class Client:
    """A client that leaves when it is told to, or whose connection fails."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.error: Exception | None = None

    async def receive(self) -> Message:
        await self.leaves.wait()
        if self.error is not None:
            raise self.error
        return {"type": "http.disconnect"}


class Work:
    """Goes on until it is cancelled, or told to end."""

    def __init__(self) -> None:
        self.begun, self.ends = asyncio.Event(), asyncio.Event()
        self.was_cancelled = False

    async def run(self) -> str:
        self.begun.set()
        try:
            await self.ends.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return "done"


def not_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


async def test_work_ends_with_its_result_while_the_client_stays() -> None:
    client, work = Client(), Work()
    work.ends.set()
    assert await cancel_on_disconnect(work.run(), client.receive) == "done"


@pytest.mark.parametrize("error", [None, OSError("the connection broke")], ids=["leaves", "fails"])
async def test_work_is_cancelled_when_the_client_leaves(error: Exception | None) -> None:
    client, work = Client(), Work()
    client.error = error
    client.leaves.set()
    with pytest.raises(ClientDisconnect):
        await cancel_on_disconnect(work.run(), client.receive)
    assert work.was_cancelled
    assert not_cancelled()


async def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await cancel_on_disconnect(fail(), Client().receive)


async def test_who_is_cancelled_himself_does_not_take_it_for_a_client_that_left() -> None:
    client, work = Client(), Work()
    running = asyncio.create_task(cancel_on_disconnect(work.run(), client.receive))
    await work.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.was_cancelled


async def returned(client: Client) -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "too late"
    raise AssertionError


async def raised(client: Client) -> str:
    try:
        await asyncio.Event().wait()
    finally:
        raise LookupError


async def at_once(client: Client) -> str:
    await asyncio.sleep(0)  # the client has left in the same turn of the event loop
    return "in time"


@pytest.mark.parametrize("work", [returned, raised])
async def test_work_that_ends_in_another_way_than_cancelled_leaves_no_cancellation_behind(
    work: Callable[[Client], Awaitable[str]],
) -> None:
    client = Client()
    client.leaves.set()
    try:
        told = await cancel_on_disconnect(work(client), client.receive)  # type: ignore[arg-type]
    except LookupError:
        told = "failed"
    assert told in ("too late", "failed")
    assert not_cancelled()
    await asyncio.sleep(0)


async def test_a_client_that_leaves_as_the_work_ends_leaves_no_cancellation_behind() -> None:
    client = Client()
    client.leaves.set()
    with suppress(ClientDisconnect):
        await cancel_on_disconnect(at_once(client), client.receive)
    assert not_cancelled()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
