"""Keys are held by their tokens' hashes and read once for the time that they may be trusted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from shared.schemas.caller import Key, Permission
from shared.stores.keys import MAX_TOKEN_LENGTH, KeyStore

pytestmark = pytest.mark.anyio
KEY = Key(key_id="k", tenant="t", permissions=frozenset({Permission.MODELS_USE}), models=frozenset({"m"}))


@dataclass
class Counting:
    """A DynamoDB client that counts its reads."""

    client: Any
    reads: int = 0

    def get_item(self, **arguments: Any) -> Any:
        self.reads += 1
        return self.client.get_item(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    """A name of its own: moto's tables are shared by all of a process's tests."""
    return str(request.node.name)


@pytest.fixture
def client() -> Iterator[Counting]:
    with mock_aws():
        credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        yield Counting(boto3.client("dynamodb", region_name="us-east-1", **credentials))


async def test_a_key_is_found_by_its_token_and_the_table_holds_no_token(client: Counting, table: str) -> None:
    store = KeyStore(table, client=lambda: client)
    store.create_table()
    store.put("sk-secret", KEY)
    assert await store.find("sk-secret") == KEY
    assert await store.find("sk-other") is None
    assert "sk-secret" not in str(client.scan(TableName=table))


async def test_a_key_is_read_again_only_after_the_time_it_may_be_trusted(client: Counting, table: str) -> None:
    clock = [0.0]
    store = KeyStore(table, cache_seconds=60, client=lambda: client, clock=lambda: clock[0])
    store.create_table()
    store.put("sk-secret", KEY)
    for _ in range(3):
        await store.find("sk-secret")
    assert client.reads == 1
    revoked = KEY.model_copy(update={"revoked": True})
    store.put("sk-secret", revoked)
    clock[0] = 59.9
    assert await store.find("sk-secret") == KEY
    clock[0] = 60.1
    assert await store.find("sk-secret") == revoked


async def test_unknown_tokens_fill_no_memory_and_long_ones_are_not_even_looked_up(client: Counting, table: str) -> None:
    store = KeyStore(table, cache_seconds=60, client=lambda: client)
    store.create_table()
    assert await store.find("x" * (MAX_TOKEN_LENGTH + 1)) is None
    assert client.reads == 0
