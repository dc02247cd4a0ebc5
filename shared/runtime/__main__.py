"""`python -m shared.runtime`: loads the function's application, then serves it until Lambda ends the sandbox."""

import asyncio
import gc
import os
import random
import signal
import sys

from mangum.types import ASGI

from shared.runtime.api import RuntimeApi
from shared.runtime.failure import failure_of
from shared.runtime.handler import init_failure, load_app
from shared.runtime.log import log_crash
from shared.runtime.loop import Runtime
from shared.snapshot import before_snapshot

_THREADS = 32


def main() -> int:
    """Serves until Lambda ends the process. Returns the exit status after a failure."""
    # There is no state to save: a process that serves one invocation at a time has none in flight when it is ended.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    # Standard output is not a terminal here: without this, lines would reach Lambda's log late, or never.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    address = os.environ["AWS_LAMBDA_RUNTIME_API"]
    gc.disable()  # importing creates tens of thousands of objects, of which almost none is garbage
    try:
        app = load_app(os.environ["_HANDLER"])
        before_snapshot()
    except Exception as error:  # noqa: BLE001 - whatever the application's modules raise
        log_crash(error)
        asyncio.run(RuntimeApi(address).init_error(init_failure(error)))
        return 1
    # Imported objects live as long as the process. Without this, each full collection would scan them, for 10 ms or
    # more in the middle of a stream.
    gc.freeze()
    gc.enable()
    try:
        asyncio.run(_run(address, app))
    except Exception as error:  # noqa: BLE001 - logged as one line of JSON instead of a traceback on stderr
        log_crash(error)
    return 1


async def _run(address: str, app: ASGI) -> None:
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        await _restore(RuntimeApi(address))
    runtime = Runtime(address, app, os.environ)
    if runtime.concurrency > 1:
        from concurrent.futures import ThreadPoolExecutor  # ordinary Lambda's cold starts do without it

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, runtime.stop)
        # By default there are five threads with one processor: one request's large picture would hold up the look-up of
        # names for all others.
        loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    await runtime.serve()
    sys.stdout.flush()
    os._exit(0)  # nothing waits for the threads of work that was broken off


async def _restore(api: RuntimeApi) -> None:
    try:
        await api.restore()
        random.seed()  # the snapshot's state would be the same in every sandbox
    except Exception as error:
        await api.restore_error(failure_of(error, "Runtime.AfterRestoreError"))
        raise


if __name__ == "__main__":
    sys.exit(main())
