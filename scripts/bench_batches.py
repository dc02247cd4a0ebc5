"""`make bench-batches`: the throughput and memory of the worker of `make run` on batches of sandbox chats.

Each batch runs in a fresh gateway process. The embedded AWS runs in this process, so that stored data does not count as
the worker's memory. Usage is recorded only with ACCOUNTING=on: its two writes per line are so slow in the embedded
DynamoDB that they would dominate the measurement.
"""

import asyncio
import json
import os
import sys
import time

import httpx

from functions.embedded_aws import LOCAL_TOKEN, embedded_aws, seed, seed_batches
from scripts.benchmark import SHORT
from scripts.emulator import peak_megabytes
from scripts.serving import gateway
from shared.gateway.services import process_services
from shared.stores.limits.store import LimitStore

SIZES = [int(size) for size in os.environ.get("SIZES", "200" if SHORT else "5000 50000").split()]
ACCOUNTING = os.environ.get("ACCOUNTING", "off") == "on"
LIMITS_TABLE = "gateway-limits"
_ENDED = ("completed", "failed", "expired", "cancelled")


def main() -> None:
    """Prints the table. Exits with a one-line message if a batch does not complete."""
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
    settings = {
        name: value for name, value in os.environ.items() if name.startswith(("AWS_", "GATEWAY_", "POWERTOOLS_"))
    }
    headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
    with (
        gateway({**settings, "AWS_ENDPOINT_URL": aws}) as server,
        httpx.Client(base_url=server.url, headers=headers, timeout=120, trust_env=False) as client,
    ):
        before = peak_megabytes(server.pid)
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
            f"| {size:,} | {seconds:.1f} | {size / seconds:.0f} | {before:.0f} | {peak_megabytes(server.pid):.0f} "
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


if __name__ == "__main__":
    main()
