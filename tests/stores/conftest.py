"""What the tests of the stores share."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.stores.limits_harness import Harness


@pytest.fixture
async def harness(aws_environment: dict[str, str]) -> AsyncIterator[Harness]:
    """A store of limits on tables of its own."""
    made = Harness(aws_environment, uuid4().hex)
    await made.store.create_tables()
    made.transport.counts.clear()
    yield made
    made.transport.down_for = None
    await made.store.flush(5)
    await made.transport.inner.aclose()
