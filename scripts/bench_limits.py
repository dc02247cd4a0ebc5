"""`make bench-limits`: the cost of limits: DynamoDB writes and reads per request, and the code's own time.

The counts are of real requests to moto's server, made by several independent stores, as in several processes. A store
whose view of a token bucket is out of date needs one more write to learn its state. The time is measured in one process
with an in-memory DynamoDB stub that responds immediately.
"""

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from moto.server import ThreadedMotoServer

from scripts.benchmark import SHORT
from shared.schemas.caller import Caller
from shared.schemas.limits import Estimate, Limits
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.store import LimitStore, Reservation

SECOND = 1_000_000
REQUESTS = 10 if SHORT else 120
PROCESSES = 2 if SHORT else 10
LOADS = (0.02, 0.1, 0.5, 0.9)
RATE = 10
"""Requests a second that the limit lets through."""
OPEN_SECONDS = 5
ESTIMATE = Estimate(tokens=1500, cost=2000)
DECISIONS = 50 if SHORT else 3000
ALL = Limits(
    requests_per_minute=60 * RATE, tokens_per_minute=10**6, concurrency=100, budget_day=10**9, budget_month=10**10
)
CASES = {
    "no limits": (Limits(), Limits()),
    "all limits": (ALL, Limits()),
    "all limits, tenant too": (ALL, ALL),
}
CREDENTIALS = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


class Counting(httpx.AsyncBaseTransport):
    """Counts what is asked of DynamoDB."""

    def __init__(self) -> None:
        self.inner = httpx.AsyncHTTPTransport()
        self.actions: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.actions[request.headers["x-amz-target"].partition(".")[2]] += 1
        return await self.inner.handle_async_request(request)


class Memory(httpx.AsyncBaseTransport):
    """A DynamoDB that admits everything and answers with the item that a busy key has."""

    def __init__(self) -> None:
        now = time.time_ns() // 1000
        item = {name: {"N": str(now)} for name in ("rq", "tk")} | {"n": {"N": "1"}, f"n:{now // SECOND}": {"N": "1"}}
        self._answer = json.dumps({"Attributes": {"id": {"S": "key#bench#0"}, **item}}).encode()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self._answer)


def caller(limits: Limits, tenant_limits: Limits, key_id: str = "bench") -> Caller:
    return Caller(key_id=key_id, tenant=key_id, permissions=frozenset(), limits=limits, tenant_limits=tenant_limits)


async def use(store: LimitStore, who: Caller) -> None:
    await _settle(store, await store.reserve(who, ESTIMATE))


async def _settle(store: LimitStore, reservation: Reservation) -> None:
    await store.settle(reservation, "model", Usage(input_tokens=500, output_tokens=300), 900)


@asynccontextmanager
async def dynamodb() -> AsyncIterator[tuple[Aws, Counting]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    counting = Counting()
    aws = Aws({**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}, transport=counting)
    await LimitStore(aws, "limits", "usage").create_tables()
    yield aws, counting
    await aws.aclose()
    server.stop()


async def count() -> None:
    """Requests that come at random, each open for a while, at some share of what the limit lets through."""
    print(f"writes and reads of DynamoDB a request, {PROCESSES} processes with one key, at a share of its limit")
    print(f"{'':26}{'reads':>8}" + "".join(f"{f'{load:.0%}':>8}" for load in LOADS))
    async with dynamodb() as (aws, counting):
        for name, limits in CASES.items():
            counted = [await _counted(aws, counting, caller(*limits, key_id=f"{name} {load}"), load) for load in LOADS]
            reads = sum(actions["GetItem"] + actions["Query"] + actions["Scan"] for actions in counted)
            print(f"{name:26}{reads:>8}" + "".join(f"{_writes(actions):>8.2f}" for actions in counted))


async def _counted(aws: Aws, counting: Counting, who: Caller, load: float) -> Counter[str]:
    now = [time.time_ns() // 1000]
    stores = [LimitStore(aws, "limits", "usage", clock=lambda: now[0]) for _ in range(PROCESSES)]
    chance = random.Random(load)  # noqa: S311 - the same requests each time
    counting.actions.clear()
    unsettled: list[tuple[int, LimitStore, Reservation]] = []
    for _ in range(REQUESTS):
        now[0] += round(chance.expovariate(load * RATE) * SECOND)
        while unsettled and unsettled[0][0] <= now[0]:
            _, store, reservation = unsettled.pop(0)
            await _settle(store, reservation)
        store = chance.choice(stores)
        unsettled.append((now[0] + OPEN_SECONDS * SECOND, store, await store.reserve(who, ESTIMATE)))
    for _, store, reservation in unsettled:
        await _settle(store, reservation)
    return counting.actions.copy()


def _writes(counted: Counter[str]) -> float:
    return (counted["UpdateItem"] + counted["TransactWriteItems"]) / REQUESTS


async def measure() -> None:
    print("\nthe code itself: requests reserved and settled, signing and HTTP client included")
    print(f"{'':26}{'a second':>12}{'us each':>10}")
    for name, limits in CASES.items():
        aws = Aws(CREDENTIALS, transport=Memory())
        store, who = LimitStore(aws, "limits", "usage"), caller(*limits)
        await use(store, who)
        begin = time.process_time()
        for _ in range(DECISIONS):
            await use(store, who)
        took = (time.process_time() - begin) / DECISIONS
        print(f"{name:26}{1 / took:>12.0f}{took * 1e6:>10.0f}")
        await aws.aclose()


async def main() -> None:
    await count()
    await measure()


if __name__ == "__main__":
    asyncio.run(main())
