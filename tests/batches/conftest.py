"""A world with a gateway in it."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from shared.gateway import Gateway
from shared.stores.keys import KeyStore
from tests.batches.world import World, make_gateway


@pytest.fixture
def world() -> World:
    app = DomainDispatcherApplication(create_backend_app)
    return World(httpx.WSGITransport(app), now=time.time())


@pytest.fixture
async def gateway(keys: KeyStore, aws_environment: dict[str, str], world: World) -> AsyncIterator[Gateway]:
    gateway = make_gateway(keys, aws_environment, world)
    yield gateway
    await gateway.aclose()
