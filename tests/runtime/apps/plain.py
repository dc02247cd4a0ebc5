"""An application that tells what it sees of its process."""

import asyncio
import gc
import json
import os
import signal
import sys
import tracemalloc
from typing import Any

from mangum.types import Receive, Scope, Send

no_application = "a string"
print("loaded")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    match scope["path"]:
        case "/environment":
            await _answer(send, dict(os.environ) | {"sys.path": sys.path, "loop": id(asyncio.get_running_loop())})
        case "/size":
            gc.collect()
            files = len(os.listdir("/dev/fd"))
            await _answer(send, {"blocks": sys.getallocatedblocks(), "files": files, "tasks": len(asyncio.all_tasks())})
        case "/forget":
            size = len((await receive())["body"])
            await _answer(send, {"size": size, "held": tracemalloc.get_traced_memory()[0]})
        case "/large":
            await _send_large(send)
        case "/endless":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            await asyncio.Event().wait()
        case "/busy":
            print("busy")
            signal.pause()
        case _:
            await _answer(send, None)


async def _answer(send: Send, content: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


async def _send_large(send: Send) -> None:
    """8 MiB, and then as the last chunk the bytes of memory that sending it took."""
    large = b"x" * (8 << 20)
    tracemalloc.start()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": large, "more_body": True})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await send({"type": "http.response.body", "body": str(peak).encode()})
