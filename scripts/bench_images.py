"""`make bench-images`: the peak memory of the images function for one large response, as a table.

Each row is a fresh process of the streaming runtime, with stubs of Lambda's Runtime API, Gemini and AWS in this one. It
first serves a small request to find the idle memory; then the peak is reset, and a large response follows. Linux only.
"""

import base64
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from scripts.benchmark import SHORT
from scripts.loopback_handler import LoopbackHandler

ROOT = Path(__file__).parents[1]
MB = 2**20
SIZES_MB = [2] if SHORT else [10, 30]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ROUTES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "raw": ("/v1/image/generation/stable", {"prompt": "a cat"}),
    "b64_json": (
        "/v1/images/generations",
        {"model": "gemini-2.5-flash-image", "prompt": "a cat", "response_format": "b64_json"},
    ),
    "url": ("/v1/images/generations", {"model": "gemini-2.5-flash-image", "prompt": "a cat"}),
}
_PATIENCE_SECONDS = 60.0


def vendor_answer(size: int) -> bytes:
    """A GenerateContentResponse of about so many bytes with one image, laid out as Gemini does."""
    pixels = base64.b64encode(PNG + bytes(range(256)) * (size * 3 // 4 // 256)).decode()
    part = {"inlineData": {"mimeType": "image/png", "data": pixels}}
    body = {
        "candidates": [{"content": {"parts": [part], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1120, "totalTokenCount": 1129},
        "modelVersion": "bench",
        "responseId": "bench",
    }
    return json.dumps(body, indent=2).encode()


@dataclass
class World:
    """All that the function talks to: it takes events from here, and its answers end here."""

    events: "queue.Queue[bytes]" = field(default_factory=queue.Queue)
    answered: "queue.Queue[int]" = field(default_factory=queue.Queue)
    vendor: bytes = b""

    def ask(self, event: Mapping[str, Any], vendor: bytes) -> int:
        """How many bytes the answer to an event has, when `vendor` is what the vendor says."""
        self.vendor = vendor
        self.events.put(json.dumps(event).encode())
        return self.answered.get(timeout=_PATIENCE_SECONDS)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """The function is killed while it waits for its next event."""


class _Handler(LoopbackHandler):
    world: World

    def do_GET(self) -> None:
        """The Runtime API's next event."""
        event = self.world.events.get()
        deadline = str(int((time.time() + _PATIENCE_SECONDS) * 1000))
        self.answer(event, {"Lambda-Runtime-Aws-Request-Id": "bench", "Lambda-Runtime-Deadline-Ms": deadline})

    def do_POST(self) -> None:
        """The Runtime API takes an answer, the tenants' secret is read, or the vendor gives an answer."""
        size = len(self.body())
        if "x-amz-target" in self.headers:
            self.answer(b'{"SecretString": "bench"}')
        elif self.path.startswith("/2018-06-01/"):
            self.answer(b"{}", status=202)
            self.world.answered.put(size)
        else:
            self.answer(self.world.vendor)

    def do_PUT(self) -> None:
        """S3 stores an object."""
        self.body()
        self.answer(b"")


@dataclass(frozen=True)
class Process:
    """The function's process, seen from outside."""

    pid: int

    @cached_property
    def _folder(self) -> Path:
        return Path("/proc") / str(self.pid)

    def memory(self, name: str) -> float:
        """A figure of the kernel's, in MB: VmRSS is what is resident now, VmHWM its peak."""
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def reset_peak(self) -> None:
        """See proc_pid_clear_refs(5)."""
        (self._folder / "clear_refs").write_text("5")


@contextmanager
def running(world: World) -> Iterator[Process]:
    """The images function in a fresh process of the streaming runtime."""
    handler = type("Handler", (_Handler,), {"world": world})
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = "{}:{}".format(*server.server_address[:2])
        environment = {
            "PATH": os.environ["PATH"],
            "_HANDLER": "functions.images.app.app",
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "GATEWAY_TRUST_AUTHORIZER": "on",
            "GEMINI_API_KEY": "bench",
            "GEMINI_BASE_URL": f"http://{address}",
            "GATEWAY_METRICS_NAMESPACE": "bench",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "shared.runtime"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        try:
            yield Process(process.pid)
        finally:
            process.kill()
            process.wait()
            server.shutdown()


def measure(route: str, size: int) -> tuple[float, float, float]:
    """The vendor's answer, what the function idles at and its peak, all in MB."""
    event = json.loads((ROOT / "events" / "image-stable.json").read_text("utf-8"))
    path, body = ROUTES[route]
    event |= {"path": path, "resource": path, "body": json.dumps(body)}
    world = World()
    with running(world) as process:
        world.ask(event, vendor_answer(1000))
        idle = process.memory("VmRSS")
        process.reset_peak()
        large = vendor_answer(size)
        answered = world.ask(event, large)
        expected = 0 if route == "url" else len(large) * 0.99
        if answered < max(expected, 500):
            sys.exit(f"{route}: the function answered {answered} bytes")
        return len(large) / MB, idle, process.memory("VmHWM")


def main() -> None:
    """Prints the table."""
    print("| answered as | the vendor's answer, MB | idle, MB | peak, MB | peak above idle, in answers |")
    print("|---|---:|---:|---:|---:|")
    for route in ROUTES:
        for size in SIZES_MB:
            answer, idle, peak = measure(route, size * MB)
            share = (peak - idle) / answer
            print(f"| {route} | {answer:.0f} | {idle:.0f} | {peak:.0f} | {share:.1f} |", flush=True)


if __name__ == "__main__":
    main()
