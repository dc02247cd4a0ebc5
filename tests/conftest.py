"""What all tests share: no network but loopback, an emulated AWS, stored keys."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from functions.embedded_aws import AtomicMoto
from shared.stores.aws import Aws
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue
from tests.client import BATCHES, BUCKET, KEYS, LIMITS, TENANT_SECRET, TENANTS, USAGE

_LOOPBACK = ("127.", "::1", "localhost")


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


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def aws_environment() -> Iterator[dict[str, str]]:
    """The variables that lead to an emulated AWS."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, AtomicMoto(), threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def keys(aws_environment: dict[str, str]) -> KeyStore:
    """A store that holds `door.KEYS`, in an AWS that has the bucket as well."""
    store = KeyStore(Aws(aws_environment), "keys", cache_seconds=3600)

    async def fill() -> None:
        await store.create_table()
        await LimitStore(store.aws, LIMITS, USAGE).create_tables()
        await ObjectStore(store.aws, BUCKET).create_bucket()
        await store.aws.call("secretsmanager", "CreateSecret", {"Name": TENANTS, "SecretString": TENANT_SECRET})
        await BatchStore(store.aws, BATCHES).create_table()
        await Queue(store.aws, BATCHES).create_queue(hidden_seconds=600)
        for token, key in KEYS.items():
            await store.put(token, key)

    asyncio.run(fill())
    return store
