"""Services whose provider is scripted, for the suites that every provider must pass."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.gateway.services import Services
from shared.stores.keys import KeyStore
from tests.client import Handler, make_services
from tests.providers.open_gateway import OpenGateway, Wire


@pytest.fixture
async def open_gateway(keys: KeyStore, tmp_path: Path) -> AsyncIterator[OpenGateway]:
    """The sandbox too is called over HTTP here."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text('[providers.sandbox]\nbase_url = "https://vendor.test"\n')
    opened: list[Services] = []

    def make(wire: Wire, upstream: Handler) -> Services:
        opened.append(make_services(keys, {**wire.env, "GATEWAY_CATALOG": str(catalog)}, upstream))
        return opened[-1]

    yield make
    for services in opened:
        await services.aclose()
