"""Gateway processes that race for one key, each with the whole HTTP application and services of its own.

Run with two arguments: how many there are to be, and by how many microseconds their limits' clock is ahead. The
environment configures them. Prints the process id and the port of each, and ends with its standard input, when
everything is settled. In place of the provider stands `answer`.

One process imports the application and is forked then: eight imports would take longer than the race.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn

from functions.__main__ import AllFunctions
from shared.gateway.services import Services
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore

INPUT_TOKENS = 5
_PIECES = 3
_LONGEST_PAUSE = 0.04
_SETTLING_SECONDS = 120.0


def text_of(tokens: int) -> str:
    """What the provider says in so many tokens."""
    return " ".join(f"{tokens}.{piece}" for piece in range(_PIECES))


async def answer(request: httpx.Request) -> httpx.Response:
    """The provider: says, whole or streamed, as many tokens as the message asks for, and tells its usage."""
    body = json.loads(request.content)
    tokens = int(body["messages"][-1]["content"])
    usage = {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": INPUT_TOKENS + tokens,
    }
    await _pause()
    if not body.get("stream"):
        message = {"role": "assistant", "content": text_of(tokens)}
        return httpx.Response(200, json=_answer(message=message, finish_reason="stop") | {"usage": usage})
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_stream(tokens, usage))


async def _stream(tokens: int, usage: dict[str, int]) -> AsyncIterator[bytes]:
    for number, piece in enumerate(text_of(tokens).split(" ")):
        yield _event(_answer(delta={"role": "assistant", "content": f" {piece}" if number else piece}))
        await _pause()
    yield _event(_answer(delta={}, finish_reason="stop"))
    yield _event({"id": "1", "created": 1, "model": "m", "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _answer(**choice: Any) -> dict[str, Any]:
    return {"id": "1", "created": 1, "model": "m", "choices": [{"index": 0, **choice}]}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


async def _pause() -> None:
    await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE))


def services_of(environment: dict[str, str], ahead: int) -> Services:
    """As `Services.from_environment`, but with the provider and the limits' clock of the race."""
    settings, aws = Settings.from_environment(environment), Aws(environment)
    keys = KeyStore(aws, settings.keys_table, cache_seconds=settings.key_cache, grace_seconds=settings.key_grace)
    services = Services(settings, keys, aws=aws, transport=httpx.MockTransport(answer))
    assert settings.limits_table is not None
    services.limits = LimitStore(
        aws,
        settings.limits_table,
        settings.usage_table,
        gather=settings.settlement_wait,
        clock=lambda: time.time_ns() // 1000 + ahead,
    )
    return services


async def serve(listening: socket.socket, ahead: int) -> None:
    """Serves until the end of the standard input, and then until everything is settled."""
    services = services_of(dict(os.environ), ahead)
    functions = AllFunctions()
    for app in functions.apps.values():
        app.services = lambda: services
    server = uvicorn.Server(
        uvicorn.Config(functions, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.should_exit = True
    await serving
    await services.settle(_SETTLING_SECONDS)
    await services.aclose()


def forked(ahead: int) -> int:
    """Starts a gateway and prints where it is. Returns its process id."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        if (process := os.fork()) == 0:
            status = 1
            try:
                random.seed()
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads the log
                asyncio.run(serve(listening, ahead))
                status = 0
            finally:
                os._exit(status)
    print(process, port, flush=True)
    return process


def main() -> None:
    count, ahead = map(int, sys.argv[1:])
    processes = [forked(ahead) for _ in range(count)]
    ends = {os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes}
    sys.exit(not ends <= {0, -signal.SIGKILL})


if __name__ == "__main__":
    main()
