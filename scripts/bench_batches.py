"""`make bench-batches`: throughput and memory of the worker of `make run`, how long a small batch waits behind a large
one, and what a batch costs that has to wait.

Each batch runs in a fresh gateway process. The embedded AWS runs in this process, so that stored data does not count as
the worker's memory, and calls can be counted. Usage is recorded only with ACCOUNTING=on, and where limits are needed:
its two writes per line are so slow in the embedded DynamoDB that they would dominate the measurement.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from functions.embedded_aws import LOCAL_TOKEN, embedded_aws, seed, seed_batches
from scripts.benchmark import SHORT
from scripts.emulator import peak_megabytes
from scripts.serving import Server, gateway
from shared.gateway.services import process_services
from shared.schemas.caller import Key, Permission
from shared.schemas.limits import Limits
from shared.stores.limits.store import LimitStore

SIZES = [int(size) for size in os.environ.get("SIZES", "200" if SHORT else "5000 50000").split()]
ACCOUNTING = os.environ.get("ACCOUNTING", "off") == "on"
LIMITS_TABLE = "gateway-limits"
SMALL_BATCHES = 2 if SHORT else 10
WARM_UP_SECONDS, STARVED_SECONDS = (5, 10) if SHORT else (180, 300)
CALLS = Counter[str]()
Json = dict[str, Any]
_ENDED = ("completed", "failed", "expired", "cancelled")


def main() -> None:
    """Prints the table. Exits with a one-line message if a batch does not complete."""
    os.environ |= {
        "GATEWAY_SANDBOX": "on",
        "GATEWAY_LIMITS_TABLE": LIMITS_TABLE if ACCOUNTING else "",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
    }
    with embedded_aws(CALLS) as url:
        asyncio.run(_fill())
        print("| lines | seconds | lines a second | memory before, MB | peak memory, MB | MB of input |")
        print("|---:|---:|---:|---:|---:|---:|")
        for size in SIZES:
            _measure(size, url)
        _measure_wait(SIZES[-1], url)
        _measure_starved(url)


async def _fill() -> None:
    services = process_services()
    limits = LimitStore(services.keys.aws, LIMITS_TABLE, services.settings.usage_table)
    await seed(services.keys, services.objects, limits, services.stack_secret)
    await seed_batches(services.batches, services.batch_queue)
    await services.aclose()


def _measure(size: int, aws: str) -> None:
    content = _lines(size)
    with _client(aws) as (server, client):
        before = peak_megabytes(server.pid)
        batch, began = _submitted(client, content), time.perf_counter()
        batch = _ended(client, batch)
        seconds = time.perf_counter() - began
        if batch["request_counts"] != {"total": size, "completed": size, "failed": 0}:
            sys.exit(f"the batch ended {batch['status']} with {batch['request_counts']}")
        print(
            f"| {size:,} | {seconds:.1f} | {size / seconds:.0f} | {before:.0f} | {peak_megabytes(server.pid):.0f} "
            f"| {len(content) / 2**20:.1f} |",
            flush=True,
        )


def _measure_wait(size: int, aws: str) -> None:
    """How long a batch of one line takes while one of many lines is under way."""
    with _client(aws) as (_, client):
        large = _submitted(client, _lines(size))
        while large["status"] != "in_progress":
            time.sleep(0.2)
            large = client.get(f"/v1/batches/{large['id']}").raise_for_status().json()
        waits = []
        for _ in range(SMALL_BATCHES):
            began = time.perf_counter()
            small = _ended(client, _submitted(client, _lines(1)), every=0.1)
            waits.append(time.perf_counter() - began)
            if small["request_counts"]["completed"] != 1:
                sys.exit(f"the batch of one line ended {small['status']}")
        large = client.get(f"/v1/batches/{large['id']}").raise_for_status().json()
        answered, total = large["request_counts"]["completed"], large["request_counts"]["total"]
        client.post(f"/v1/batches/{large['id']}/cancel")
    print(
        f"\na batch of one line behind one of {size:,}: done in {max(waits):.1f} s or less, {len(waits)} times; "
        f"{answered:,} of {total:,} lines were answered by then"
    )


def _measure_starved(aws: str) -> None:
    """What a batch calls each minute whose key lets nothing through."""
    key = Key(
        key_id="starved", tenant="starved", permissions=frozenset(Permission), limits=Limits(requests_per_minute=2)
    )
    os.environ["GATEWAY_LIMITS_TABLE"] = LIMITS_TABLE
    asyncio.run(_keep(key))
    with _client(aws, key.key_id) as (_, client):
        batch = _submitted(client, _lines(SIZES[0]))
        _keep_busy(client, WARM_UP_SECONDS)
        CALLS.clear()
        _keep_busy(client, STARVED_SECONDS)
        calls = CALLS.copy()
        client.post(f"/v1/batches/{batch['id']}/cancel")
    minutes = STARVED_SECONDS / 60
    polls = calls.pop("ReceiveMessage", 0)
    own = 2 * STARVED_SECONDS / _BUSY_SECONDS  # the interactive requests write twice at most
    calls["UpdateItem"] = max(0, calls["UpdateItem"] - round(own))
    told = ", ".join(f"{name} {count / minutes:.1f}" for name, count in calls.most_common() if count)
    print(
        f"\na batch of {SIZES[0]:,} lines whose key has nothing left: {calls.total() / minutes:.1f} calls a minute "
        f"({told}), besides {polls / minutes:.0f} polls of the queue"
    )


_BUSY_SECONDS = 10


def _keep_busy(client: httpx.Client, seconds: float) -> None:
    """Takes the key's one request a minute by interactive requests."""
    end = time.monotonic() + seconds
    body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]}
    while time.monotonic() < end:
        client.post("/v1/chat/completions", json=body)
        time.sleep(_BUSY_SECONDS)


async def _keep(key: Key) -> None:
    services = process_services()
    await services.keys.put(key.key_id, key)
    await services.aclose()


@contextmanager
def _client(aws: str, token: str = LOCAL_TOKEN) -> Iterator[tuple[Server, httpx.Client]]:
    """A gateway with this embedded AWS, and its client."""
    settings = {
        name: value for name, value in os.environ.items() if name.startswith(("AWS_", "GATEWAY_", "POWERTOOLS_"))
    }
    headers = {"authorization": f"Bearer {token}"}
    with (
        gateway({**settings, "AWS_ENDPOINT_URL": aws}) as server,
        httpx.Client(base_url=server.url, headers=headers, timeout=120, trust_env=False) as client,
    ):
        yield server, client


def _submitted(client: httpx.Client, content: bytes) -> Json:
    upload = {"file": ("lines.jsonl", content), "purpose": (None, "batch")}
    file = client.post("/v1/files", files=upload).raise_for_status().json()
    order = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch: Json = client.post("/v1/batches", json=order).raise_for_status().json()
    return batch


def _ended(client: httpx.Client, batch: Json, every: float = 0.5) -> Json:
    while batch["status"] not in _ENDED:
        time.sleep(every)
        batch = client.get(f"/v1/batches/{batch['id']}").raise_for_status().json()
    return batch


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
