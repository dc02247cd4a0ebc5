"""A world with a gateway in it."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from shared.gateway.services import Services
from shared.stores.keys import KeyStore
from tests.batches.batch_harness import BatchHarness, make_services


@pytest.fixture
def harness() -> BatchHarness:
    app = DomainDispatcherApplication(create_backend_app)
    return BatchHarness(httpx.WSGITransport(app), now=time.time())


@pytest.fixture
async def services(keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness) -> AsyncIterator[Services]:
    services = make_services(keys, aws_environment, harness)
    yield services
    await services.aclose()
