"""`make bench-batches`: how fast the worker of `make run` answers a batch of sandbox chats, and in how much memory.

Each batch goes through a gateway of its own, in a fresh process. AWS in a box runs in this one, so that what is stored
does not count as the worker's memory. Usage is not kept unless ACCOUNTING=on: its two writes a line take the box's
DynamoDB so long that they would be all that is measured.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from functions.embedded_aws import LOCAL_TOKEN, embedded_aws, seed, seed_batches
from scripts.emulator import peak_megabytes
from shared.stores.limits.store import LimitStore
from shared.web.process import process_services

ROOT = Path(__file__).parents[1]
SIZES = [int(size) for size in os.environ.get("SIZES", "5000 50000").split()]
ACCOUNTING = os.environ.get("ACCOUNTING", "off") == "on"
LIMITS_TABLE = "gateway-limits"
_START_SECONDS = 60.0
_ENDED = ("completed", "failed", "expired", "cancelled")


def main() -> None:
    """Prints the table. Exits with one line when a batch does not complete."""
    os.environ |= {
        "GATEWAY_SANDBOX": "on",
        "GATEWAY_LIMITS_TABLE": LIMITS_TABLE if ACCOUNTING else "",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
    }
    with embedded_aws() as url:
        asyncio.run(_fill())
        print("| lines | seconds | lines a second | memory before, MB | peak memory, MB | MB of input |")
        print("|---:|---:|---:|---:|---:|---:|")
        for size in SIZES:
            _measure(size, url)


async def _fill() -> None:
    services = process_services()
    limits = LimitStore(services.keys.aws, LIMITS_TABLE, services.settings.usage_table)
    await seed(services.keys, services.objects, limits, services.tenant_folders)
    await seed_batches(services.batches, services.batch_queue)
    await services.aclose()


def _measure(size: int, aws: str) -> None:
    content = _lines(size)
    with _services(aws) as (process, client):
        before = peak_megabytes(process.pid)
        upload = {"file": ("lines.jsonl", content), "purpose": (None, "batch")}
        file = client.post("/v1/files", files=upload).raise_for_status().json()
        order = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        began = time.perf_counter()
        batch = client.post("/v1/batches", json=order).raise_for_status().json()
        while batch["status"] not in _ENDED:
            time.sleep(0.5)
            batch = client.get(f"/v1/batches/{batch['id']}").raise_for_status().json()
        seconds = time.perf_counter() - began
        if batch["request_counts"] != {"total": size, "completed": size, "failed": 0}:
            sys.exit(f"the batch ended {batch['status']} with {batch['request_counts']}")
        print(
            f"| {size:,} | {seconds:.1f} | {size / seconds:.0f} | {before:.0f} | {peak_megabytes(process.pid):.0f} "
            f"| {len(content) / 2**20:.1f} |",
            flush=True,
        )


def _lines(size: int) -> bytes:
    return b"".join(
        json.dumps(
            {
                "custom_id": f"request-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "sandbox/chat",
                    "messages": [{"role": "user", "content": f"What is there to say of the number {number}?"}],
                },
            }
        ).encode()
        + b"\n"
        for number in range(size)
    )


@contextmanager
def _services(aws: str) -> "Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]":
    """A gateway with its worker, that uses the AWS at an address."""
    port = "8099"
    process = subprocess.Popen(
        [sys.executable, "-m", "functions"],
        cwd=ROOT,
        env={**os.environ, "AWS_ENDPOINT_URL": aws, "PORT": port},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120, trust_env=False) as client:
            _await(client, process)
            yield process, client
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def _await(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            client.get("/v1/models").raise_for_status()
        except httpx.ConnectError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the gateway did not come up")


if __name__ == "__main__":
    main()
