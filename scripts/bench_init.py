"""`make bench-init`: how long each built function takes to start, and how much memory, as a table.

Each starts ROUNDS times, in turn with the others so that a machine whose speed drifts treats all alike; the table has
medians. Beside ours stand a bare handler and a FastAPI hello as it is usually written, on the same wheels.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from functions.embedded_aws import embedded_aws, seed
from scripts.emulator import ROOT, Function, NotReady, built_functions, emulated
from shared.web.process import process_services

ROUNDS = int(os.environ.get("ROUNDS", "7"))
WARM_INVOKES = 20
HELLO = "FastAPI, Mangum, httpx, boto3, Powertools hello"
EVENTS = {
    "authorizer": "authorizer",
    "chat": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "files": "file-upload",
    "images": "image-generation",
    "models": "models",
    "speech": "speech",
    "transcriptions": "transcription",
}
SETTINGS = {
    "GATEWAY_SANDBOX": "on",
    "GATEWAY_TRUST_AUTHORIZER": "on",
    "GATEWAY_LIMITS_TABLE": "gateway-limits",
    "POWERTOOLS_METRICS_NAMESPACE": "bench",
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


@dataclass(frozen=True)
class Run:
    """One start: milliseconds, and the peak of resident memory in MB."""

    init: float
    first: float
    warm: float
    memory: float


def main() -> None:
    """Prints the table. Exits with one line when something has to be built first."""
    os.environ |= SETTINGS
    with tempfile.TemporaryDirectory() as folder, embedded_aws():
        services = process_services()
        assert services.limits is not None, "SETTINGS names its table"
        asyncio.run(seed(services.keys, services.objects, services.limits, services.tenant_folders))
        try:
            candidates = _candidates(Path(folder))
            runs = _measure(candidates)
        except NotReady as error:
            sys.exit(str(error))
    _print(runs)


def _candidates(folder: Path) -> list[tuple[Function, Mapping[str, Any]]]:
    built = built_functions()
    layers = built["chat"].path
    ours = [(replace(function, environment=SETTINGS), _event(EVENTS[name])) for name, function in sorted(built.items())]
    return [
        (_baseline(folder / "bare", "bare handler", BARE_SOURCE, ()), _event("chat")),
        (_baseline(folder / "hello", HELLO, HELLO_SOURCE, layers), _event("chat")),
        *ours,
    ]


def _baseline(folder: Path, name: str, source: str, path: tuple[Path, ...]) -> Function:
    folder.mkdir()
    (folder / "app.py").write_text(source)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)  # noqa: S603 - our own words
    return Function(name, "app.handler", folder, path)


def _event(name: str) -> Mapping[str, Any]:
    event: Mapping[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text("utf-8"))
    return event


def _measure(candidates: list[tuple[Function, Mapping[str, Any]]]) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {function.name: [] for function, _ in candidates}
    for turn in range(ROUNDS + 1):
        for function, event in candidates:
            run = _start(function, event)
            if turn:  # the first turn only fills the page cache
                runs[function.name].append(run)
        print(f"\r{turn}/{ROUNDS} rounds", end="\n" if turn == ROUNDS else "", file=sys.stderr, flush=True)
    return runs


def _start(function: Function, event: Mapping[str, Any]) -> Run:
    """One cold start, and some warm invokes after it."""
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with emulated(function, aws) as running:
        answers = [running.invoke(event) for _ in range(1 + WARM_INVOKES)]
        if any(b"errorType" in answer for answer in answers):
            sys.exit(f"{function.name} failed:\n{running.log()[-3000:]}")
        first, *warm = running.invoke_milliseconds()
        return Run(running.init_milliseconds(), first, statistics.median(warm), running.peak_megabytes())


def _print(runs: Mapping[str, list[Run]]) -> None:
    def median(name: str, figure: str) -> float:
        return statistics.median(getattr(run, figure) for run in runs[name])

    print("| function | init, ms | of the hello's | first invoke, ms | warm invoke, ms | peak memory, MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in runs:
        share = median(name, "init") / median(HELLO, "init")
        print(
            f"| {name} | {median(name, 'init'):.0f} | {share:.0%} | {median(name, 'first'):.0f} "
            f"| {median(name, 'warm'):.1f} | {median(name, 'memory'):.0f} |"
        )


if __name__ == "__main__":
    main()
