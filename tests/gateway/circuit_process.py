"""One of several processes that share circuits: does what it is told, a line of JSON each, and prints what came of it.

Run with two arguments: the table, and the JSON of the variables that lead to AWS. A line is `[now, verb, target]`,
where `now` is the process's clock in Unix seconds: `fail` and `succeed` tell of a call, `read` takes in what others
have found and says whether the target is skipped, and `ask` says whether it may be called.
"""

import asyncio
import json
import sys

from shared.errors import UpstreamError
from shared.gateway.circuits import Circuits
from shared.stores.circuits import CircuitStore
from tests.patient_aws import PatientAws

FAILURES = 3


async def main() -> None:
    table, variables = sys.argv[1:]
    aws = PatientAws(json.loads(variables))
    now = 0.0
    circuits = Circuits(FAILURES, clock=lambda: now, store=lambda: CircuitStore(aws, table))
    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        now, verb, target = json.loads(line)
        print(json.dumps(await done(circuits, verb, target)), flush=True)
    await aws.aclose()


async def done(circuits: Circuits, verb: str, target: str) -> bool:
    match verb:
        case "fail":
            circuits.failed(target, UpstreamError("The provider failed."), "500")
        case "succeed":
            circuits.succeeded(target)
        case "read":
            circuits.refresh()
        case _:
            return await circuits.admits(target)
    await circuits.flush()
    return circuits.is_open(target)


if __name__ == "__main__":
    asyncio.run(main())
