"""One process of the race: many coroutines that use one key as fast as it lets them, and write down what they did.

Run with one argument, the JSON of `Plan`. Says that it is ready, waits for a line, and then prints a line of JSON for
every admission, for every answer that its client has got, for whatever refused it, and when all is settled: who kills
it knows how far it was.
"""

import asyncio
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass

from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import Estimate, Limits, Refused
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.store import LimitStore, Reservation


@dataclass(frozen=True)
class Plan:
    """What a process is to do in so many `coroutines`: requests that take up to twice `work` seconds, until it is told
    to come back in `patience` seconds or later. `leaving` is the share of clients that leave while their request is
    being reserved. Its clock is `ahead` of this machine's by so many microseconds."""

    environment: dict[str, str]
    tables: tuple[str, str]
    limits: dict[str, int | None]
    tenant_limits: dict[str, int | None]
    lease: int
    coroutines: int
    work: float
    patience: int
    seed: int
    estimate: Estimate
    ahead: int = 0
    leaving: float = 0.0

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.stores.limits_race", json.dumps(asdict(self))]

    def caller(self) -> Caller:
        return Caller(
            key_id="raced",
            tenant="t",
            permissions=frozenset(),
            limits=Limits(**self.limits),
            tenant_limits=Limits(**self.tenant_limits),
        )

    def store(self, aws: Aws, *, later: float = 0) -> LimitStore:
        """A store on the plan's tables, so many seconds later."""
        ahead = self.ahead + round(later * 1_000_000)
        return LimitStore(aws, *self.tables, lease=self.lease, clock=lambda: time.time_ns() // 1000 + ahead)


def say(**line: float | str) -> None:
    os.write(sys.stdout.fileno(), (json.dumps(line) + "\n").encode())  # at once and whole


async def use(store: LimitStore, plan: Plan, chance: random.Random) -> None:
    while True:
        try:
            reservation = await reserve(store, plan, chance)
        except (Refused, ModelUnavailable) as error:
            seconds = error.retry_after or -1
            say(event="refused" if isinstance(error, Refused) else "unavailable", seconds=seconds)
            if seconds >= plan.patience:
                return
            await asyncio.sleep(chance.uniform(0, 0.1))
            continue
        if reservation is None:
            say(event="left")
            continue
        cost = chance.randint(0, plan.estimate.cost)
        tokens = chance.randint(0, plan.estimate.tokens)
        say(event="admitted", at=reservation.at, begun=time.monotonic())
        await asyncio.sleep(chance.uniform(0, 2 * plan.work))
        say(event="served", ended=time.monotonic(), cost=cost, tokens=tokens)
        store.settle(reservation, f"model-{chance.randint(1, 3)}", Usage(input_tokens=tokens), cost)


async def reserve(store: LimitStore, plan: Plan, chance: random.Random) -> Reservation | None:
    """None where the client has left meanwhile."""
    reserving = asyncio.ensure_future(store.reserve(plan.caller(), plan.estimate))
    if chance.random() < plan.leaving:
        await asyncio.wait([reserving], timeout=chance.uniform(0, 0.03))
        if not reserving.done():
            reserving.cancel()
            await asyncio.wait([reserving])
        if not reserving.cancelled() and reserving.exception() is None:
            store.cancel(reserving.result())
        return None
    return await reserving


async def main() -> None:
    given = json.loads(sys.argv[1])
    plan = Plan(**{**given, "estimate": Estimate(**given["estimate"])})
    aws = Aws(plan.environment)
    store = plan.store(aws)
    say(event="ready")
    sys.stdin.readline()
    chance = random.Random(plan.seed)
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.coroutines):
            group.create_task(use(store, plan, chance))
    await store.flush(120)
    say(event="settled")
    await aws.aclose()


if __name__ == "__main__":
    asyncio.run(main())
