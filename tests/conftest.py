"""What all tests share: no network but loopback, an emulated AWS, stored keys."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from functions.moto_server import Application, AtomicMoto, served
from shared.stores.aws import Aws
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue
from tests.client import BATCHES, BUCKET, KEYS, LIMITS, TENANT_SECRET, TENANTS, USAGE
from tests.quick_aws import QuickAws

_LONGEST = ("functions", "sdk", "stores")
_LOOPBACK = ("127.", "::1", "localhost")

# However busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def _forbid_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo" and arguments[0] is not None:
        host = str(arguments[0])
    else:
        return
    # Resolving an address that is a literal asks nobody.
    literal = event == "socket.getaddrinfo" and set(host) <= set("0123456789abcdefxABCDEF.:")
    if not literal and not host.startswith(_LOOPBACK):
        raise RuntimeError(f"a test tried to reach {host}")


sys.addaudithook(_forbid_network)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts tests that wait for processes of their own first: no worker is to end with them alone."""
    folder = {item: item.path.relative_to(Path(__file__).parent).parts[0] for item in items}
    items.sort(key=lambda item: folder[item] not in _LONGEST)


def pytest_collection_finish() -> None:
    """Spares the garbage collector what was imported, which never is garbage."""
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def environment_of(app: Application) -> Iterator[dict[str, str]]:
    """The variables that lead to an emulated AWS, for as long as it is served."""
    with served(app) as url:
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }


@pytest.fixture(scope="session")
def moto_environment() -> Iterator[dict[str, str]]:
    """The variables that lead to an AWS that is all moto, for tests of what is asked of AWS."""
    with environment_of(AtomicMoto()) as environment:
        yield environment


@pytest.fixture(scope="session")
def quick_aws() -> QuickAws:
    """What `aws_environment` leads to, without the way through a socket."""
    return QuickAws()


@pytest.fixture(scope="session")
def aws_environment(quick_aws: QuickAws) -> Iterator[dict[str, str]]:
    """The variables that lead to an emulated AWS."""
    with environment_of(quick_aws) as environment:
        yield environment


@pytest.fixture(scope="session")
def stack_resources(moto_environment: dict[str, str]) -> None:
    """Makes moto's part of what a stack has: the bucket, the tenants' secret and the queue."""

    async def fill() -> None:
        aws = Aws(moto_environment)
        await ObjectStore(aws, BUCKET).create_bucket()
        await aws.call("secretsmanager", "CreateSecret", {"Name": TENANTS, "SecretString": TENANT_SECRET})
        await Queue(aws, BATCHES).create_queue(hidden_seconds=600)
        await aws.aclose()

    asyncio.run(fill())


@pytest.fixture(scope="session")
def keys(aws_environment: dict[str, str], quick_aws: QuickAws, stack_resources: None) -> KeyStore:
    """A store that holds `client.KEYS`, in an AWS that has everything else that a stack has."""
    return key_store(Aws(aws_environment, transport=quick_aws))


def key_store(aws: Aws) -> KeyStore:
    """A store that holds `client.KEYS`, beside the other tables."""
    store = KeyStore(aws, "keys", cache_seconds=3600)

    async def fill() -> None:
        await store.create_table()
        await LimitStore(aws, LIMITS, USAGE).create_tables()
        await BatchStore(aws, BATCHES).create_table()
        for token, key in KEYS.items():
            await store.put(token, key)
        await aws.aclose()

    asyncio.run(fill())
    return store
