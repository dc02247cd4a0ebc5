"""The gateway's front door for tests: every function behind one client, a mock in place of the vendors."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx

from functions.__main__ import AllFunctions
from shared.fetch import RemoteFetcher
from shared.framing import SseDecoder
from shared.gateway.services import Services, process_services
from shared.schemas.caller import Key, Permission
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.secrets import ProviderSecret

TOKEN = "sk-test"
BUCKET = "media"
TENANTS = "tenants"
TENANT_SECRET = "keys the hashes of tenants"
BATCHES = "batches"
LIMITS = "limits"
USAGE = "usage"
_ALL = frozenset(Permission)
KEYS = {
    TOKEN: Key(key_id="test", tenant="t", permissions=_ALL),
    "sgk_a:b:c": Key(key_id="colons", tenant="t", permissions=_ALL),
    "sk-powerless": Key(key_id="powerless", tenant="t", permissions=frozenset()),
    "sk-expired": Key(key_id="expired", tenant="t", permissions=_ALL, expires_at=datetime(2020, 1, 1, tzinfo=UTC)),
    "sk-revoked": Key(key_id="revoked", tenant="t", permissions=_ALL, revoked=True),
    "sk-planned": Key(key_id="planned", tenant="t", permissions=_ALL, usage_key="a" * 30),
    "sk-one-model": Key(key_id="one", tenant="t", permissions=_ALL, models=frozenset({"sandbox/chat"})),
}

Handler = Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Any]


async def no_pause(seconds: float) -> None:
    """Repeats calls at once."""


def make_services(
    keys: KeyStore,
    environment: Mapping[str, str],
    upstream: Handler | None = None,
    *,
    secret: ProviderSecret | None = None,
    aws: Aws | None = None,
    fetcher: RemoteFetcher | None = None,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], Awaitable[None]] = no_pause,
) -> Services:
    """A gateway configured by `environment` whose vendors are `upstream`; `aws` stands in for that of the keys."""
    transport = httpx.MockTransport(upstream or _unexpected)
    settings = Settings.from_environment(
        {
            "GATEWAY_MEDIA_BUCKET": BUCKET,
            "GATEWAY_TENANT_SECRET": TENANTS,
            "GATEWAY_BATCHES_TABLE": BATCHES,
            "GATEWAY_BATCH_QUEUE": BATCHES,
            "GATEWAY_LIMITS_TABLE": LIMITS,
            "GATEWAY_USAGE_TABLE": USAGE,
            # They would be shared by all tests.
            "GATEWAY_CIRCUIT_FAILURES": "0",
            **environment,
        }
    )
    return Services(
        settings,
        keys,
        aws=aws or keys.aws,
        secret=secret,
        transport=transport,
        fetcher=fetcher,
        pause=pause,
        clock=clock,
    )


def _unexpected(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"unexpected call of {request.url}")


@asynccontextmanager
async def gateway_client(
    keys: KeyStore,
    environment: Mapping[str, str] | None = None,
    upstream: Handler | None = None,
    *,
    token: str | None = TOKEN,
    aws: Aws | None = None,
    fetcher: RemoteFetcher | None = None,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], Awaitable[None]] = no_pause,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of all functions; with the sandbox on unless `environment` says otherwise."""
    settings = {"GATEWAY_SANDBOX": "on"} if environment is None else environment
    services = make_services(keys, settings, upstream, aws=aws, fetcher=fetcher, clock=clock, pause=pause)

    functions = _functions()
    for app in functions.apps.values():
        app.services = lambda: services
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(functions, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            yield client
    finally:
        for app in functions.apps.values():
            app.services = process_services
        await services.aclose()


@cache
def _functions() -> AllFunctions:
    return AllFunctions()


def frames(body: bytes) -> list[Any]:
    """The data of a stream's events: JSON decoded, and "[DONE]" as it is."""
    data = [frame.data for frame in SseDecoder().feed(body)]
    return [text.decode() if text == b"[DONE]" else json.loads(text) for text in data]


async def stream_of(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Chunks as an upstream body."""
    for chunk in chunks:
        yield chunk
