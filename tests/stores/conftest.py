"""What the tests of the stores share: moto, beside which the DynamoDB in memory must answer the same."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest

from scripts.memory_dynamodb import MemoryDynamoDb
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from tests.conftest import environment_of, key_store
from tests.quick_aws import InProcess
from tests.stores.compared_dynamodb import ComparedDynamoDb
from tests.stores.limits_harness import Harness


@pytest.fixture(scope="session")
def compared_dynamodb() -> ComparedDynamoDb:
    return ComparedDynamoDb()


@pytest.fixture(scope="session")
def aws_environment(compared_dynamodb: ComparedDynamoDb) -> Iterator[dict[str, str]]:
    """The variables that lead to moto."""
    with environment_of(compared_dynamodb) as environment:
        yield environment


@pytest.fixture(autouse=True)
def _answers_are_the_same(compared_dynamodb: ComparedDynamoDb) -> Iterator[None]:
    """That the other tests' DynamoDB answers what moto does, to every call that the stores make here."""
    yield
    differences = compared_dynamodb.differences.copy()
    compared_dynamodb.differences.clear()
    assert not differences, "\n".join(differences)


@pytest.fixture(scope="session")
def keys(aws_environment: dict[str, str], stack_resources: None) -> KeyStore:
    return key_store(Aws(aws_environment))


@pytest.fixture
async def harness(aws_environment: dict[str, str], compared_dynamodb: ComparedDynamoDb) -> AsyncIterator[Harness]:
    """A store of limits on tables of its own."""
    async with _harness(aws_environment, InProcess(compared_dynamodb)) as made:
        yield made


@pytest.fixture
async def quick_harness(aws_environment: dict[str, str]) -> AsyncIterator[Harness]:
    """The same in memory alone, for what takes hundreds of writes."""
    async with _harness(aws_environment, MemoryDynamoDb()) as made:
        yield made


@asynccontextmanager
async def _harness(environment: dict[str, str], dynamodb: httpx.AsyncBaseTransport) -> AsyncIterator[Harness]:
    made = Harness(environment, dynamodb, uuid4().hex)
    await made.store.create_tables()
    made.transport.counts.clear()
    yield made
    made.transport.down_for = None
    await made.store.flush(5)
