"""Keys with limits of their own, a request to each kind of endpoint, and the books that are kept of both."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from shared.schemas.caller import Key, Permission
from shared.schemas.limits import Balance, Limits, UsageRow
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.client import LIMITS, USAGE, Handler, gateway_client, no_pause
from tests.contract.sounds import WAV
from tests.contract.wire import DISTINCT, POSTS, asking

STABLE_IMAGES = "/v1/image/generation/stable"
CHAT = "/v1/chat/completions"
EMBEDS = ["/v1/embeddings", "/ai/embeddings", "/v1/inference/embed"]
DRAWS = ["/v1/images/generations", "/v1/inference/images/generate", STABLE_IMAGES]
SPEAKS = ["/v1/audio/speech", "/v1/inference/audio/synthesize"]
HEARS = ["/v1/audio/transcriptions", "/v1/inference/audio/transcribe"]
EDITS = ["/v1/images/edits"]
EVERY_KIND = [*DISTINCT, "/v1/chat/completions/stable", *EMBEDS, *DRAWS, *SPEAKS, *HEARS, *EDITS]
SANDBOX = {"GATEWAY_SANDBOX": "on"}
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080200000090775"
    "3de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


def request_to(path: str, model: str | None = None) -> dict[str, Any]:
    """A request that the endpoint answers by the sandbox, as httpx takes it."""
    if path in POSTS:
        return {"json": asking(path, model or "sandbox/chat")}
    if path in EMBEDS:
        return {"json": {"model": model or "sandbox/embedding", "input": "Hello"}}
    if path in DRAWS:
        size = {} if path == STABLE_IMAGES else {"size": "64x64"}
        chosen = model or (None if path == STABLE_IMAGES else "sandbox/image")
        return {"json": {"model": chosen, "prompt": "A cat", **size}}
    if path in SPEAKS:
        return {
            "json": {"model": model or "sandbox/speech", "input": "Hello", "voice": "alloy", "response_format": "wav"}
        }
    if path in HEARS:
        files = {"file": ("talk.wav", WAV, "audio/wav")}
        return {"data": {"model": model or "sandbox/transcription"}, "files": files}
    files = {"image": ("cat.png", _PNG, "image/png")}
    return {"data": {"model": model or "sandbox/image", "prompt": "A cat"}, "files": files}


@dataclass
class Account:
    """A key of its own, the gateway that it calls, and the books that are kept of it."""

    client: httpx.AsyncClient
    ledger: LimitStore
    key: Key

    async def ask(self, path: str, model: str | None = None, **fields: Any) -> httpx.Response:
        request = request_to(path, model)
        request.setdefault("json" if "json" in request else "data", {}).update(fields)
        return await self.client.post(path, **request)

    async def standing(self) -> Balance:
        return await self.ledger.standing(self.key.key_id)

    async def rows(self) -> list[UsageRow]:
        return await self.ledger.usage.rows("2000-01-01", "2999-12-31", self.key.key_id)

    async def row(self) -> UsageRow:
        """The only row, when nothing is in flight or reserved any more."""
        standing = await self.standing()
        assert (standing.in_flight, standing.reserved) == (0, 0)
        (row,) = await self.rows()
        assert row.cost == standing.spent_day == standing.spent_month
        return row


@asynccontextmanager
async def account(
    keys: KeyStore,
    limits: Limits | None = None,
    *,
    above: Limits | None = None,
    environment: dict[str, str] | None = None,
    vendor: Handler | None = None,
    aws: Aws | None = None,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], Awaitable[None]] = no_pause,
    **fields: Any,
) -> AsyncIterator[Account]:
    """A new key with these limits, `above` being those of its tenant."""
    name = uuid4().hex
    key = Key(
        key_id=f"key_{name}",
        tenant=f"tenant-{name}",
        permissions=frozenset(Permission),
        limits=limits or Limits(),
        tenant_limits=above or Limits(),
        **fields,
    )
    token = f"sk-{name}"
    await keys.put(token, key)
    settings = SANDBOX | (environment or {})
    async with gateway_client(keys, settings, vendor, token=token, aws=aws, clock=clock, pause=pause) as client:
        yield Account(client, LimitStore(keys.aws, LIMITS, USAGE), key)


def catalog(folder: Path, rows: str, upstream: str | None = None) -> dict[str, str]:
    file = folder / "catalog.toml"
    file.write_text(f'{rows}\nupstream = "{upstream}"\n' if upstream else rows, "utf-8")
    return {"GATEWAY_CATALOG": str(file)}
