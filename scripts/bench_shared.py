"""`make bench-shared`: what several gateway processes know together: equal requests at once, and a provider that fails.

REQUESTS equal requests with one Idempotency-Key go to PROCESSES gateways at once. Then a provider's model fails in the
first of them: how long until each of them skips it, and how many probes it gets while all of them are asked for it.
The embedded AWS and the provider run in this process. SHORT=on leaves out the probes, which take a minute.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from functions.embedded_aws import LOCAL_TOKEN, embedded_aws, seed, seed_batches
from scripts.benchmark import SHORT, whole_number
from scripts.serving import gateway
from shared.gateway.services import process_services

PROCESSES = whole_number("PROCESSES", usual=8, short=2)
REQUESTS = whole_number("REQUESTS", usual=200, short=40)
PROBED_SECONDS = 100
ANSWERING_SECONDS = 1.0
FAILURES = 5
MOST_SECONDS = 15.0
"""How long it may take until all processes know of a circuit, which read it every three seconds."""
_PATH = "/v1/chat/completions"
_ROWS = """
[[models]]
id = "well"
provider = "openai"
capabilities = ["chat"]

[[models]]
id = "sick"
provider = "openai"
capabilities = ["chat"]
fallbacks = ["well"]
"""
_ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class Unexpected(Exception):
    """A gateway does not do what is to be measured."""


class Provider:
    """Answers after a second, or fails at once for the model `sick`; counts the calls of each model."""

    def __init__(self) -> None:
        self.calls = Counter[str]()
        self._lock = threading.Lock()

    @contextmanager
    def serving(self) -> Iterator[str]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                status, body = provider.answer(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield "http://{}:{}".format(*server.server_address[:2])
            server.shutdown()

    def answer(self, content: bytes) -> tuple[int, bytes]:
        model = json.loads(content)["model"]
        with self._lock:
            self.calls[model] += 1
        if model == "sick":
            return 500, b'{"error": {"message": "Failing."}}'
        if b"slowly" in content:
            time.sleep(ANSWERING_SECONDS)
        return 200, json.dumps(_ANSWER).encode()


def main() -> None:
    os.environ |= {"GATEWAY_LIMITS_TABLE": "gateway-limits", "POWERTOOLS_LOG_LEVEL": "CRITICAL"}
    provider = Provider()
    with ExitStack() as stack:
        aws = stack.enter_context(embedded_aws())
        catalog = Path(stack.enter_context(tempfile.TemporaryDirectory()), "catalog.toml")
        catalog.write_text(_ROWS, "utf-8")
        asyncio.run(_fill())
        settings = {
            name: value for name, value in os.environ.items() if name.startswith(("AWS_", "GATEWAY_", "POWERTOOLS_"))
        }
        settings |= {
            "AWS_ENDPOINT_URL": aws,
            "GATEWAY_CATALOG": str(catalog),
            "GATEWAY_CIRCUIT_FAILURES": str(FAILURES),
            "OPENAI_API_KEY": "bench-shared-key",
            "OPENAI_BASE_URL": stack.enter_context(provider.serving()),
        }
        urls = [stack.enter_context(gateway(settings)).url for _ in range(PROCESSES)]
        try:
            asyncio.run(_measure(urls, provider))
        except Unexpected as problem:
            sys.exit(str(problem))


async def _fill() -> None:
    services = process_services()
    await seed(services.keys, services.objects, services.limits, services.stack_secret)
    await seed_batches(services.batches, services.batch_queue)
    await services.aclose()


async def _measure(urls: list[str], provider: Provider) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=url,
                    headers={"authorization": f"Bearer {LOCAL_TOKEN}"},
                    timeout=120,
                    limits=httpx.Limits(max_connections=None),
                    trust_env=False,
                )
            )
            for url in urls
        ]
        await _measure_equal(clients, provider)
        await _measure_circuit(clients, provider)


async def _measure_equal(clients: list[httpx.AsyncClient], provider: Provider) -> None:
    for client in clients:  # what the first request imports
        await _ask(client, "well")
    provider.calls.clear()
    key, began = {"idempotency-key": "bench"}, time.perf_counter()
    answers = await asyncio.gather(*(_ask(clients[at % len(clients)], "well", "slowly", key) for at in range(REQUESTS)))
    seconds = time.perf_counter() - began
    statuses = Counter(answer.status_code for answer in answers)
    bodies = {answer.content for answer in answers if answer.status_code == 200}
    print(
        f"{REQUESTS} equal requests at once to {len(clients)} processes, in {seconds:.1f} s: calls of the provider "
        f"{provider.calls['well']}, answers {statuses[200]}, different ones {len(bodies)}, conflicts {statuses[409]}, "
        f"refused by an embedded AWS that is too slow {statuses[503]}"
    )


async def _measure_circuit(clients: list[httpx.AsyncClient], provider: Provider) -> None:
    for _ in range(FAILURES):
        await _ask(clients[0], "sick")
    began = time.perf_counter()
    known = await asyncio.gather(*(_skipped(client, began) for client in clients))
    print(
        f"a circuit is known to {len(known)} processes after {max(known):.1f} s, in the median {_median(known):.1f} s"
    )
    if SHORT:
        return
    provider.calls.clear()
    requests = 0
    while (passed := time.perf_counter() - began) < PROBED_SECONDS:
        await asyncio.gather(*(_ask(client, "sick") for client in clients))
        requests += len(clients)
        await asyncio.sleep(0.5)
    print(f"{requests} more requests in the {passed:.0f} s since then: {provider.calls['sick']} probes, all answered")


async def _skipped(client: httpx.AsyncClient, began: float) -> float:
    """After how many seconds a process no longer calls the failing model."""
    while (passed := time.perf_counter() - began) < MOST_SECONDS:
        answer = await _ask(client, "sick")
        if "x-gateway-attempts" not in answer.headers:
            return time.perf_counter() - began
        await asyncio.sleep(0.5)
    raise Unexpected(f"a process does not know of the circuit after {passed:.0f} s")


async def _ask(
    client: httpx.AsyncClient, model: str, text: str = "Hello", headers: dict[str, str] | None = None
) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    answer = await client.post(_PATH, json=body, headers=headers)
    if answer.status_code not in (200, 409, 503):
        raise Unexpected(f"a gateway answered {answer.status_code}: {answer.text[:300]}")
    return answer


def _median(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


if __name__ == "__main__":
    main()
