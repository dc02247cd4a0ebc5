"""What all tests share: no network but loopback, stored keys, and the gateway's front door."""

import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from shared.stores.keys import KeyStore
from tests.door import KEYS

_LOOPBACK = ("127.", "::1", "localhost")


def _forbid_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo" and arguments[0] is not None:
        host = str(arguments[0])
    else:
        return
    # Resolving an address that is a literal asks nobody.
    literal = event == "socket.getaddrinfo" and set(host) <= set("0123456789abcdefABCDEF.:")
    if not literal and not host.startswith(_LOOPBACK):
        raise RuntimeError(f"a test tried to reach {host}")


sys.addaudithook(_forbid_network)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def keys() -> Iterator[KeyStore]:
    """A store, in moto's DynamoDB, that holds `door.KEYS`."""
    with mock_aws():
        credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("dynamodb", region_name="us-east-1", **credentials)
        store = KeyStore("keys", client=lambda: client)
        store.create_table()
        for token, key in KEYS.items():
            store.put(token, key)
        yield store
