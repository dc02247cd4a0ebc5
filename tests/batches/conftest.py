"""A table for batches, and a world with a gateway in it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from shared.gateway import Gateway
from shared.stores.aws import AwsError
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from tests.batches.world import World, make_gateway


@pytest.fixture(scope="session")
def _batches_table(keys: KeyStore) -> None:
    with suppress(AwsError):
        asyncio.run(BatchStore(keys.aws, "batches").create_table())


@pytest.fixture
async def world(_batches_table: None) -> AsyncIterator[World]:
    async with httpx.AsyncHTTPTransport() as inner:
        yield World(inner, now=time.time())


@pytest.fixture
async def gateway(keys: KeyStore, aws_environment: dict[str, str], world: World) -> AsyncIterator[Gateway]:
    gateway = make_gateway(keys, aws_environment, world)
    yield gateway
    await gateway.aclose()
