"""Gateways in processes of their own, one of each kind for every worker of the tests."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.sdk.server import TOKEN, LocalServer, running
from tests.sdk.vendor import Vendor, serving

# Set where another run of these tests has started the gateway, so that an older SDK meets the very same one.
GIVEN_URL = "TEST_GATEWAY_URL"


@pytest.fixture(scope="session")
def _sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with running(tmp_path_factory.mktemp("sandbox-gateway")) as server:
        yield server


@pytest.fixture(scope="session")
def _vendor() -> Iterator[Vendor]:
    with serving() as vendor:
        yield vendor


@pytest.fixture(scope="session")
def _vendor_server(tmp_path_factory: pytest.TempPathFactory, _vendor: Vendor) -> Iterator[LocalServer]:
    with running(tmp_path_factory.mktemp("vendor-gateway"), **_vendor.environment()) as server:
        yield server


@pytest.fixture
def sandbox_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a gateway as `make run` starts it on a fresh clone: with the sandbox alone."""
    if given := os.environ.get(GIVEN_URL):
        yield given
        return
    server: LocalServer = request.getfixturevalue("_sandbox_server")
    with server.shown():
        yield server.url


@pytest.fixture
def vendor(_vendor: Vendor) -> Vendor:
    """The vendor that the gateway at `vendor_url` calls; it has nothing to say yet."""
    _vendor.say()
    return _vendor


@pytest.fixture
def vendor_url(_vendor_server: LocalServer, vendor: Vendor) -> Iterator[str]:
    """The URL of a gateway whose OpenAI, DeepInfra, Anthropic and Gemini are `vendor`."""
    with _vendor_server.shown():
        yield _vendor_server.url


@pytest.fixture
def client(sandbox_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{sandbox_url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(sandbox_url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{sandbox_url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client
