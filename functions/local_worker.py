"""The batch worker of the local server: consumes the queue as the function batch_worker does in a stack."""

import asyncio
import time
from contextlib import suppress

from shared.batches.delivery import deliver
from shared.gateway.services import Services
from shared.stores.aws_calls import AwsError
from shared.stores.queue import Received

HIDDEN_SECONDS = 600
"""How long a message stays hidden while it is processed; after a crash of the server it is redelivered then."""
_STEP_SECONDS = 300.0
_AT_ONCE = 4
_IDLE_SECONDS = 1


async def work(services: Services) -> None:
    """Runs until it is cancelled."""
    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            for message in await _received(services, _AT_ONCE - len(running)):
                running.add(asyncio.create_task(_process(services, message)))
            if len(running) == _AT_ONCE:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running = {task for task in running if not task.done()}
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _received(services: Services, limit: int) -> list[Received]:
    try:
        return await services.batch_queue.receive(limit, wait=_IDLE_SECONDS)
    except AwsError:
        await asyncio.sleep(_IDLE_SECONDS)
        return []


async def _process(services: Services, message: Received) -> None:
    end = time.monotonic() + _STEP_SECONDS
    with suppress(Exception):  # logged already, and the message is redelivered
        await deliver(message, services, remaining=lambda: end - time.monotonic())
        await services.batch_queue.delete(message.receipt)
