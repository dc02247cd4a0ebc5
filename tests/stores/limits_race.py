"""One process of the race: many coroutines that use one key as fast as it lets them, and write down what they did.

Run with one argument, the JSON of `Plan`. Says that it is ready, waits for a line, and then prints a line of JSON for
every admission, for every settlement that it begins, and for every one that is done: who kills it knows how far it was.
"""

import asyncio
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass

from shared.schemas.caller import Caller
from shared.schemas.limits import Estimate, Limits, Refused
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.store import LimitStore


@dataclass(frozen=True)
class Plan:
    """What a process is to do in so many `coroutines`: requests that take `work` seconds, until it is told to come back
    in `patience` seconds or later."""

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


def say(**line: float | str) -> None:
    os.write(sys.stdout.fileno(), (json.dumps(line) + "\n").encode())  # at once and whole


async def use(store: LimitStore, plan: Plan, chance: random.Random) -> None:
    while True:
        try:
            reservation = await store.reserve(plan.caller(), plan.estimate)
        except Refused as refused:
            say(event="refused", seconds=refused.retry_after)
            if refused.retry_after >= plan.patience:
                return
            await asyncio.sleep(chance.uniform(0, 0.05))
            continue
        cost = chance.randint(0, plan.estimate.cost)
        tokens = chance.randint(0, plan.estimate.tokens)
        say(event="admitted", at=reservation.at, begun=time.monotonic())
        await asyncio.sleep(chance.uniform(0, 2 * plan.work))
        say(event="settling", ended=time.monotonic(), cost=cost, tokens=tokens)
        await store.settle(reservation, f"model-{chance.randint(1, 3)}", Usage(input_tokens=tokens), cost)
        say(event="settled", cost=cost, tokens=tokens)


async def main() -> None:
    given = json.loads(sys.argv[1])
    plan = Plan(**{**given, "estimate": Estimate(**given["estimate"])})
    aws = Aws(plan.environment)
    store = LimitStore(aws, *plan.tables, lease=plan.lease)
    say(event="ready")
    sys.stdin.readline()
    chance = random.Random(plan.seed)
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.coroutines):
            group.create_task(use(store, plan, chance))
    await aws.aclose()


if __name__ == "__main__":
    asyncio.run(main())
