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
from shared.runtime.loop import serve
from shared.snapshot import before_snapshot


def main() -> int:
    """The exit status, when something ends the loop that Lambda has not ended."""
    # Nothing is left to save between two invocations, and Lambda waits for half a second at most.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    # Standard output is no terminal here: without this, Lambda's log would get lines late, or never.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    gc.disable()  # importing makes objects by the ten thousand, and nearly none of them is garbage
    try:
        app = load_app(os.environ["_HANDLER"])
        before_snapshot()
    except Exception as error:  # noqa: BLE001 - whatever the application's modules raise
        log_crash(error)
        asyncio.run(api.init_error(init_failure(error)))
        return 1
    # What was imported stays: unfrozen, each full garbage collection would walk it all, 10 ms and more of a stream.
    gc.freeze()
    gc.enable()
    try:
        asyncio.run(_run(api, app))
    except Exception as error:  # noqa: BLE001 - logged in one line, which a traceback on stderr would not be
        log_crash(error)
    return 1


async def _run(api: RuntimeApi, app: ASGI) -> None:
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        await _restore(api)
    await serve(api, app, os.environ)


async def _restore(api: RuntimeApi) -> None:
    try:
        await api.restore()
        random.seed()  # the snapshot's state would be the same in every sandbox
    except Exception as error:
        await api.restore_error(failure_of(error, "Runtime.AfterRestoreError"))
        raise


if __name__ == "__main__":
    sys.exit(main())
