"""`make bench-limits`: what limits cost: DynamoDB's write units a request, in dollars too, and the code's own time.

The units are computed from the size of the item at each write, refused ones included, as DynamoDB bills them
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html). The writes are those
of real stores with a clock that is moved by hand, on a DynamoDB in memory. Nothing is read.
"""

import asyncio
import json
import random
import time
from heapq import heappop, heappush

import httpx

from scripts.benchmark import SHORT
from scripts.dynamodb_expressions import Item
from scripts.memory_dynamodb import MemoryDynamoDb
from shared.schemas.caller import Caller
from shared.schemas.limits import Estimate, Limits
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.store import LimitStore, Reservation
from shared.stores.limits.write import item_of, size_of, write_units

SECOND = 1_000_000
DOLLARS_A_MILLION_UNITS = 0.625
"""On demand, us-east-1."""
IN_FLIGHT = 16 if SHORT else 192
SECONDS_EACH = 8
REQUESTS = 40 if SHORT else 1200
ESTIMATE = Estimate(tokens=1500, cost=2000)
DECISIONS = 50 if SHORT else 3000
ALL = Limits(requests_per_minute=3000, tokens_per_minute=10**7, concurrency=500, budget_day=10**9, budget_month=10**10)
CASES = {
    "no limits": (Limits(), Limits()),
    "all limits": (ALL, Limits()),
    "all limits, tenant's too": (ALL, ALL),
}
PROCESSES = {"a process each": IN_FLIGHT, "8 processes": 8}
MODELS = (1, 5, 50)
LOADS = (0.02, 0.1, 0.5, 0.9)
CREDENTIALS = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


def caller(limits: Limits, tenant_limits: Limits) -> Caller:
    name = "key_0123456789ab"
    return Caller(key_id=name, tenant=name, permissions=frozenset(), limits=limits, tenant_limits=tenant_limits)


class Load:
    """Requests that come at random, each to a process that has room for it, and last `SECONDS_EACH` on average."""

    def __init__(self, who: Caller, *, processes: int, rate: float, models: int) -> None:
        self._units = 0
        dynamodb = MemoryDynamoDb(self._count)
        self._now = 1_950_000_000 * SECOND
        self._who, self._rate, self._models = who, rate, models
        in_flight = max(1, round(rate * SECONDS_EACH))
        aws = [Aws(CREDENTIALS, transport=dynamodb) for _ in range(processes)]
        self._stores = [
            LimitStore(one, "limits", "usage", clock=lambda: self._now, gather=3600.0 if processes < in_flight else 0.0)
            for one in aws
        ]
        self._idle = [place % processes for place in range(max(processes, in_flight))]
        self._open: list[tuple[int, int, int, Reservation]] = []
        self._chance = random.Random(models)  # noqa: S311 - the same requests each time

    async def units(self) -> float:
        """Write units a request, once all processes have seen the key."""
        await self._stores[0].create_tables()
        for _ in range(REQUESTS // 2):
            await self._next()
        self._units = 0
        for _ in range(REQUESTS):
            await self._next()
        return self._units / REQUESTS

    def _count(self, table: str, before: Item, after: Item) -> None:
        self._units += write_units(max(size_of(item_of(before)), size_of(item_of(after))))

    async def _next(self) -> None:
        step = round(self._chance.expovariate(self._rate) * SECOND)
        self._now += step
        while self._open and (self._open[0][0] <= self._now or not self._idle):
            at, _, process, reservation = heappop(self._open)
            self._now = max(self._now, at)
            model = f"vendor/some-model-{self._chance.randrange(self._models)}"
            self._stores[process].settle(reservation, model, Usage(input_tokens=500, output_tokens=300), 900)
            self._idle.append(process)
            await asyncio.sleep(0)
            if self._chance.random() < 1 / 4:  # what gathers does so for four settlements of its process or so
                await self._stores[process].flush(60)
        process = self._idle.pop(self._chance.randrange(len(self._idle)))
        reservation = await self._stores[process].reserve(self._who, ESTIMATE)
        ends = self._now + round(self._chance.expovariate(1 / SECONDS_EACH) * SECOND)
        heappush(self._open, (ends, id(reservation), process, reservation))


async def print_units() -> None:
    rate = IN_FLIGHT / SECONDS_EACH
    print(f"write units a request and dollars a million, {IN_FLIGHT} requests on one key for {SECONDS_EACH} s each")
    heads = [(name, models) for name in PROCESSES for models in MODELS]
    print(f"{'':26}" + "".join(f"{name:>45}" for name in PROCESSES))
    print(f"{'':26}" + "".join(f"{f'{models} models' if models > 1 else '1 model':>15}" for _, models in heads))
    for case, limits in CASES.items():
        row = ""
        for name, models in heads:
            units = await Load(caller(*limits), processes=PROCESSES[name], rate=rate, models=models).units()
            row += f"{f'{units:.2f}  ${units * DOLLARS_A_MILLION_UNITS:.2f}':>15}"
        print(f"{case:26}{row}")


async def print_loads() -> None:
    print("\nthe same with all limits, 600 requests a minute and ten processes, by the share of the limit that is used")
    limits = ALL.model_copy(update={"requests_per_minute": 600, "tokens_per_minute": 10**6})
    print("".join(f"{f'{load:.0%}':>8}" for load in LOADS))
    loads = [Load(caller(limits, Limits()), processes=10, rate=10 * load, models=1) for load in LOADS]
    print("".join([f"{await load.units():>8.2f}" for load in loads]))


class Answering(httpx.AsyncBaseTransport):
    """A DynamoDB that admits everything and answers with the item that a busy key has."""

    def __init__(self) -> None:
        now = time.time_ns() // 1000
        item = {name: {"N": str(now)} for name in ("rq", "tk")} | {"n": {"N": "1"}, "p": {"N": "1"}}
        self._answer = json.dumps({"Attributes": {"id": {"S": "key#bench#0"}, **item}}).encode()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self._answer)


async def print_time() -> None:
    print("\nthe code itself: requests reserved and settled, signing and HTTP client included")
    print(f"{'':26}{'a second':>12}{'us each':>10}")
    for name, limits in CASES.items():
        aws = Aws(CREDENTIALS, transport=Answering())
        store, who = LimitStore(aws, "limits", "usage"), caller(*limits)
        begin = time.process_time()
        for _ in range(DECISIONS):
            reservation = await store.reserve(who, ESTIMATE)
            await store.settle(reservation, "model", Usage(input_tokens=500, output_tokens=300), 900)
        took = (time.process_time() - begin) / DECISIONS
        print(f"{name:26}{1 / took:>12.0f}{took * 1e6:>10.0f}")
        await aws.aclose()


async def main() -> None:
    await print_units()
    await print_loads()
    await print_time()


if __name__ == "__main__":
    asyncio.run(main())
