"""`make bench-outage`: the share of an hour's requests that are answered while a provider fails, and what that takes.

One provider fails 30 % of its calls at random and all of them for five minutes; the first fallback fails 1 %, the
second never. The clock is moved by hand and waits are added up, not waited for, so that the hour takes half a minute.
Providers answer at once: a request's latency is the gateway's own time, and its waits between attempts.
"""

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from functions.__main__ import AllFunctions
from scripts.benchmark import SHORT, table
from shared.gateway.services import Services, process_services
from shared.schemas.caller import Caller, Permission
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.web.http import Receive, Scope, Send

HOUR = 3600
SECONDS_BETWEEN = 15 if SHORT else 1
"""From one request to the next."""
FAILING, FALLBACK_FAILING = 0.3, 0.01
STATUSES = (429, 500, 502, 503, 529)
_BEGAN = 1_950_000_000.0
_CALLER = Caller(key_id="bench", tenant="bench", permissions=frozenset(Permission))
_ROW = """
[[models]]
id = "{name}"
provider = "openai"
capabilities = ["chat"]
fallbacks = [{fallbacks}]
"""
_ROWS = {"well": (), "alone": (), "failing": ("first", "second"), "first": (), "second": ()}
_ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@dataclass
class Tried:
    """Requests of one kind: how many were made and answered, and how long each took, in seconds."""

    asked: int = 0
    answered: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.answered / self.asked

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Outage:
    """An hour, or as many `seconds` of it, with a request of each kind every `between` seconds.

    After a third of the time the failing provider is down for a twelfth of it.
    """

    def __init__(self, *, seconds: int = HOUR, between: float = SECONDS_BETWEEN) -> None:
        self._seconds, self._between = seconds, between
        self._now = _BEGAN
        self._waited = 0.0
        self._chance = random.Random(17)  # noqa: S311 - the same failures each time

    async def run(self) -> dict[str, Tried]:
        """What became of the requests: `call` of the failing provider itself, `well` of one that never fails, `alone`
        of the failing one through a gateway without fallbacks, and `failing` with them.
        """
        tried = {name: Tried() for name in ("call", "well", "alone", "failing")}
        with _gateway(self) as app:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
                for name in ("well", "alone", "failing"):  # what the first request imports
                    await client.post("/v1/chat/completions", json=_body(name))
                while self._now < _BEGAN + self._seconds:
                    self._now += self._between
                    _count(tried["call"], is_answered=not self._fails("failing"))
                    for name in ("well", "alone", "failing"):
                        await self._ask(client, name, tried[name])
        return tried

    async def _ask(self, client: httpx.AsyncClient, name: str, tried: Tried) -> None:
        self._waited, began = 0.0, time.perf_counter()
        response = await client.post("/v1/chat/completions", json=_body(name))
        tried.seconds.append(time.perf_counter() - began + self._waited)
        _count(tried, is_answered=response.status_code == 200)

    def _fails(self, name: str) -> bool:
        third = _BEGAN + self._seconds / 3
        if name in ("alone", "failing"):
            return third <= self._now < third + self._seconds / 12 or self._chance.random() < FAILING
        return name == "first" and self._chance.random() < FALLBACK_FAILING

    # ---- What the gateway is given -----------------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        self._waited += seconds

    def clock(self) -> float:
        return self._now

    async def provider(self, request: httpx.Request) -> httpx.Response:
        """Every model's provider."""
        content = await request.aread()
        name = next(name for name in _ROWS if f'"model":"{name}"'.encode() in content)
        if self._fails(name):
            return httpx.Response(self._chance.choice(STATUSES), json={"error": {"message": "Failing."}})
        return httpx.Response(200, json=_ANSWER)


def _body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}


def _count(tried: Tried, *, is_answered: bool) -> None:
    tried.asked += 1
    tried.answered += is_answered


@contextmanager
def _gateway(outage: Outage) -> Iterator[Any]:
    """A gateway before the outage's providers, in this process; it has no tables."""
    rows = "".join(
        _ROW.format(name=name, fallbacks=", ".join(f'"{other}"' for other in others)) for name, others in _ROWS.items()
    )
    with tempfile.TemporaryDirectory() as folder:
        catalog = Path(folder, "catalog.toml")
        catalog.write_text(rows, "utf-8")
        settings = Settings.from_environment(
            {
                "GATEWAY_TRUST_AUTHORIZER": "on",
                "GATEWAY_CATALOG": str(catalog),
                "OPENAI_API_KEY": "bench-outage-key",
                "OPENAI_BASE_URL": "https://vendor.test",
            }
        )
        aws = Aws({}, transport=httpx.MockTransport(_no_aws))
        services = Services(
            settings,
            KeyStore(aws, "keys"),
            aws=aws,
            transport=httpx.MockTransport(outage.provider),
            pause=outage.pause,
            clock=outage.clock,
        )
        functions = AllFunctions()
        for app in functions.apps.values():
            app.services = lambda: services

        async def authorized(scope: Scope, receive: Receive, send: Send) -> None:
            event = {"requestContext": {"authorizer": {"caller": _CALLER.model_dump_json()}}}
            await functions({**scope, "aws.event": event}, receive, send)

        try:
            yield authorized
        finally:
            for app in functions.apps.values():
                app.services = process_services


def _no_aws(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"unexpected call of {request.url}")


_NAMES = {
    "call": "one call of the failing provider",
    "alone": "gateway, no fallbacks",
    "failing": "gateway, two fallbacks",
    "well": "gateway, provider that never fails",
}


def main() -> None:
    os.environ["POWERTOOLS_LOG_LEVEL"] = "CRITICAL"
    tried = asyncio.run(Outage().run())
    rows = []
    for name, words in _NAMES.items():
        found = tried[name]
        times = [f"{found.median * 1000:.2f} ms", f"{max(found.seconds) * 1000:.0f} ms"] if found.seconds else ["", ""]
        rows.append([words, str(found.asked), f"{found.share:.2%}", *times])
    print(table(["", "requests", "answered", "median latency", "longest"], rows))
    added = tried["failing"].median - tried["well"].median
    print(f"\nadded to the median by the provider's failures: {added * 1000:.2f} ms")


if __name__ == "__main__":
    main()
