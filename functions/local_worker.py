"""The batch worker of the local server: consumes the queue as the function batch_worker does in a stack.

`python -m functions.local_worker` works until its standard input ends, as it does when the server that started it is
gone. In a process of its own, so that batches do not slow interactive requests down.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from shared.batches.delivery import deliver
from shared.gateway.services import Services, process_services
from shared.stores.aws_calls import AwsError
from shared.stores.queue import Received

HIDDEN_SECONDS = 600
"""How long a message stays hidden while it is processed; after a crash of the server it is redelivered then."""
_STEP_SECONDS = 300.0
_AT_ONCE = 4
_IDLE_SECONDS = 1
_NICENESS = 10
_STOP_SECONDS = 3


@asynccontextmanager
async def batch_worker() -> AsyncIterator[None]:
    """Runs a worker process, with this one's environment, until the context ends. A crashed one is started anew."""
    keeping = asyncio.create_task(_keep_running())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep_running() -> None:
    while True:
        # A session of its own: Ctrl-C on a terminal is for the server, which ends the worker.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "functions.local_worker", stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            await process.wait()
        finally:
            assert process.stdin is not None
            process.stdin.close()
            with suppress(ProcessLookupError):
                try:
                    await asyncio.wait_for(process.wait(), _STOP_SECONDS)
                except TimeoutError:
                    process.kill()
                    await process.wait()
        await asyncio.sleep(_IDLE_SECONDS)


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


async def _work_until_the_server_is_gone() -> None:
    services = process_services()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    working, gone = asyncio.create_task(work(services)), asyncio.create_task(reader.read())
    await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, gone):
        task.cancel()
    await asyncio.gather(working, gone, return_exceptions=True)
    await services.aclose()


if __name__ == "__main__":
    os.nice(_NICENESS)
    asyncio.run(_work_until_the_server_is_gone())
