"""An application that fails at the paths that say so, and answers the others with their path and id."""

import asyncio
import gc
import json
import sys

from mangum.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    told = json.dumps({"path": scope["path"], "id": scope["aws.context"].aws_request_id}).encode()
    kind = scope["path"].split("/")[1]
    match kind:
        case "size":
            gc.collect()
            told = json.dumps({"bytes": _allocated(), "tasks": len(asyncio.all_tasks())}).encode()
        case "crash":
            raise ValueError(scope["path"])
        case "overrun":
            await asyncio.Event().wait()
        case "slow":
            await asyncio.sleep(0.2)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told, "more_body": True})
    if kind == "half":
        raise ValueError(scope["path"])
    more = b"\n" + b"x" * 200_000 if kind == "large" else b""
    await send({"type": "http.response.body", "body": more})


def _allocated() -> int:
    """Roughly the bytes of all objects: blocks of 64 bytes and the like."""
    return sys.getallocatedblocks() * 64
