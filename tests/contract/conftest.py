"""The doors that the contract tests knock at."""

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.vendor import ENVIRONMENT, Vendor


@pytest.fixture
async def client(keys: KeyStore) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway with nothing but the sandbox behind it."""
    async with gateway_client(keys) as client:
        yield client


@pytest.fixture
async def stranger(keys: KeyStore) -> AsyncIterator[httpx.AsyncClient]:
    """The same, by a caller who sends no token."""
    async with gateway_client(keys, token=None) as client:
        yield client


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    """A vendor, with the gateway in front of it as its `client`."""
    vendor = Vendor()
    async with gateway_client(keys, ENVIRONMENT, vendor) as vendor.client:
        yield vendor
