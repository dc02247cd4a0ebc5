"""A world with a gateway in it."""

import time
from collections.abc import AsyncIterator

import pytest

from shared.gateway.services import Services
from shared.stores.keys import KeyStore
from tests.batches.batch_harness import BatchHarness, make_services
from tests.quick_aws import QuickAws


@pytest.fixture
def harness(quick_aws: QuickAws) -> BatchHarness:
    return BatchHarness(quick_aws, now=time.time())


@pytest.fixture
async def services(keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness) -> AsyncIterator[Services]:
    services = make_services(keys, aws_environment, harness)
    yield services
    await services.aclose()
