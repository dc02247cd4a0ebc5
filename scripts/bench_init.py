"""`make bench-init`: the cold start time and memory of each built function, as a table.

Each starts ROUNDS times, in turn with the others, so that a machine whose speed drifts affects all alike. The tables
have the shortest times, since other work of the machine only adds to them, and the largest memory. A function is
invoked with the sample event of its first route or other trigger, on an embedded AWS that is reset for each start. For
comparison, a bare handler and a typical FastAPI hello run on the same wheels. WRITE=on updates README's table.
"""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import files
from pathlib import Path
from typing import Any

import httpx

from functions.embedded_aws import embedded_aws, seed, seed_batches
from scripts.benchmark import SHORT, report, table, whole_number
from scripts.emulator import ROOT, Function, NotReady, built_functions, emulated
from scripts.sam_local import store_sample_batches, store_sample_files, store_sample_responses
from shared.gateway.services import Services

ROUNDS = whole_number("ROUNDS", usual=7, short=1)
WARM_INVOKES = 2 if SHORT else 20
HELLO = "FastAPI, Mangum, httpx, boto3, Powertools hello"
SETTINGS = {
    "GATEWAY_SANDBOX": "on",
    "GATEWAY_TRUST_AUTHORIZER": "on",
    "GATEWAY_LIMITS_TABLE": "gateway-limits",
    "GATEWAY_METRICS_NAMESPACE": "bench",
}

BARE_SOURCE = """
def handler(event, context):
    return {"statusCode": 200, "body": "hello"}
"""
HELLO_SOURCE = """
import boto3
import httpx
from aws_lambda_powertools import Logger, Metrics, Tracer
from fastapi import FastAPI
from mangum import Mangum

logger = Logger(service="hello")
metrics = Metrics(namespace="hello", service="hello")
tracer = Tracer(service="hello")
dynamodb = boto3.client("dynamodb", region_name="us-east-1")
client = httpx.AsyncClient()
app = FastAPI()


@app.post("/v1/chat/completions")
async def hello():
    return {"hello": "world"}


handler = Mangum(app, lifespan="off")
"""
HELLO_BESIDES = ("fastapi", "annotated-doc", "opentelemetry-api")
"""What of the hello's is not in the layer."""


@dataclass(frozen=True)
class Run:
    """One start: milliseconds, of which `cpu` are CPU time until the first answer, and the peak of memory in MB."""

    init: float
    cpu: float
    first: float
    warm: float
    memory: float


def main() -> None:
    """Prints the table. Exits with one line when something has to be built first."""
    os.environ |= SETTINGS
    with tempfile.TemporaryDirectory() as folder, embedded_aws() as aws_url:
        try:
            runs = _measure(_candidates(Path(folder)), aws_url)
        except NotReady as error:
            sys.exit(str(error))
    print(_times(runs), end="\n\n")
    report("bench-init", _shares(runs))


def _candidates(folder: Path) -> list[tuple[Function, Mapping[str, Any]]]:
    built = built_functions()
    ours = [replace(function, environment=SETTINGS) for _, function in sorted(built.items())]
    chat = _sample_event(built["chat"])
    return [
        (_baseline(folder / "bare", "bare handler", BARE_SOURCE, ()), chat),
        (_baseline(folder / "hello", HELLO, HELLO_SOURCE, built["chat"].path, HELLO_BESIDES), chat),
        *((function, _sample_event(function)) for function in ours),
    ]


def _baseline(
    folder: Path, name: str, source: str, path: tuple[Path, ...], distributions: tuple[str, ...] = ()
) -> Function:
    """A function of our wheels at `path`, and of `distributions` that are installed here."""
    folder.mkdir()
    for file in (file for one in distributions for file in files(one) or () if file.suffix == ".py"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.locate(), folder / file)
    (folder / "app.py").write_text(source)
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", folder]
    subprocess.run(compiling, check=True)  # noqa: S603 - our own words
    return Function(name, "app.handler", folder, path)


def _sample_event(function: Function) -> Mapping[str, Any]:
    paths = sorted((ROOT / "events").glob("*.json"), key=lambda path: path.stem)
    events: list[dict[str, Any]] = [json.loads(path.read_text("utf-8")) for path in paths]
    found = next((event for event in events if _invokes(event, function)), None)
    if found is None:
        sys.exit(f"events/ has none for the function {function.name}")
    return found


def _invokes(event: Mapping[str, Any], function: Function) -> bool:
    if "Records" in event:
        return function.takes_messages
    if event.get("type") == "REQUEST":  # API Gateway asks an authorizer
        return not function.routes and not function.takes_messages
    return (event["httpMethod"], event["resource"]) in function.routes[:1]


def _measure(candidates: list[tuple[Function, Mapping[str, Any]]], aws_url: str) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {function.name: [] for function, _ in candidates}
    for turn in range(1 if SHORT else 0, ROUNDS + 1):
        for function, event in candidates:
            _set_up(aws_url)
            run = _start(function, event)
            if turn:  # the first turn only fills the page cache
                runs[function.name].append(run)
        if sys.stderr.isatty():
            print(f"\r{turn}/{ROUNDS} rounds", end="\n" if turn == ROUNDS else "", file=sys.stderr, flush=True)
    return runs


def _set_up(aws_url: str) -> None:
    """Empties AWS, and makes in it what the sample events need."""
    httpx.post(f"{aws_url}/moto-api/reset", trust_env=False).raise_for_status()
    asyncio.run(_fill())


async def _fill() -> None:
    services = Services.from_environment(dict(os.environ))
    assert services.limits is not None, "SETTINGS names its table"
    await seed(services.keys, services.objects, services.limits, services.stack_secret)
    await seed_batches(services.batches, services.batch_queue)
    await store_sample_files(services.objects, services.tenant_folders)
    await store_sample_batches(services.objects, services.batches, services.tenant_folders)
    await store_sample_responses(services.responses)
    await services.aclose()


def _start(function: Function, event: Mapping[str, Any]) -> Run:
    """One cold start, and some warm invokes after it."""
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with emulated(function, aws) as running:
        answers = [running.invoke(event)]
        cpu = running.cpu_milliseconds()
        answers += [running.invoke(event) for _ in range(WARM_INVOKES)]
        if not all(map(_succeeded, answers)):
            sys.exit(f"{function.name} failed:\n{running.log()[-3000:]}")
        first, *warm = running.invoke_milliseconds()
        return Run(running.init_milliseconds(), cpu, first, statistics.median(warm), running.peak_megabytes())


def _succeeded(answer: bytes) -> bool:
    """Whether an answer, a streamed one's prelude or a worker's report tells of no failure."""
    told = json.loads(answer.partition(bytes(8))[0])
    return "errorType" not in told and told.get("statusCode", 200) == 200 and not told.get("batchItemFailures")


def _times(runs: Mapping[str, list[Run]]) -> str:
    columns = ["function", "init, ms", "CPU time to the first answer, ms", "first invoke, ms", "warm invoke, ms"]
    rows = [
        [
            name,
            f"{_least(runs[name], 'init'):.0f}",
            f"{_least(runs[name], 'cpu'):.0f}",
            f"{_least(runs[name], 'first'):.0f}",
            f"{_least(runs[name], 'warm'):.1f}",
        ]
        for name in runs
    ]
    return table(columns, rows)


def _shares(runs: Mapping[str, list[Run]]) -> str:
    """The table of README: what holds on other machines as well."""

    def share(name: str, figure: str) -> str:
        return f"{_least(runs[name], figure) / _least(runs[HELLO], figure):.0%}"

    columns = ["function", "init", "CPU time to the first answer", "peak memory, MB"]
    rows = [
        [name, share(name, "init"), share(name, "cpu"), f"{max(run.memory for run in runs[name]):.0f}"] for name in runs
    ]
    return table(columns, rows)


def _least(runs: list[Run], figure: str) -> float:
    return float(min(getattr(run, figure) for run in runs))


if __name__ == "__main__":
    main()
