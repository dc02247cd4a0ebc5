"""`make stress-runtime`: 10,000 invocations of one process of the runtime, 500 at once, of which many go wrong.

Each is answered with its own path, crashes, breaks off half-way, overruns a deadline of its own, or loses its
connection. Every answer is compared with what was asked. Fails when one is another's, or when the process grows.
"""

import asyncio
import json
import sys
import time
from collections import Counter

from scripts.benchmark import whole_number
from scripts.emulator import cpu_seconds
from tests.runtime.platform import Answer
from tests.runtime.requests import rest_event
from tests.runtime.test_process import Sandbox, sandbox

AT_ONCE = whole_number("AT_ONCE", usual=500, short=50)
IN_ALL = whole_number("IN_ALL", usual=10_000, short=500)
_KINDS = ("fine", "fine", "fine", "slow", "crash", "half", "overrun", "fine", "large", "fine")
_STATUS = {"crash": 500, "overrun": 504}
_BREAK_EVERY = 97
_MOST_GROWTH_BYTES = 2 * 2**20


async def main() -> None:
    """Prints how many invocations ended how, and what the process held before and after."""
    outcomes: Counter[str] = Counter()
    async with sandbox("tests.runtime.apps.mixed.app", AWS_LAMBDA_MAX_CONCURRENCY=str(AT_ONCE)) as runtime:
        silent = asyncio.create_task(_read(runtime))  # what is logged of the failures
        await _round(runtime, AT_ONCE, outcomes)
        before, began, cpu = await runtime.get("/size"), time.monotonic(), cpu_seconds(runtime.process.pid)
        left = IN_ALL - AT_ONCE
        while left > 0:
            await _round(runtime, min(AT_ONCE, left), outcomes)
            left -= AT_ONCE
        seconds, used = time.monotonic() - began, cpu_seconds(runtime.process.pid) - cpu
        after = await runtime.get("/size")
        silent.cancel()
    print(f"{sum(outcomes.values())} invocations, {AT_ONCE} at once: {dict(sorted(outcomes.items()))}")
    each = used / max(1, IN_ALL - AT_ONCE) * 1000
    print(f"{seconds:.1f} s, {each:.2f} ms of CPU time each; before {before}, after {after}")
    if after["bytes"] > before["bytes"] + _MOST_GROWTH_BYTES or after["tasks"] != before["tasks"]:
        sys.exit("the process has grown")


async def _round(runtime: Sandbox, number: int, outcomes: Counter[str]) -> None:
    asked: dict[str, Answer] = {}
    for index in range(number):
        kind = _KINDS[index % len(_KINDS)]
        path = f"/{kind}/{index}"
        seconds = 0.6 + index % 7 / 10 if kind == "overrun" else 60.0
        asked[path] = runtime.platform.invoke(rest_event(path), seconds=seconds)
    lost = number // _BREAK_EVERY
    runtime.platform.breaks = lost
    tasks = {asyncio.create_task(_outcome(path, answer)) for path, answer in asked.items()}
    while len(tasks) > lost:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        outcomes.update(task.result() for task in done)
    for task in tasks:
        task.cancel()
    outcomes["lost with its connection"] += len(tasks)
    runtime.platform.forget()


async def _outcome(path: str, answer: Answer) -> str:
    kind = path.split("/")[1]
    prelude = await answer.prelude(patience=60)
    body = await answer.rest()
    if prelude["statusCode"] != _STATUS.get(kind, 200):
        sys.exit(f"{path} was answered {prelude['statusCode']}: {body[:300]!r}")
    if kind in ("fine", "slow", "half", "large"):
        told = json.loads(body.partition(b"\n")[0])
        if told != {"path": path, "id": answer.request_id}:
            sys.exit(f"{path}, {answer.request_id}, got the answer of {told}")
    if (kind == "half") != bool(answer.trailers):
        sys.exit(f"{path} ended with {answer.trailers}")
    return kind


async def _read(runtime: Sandbox) -> None:
    assert runtime.process.stdout is not None
    while await runtime.process.stdout.readline():
        pass


if __name__ == "__main__":
    asyncio.run(main())
