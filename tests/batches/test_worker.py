"""The Lambda function behind the queue: what it answers to SQS, and that only what failed comes back."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.batch_worker.app import handler
from scripts.sam_local import store_sample_batches
from shared.gateway.services import process_services
from shared.runtime.context import LambdaContext
from shared.schemas.batch import Batch, BatchStatus
from shared.stores.aws import Aws
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue
from shared.stores.stack_secret import StackSecret
from shared.stores.tenants import TenantFolders
from tests.client import BUCKET, TENANTS

# The function's own, so that no other test finds the sample batches done.
BATCHES = "worker-batches"
EVENT = json.loads((Path(__file__).parents[2] / "events" / "batch-message.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tables(aws_environment: dict[str, str]) -> None:
    async def create() -> None:
        aws = Aws(aws_environment)
        await BatchStore(aws, BATCHES).create_table()
        await Queue(aws, BATCHES).create_queue(hidden_seconds=600)
        await aws.aclose()

    asyncio.run(create())


@pytest.fixture
def context(
    tables: None, keys: KeyStore, aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[LambdaContext]:
    """What Lambda tells of an invocation; the function's environment leads to the emulated AWS."""
    names = {"KEYS_TABLE": "keys", "MEDIA_BUCKET": BUCKET, "BATCHES_TABLE": BATCHES, "BATCH_QUEUE": BATCHES}
    names["TENANT_SECRET"] = TENANTS
    settings = {f"GATEWAY_{name}": value for name, value in names.items()}
    for name, value in {**aws_environment, **settings, "GATEWAY_SANDBOX": "on"}.items():
        monkeypatch.setenv(name, value)
    process_services.cache_clear()
    deadline = int((time.time() + 300) * 1000)
    yield LambdaContext("lambda-1", "arn", "worker", "$LATEST", 512, "logs", "stream", deadline_ms=deadline)
    process_services.cache_clear()


def work(context: LambdaContext, *bodies: str) -> Any:
    """What the function answers to messages with these bodies, numbered from 1."""
    (record,) = EVENT["Records"]
    records = [{**record, "messageId": str(number), "body": body} for number, body in enumerate(bodies, 1)]
    return handler({"Records": records}, context)  # type: ignore[arg-type]


async def stored(aws_environment: dict[str, str]) -> None:
    aws = Aws(aws_environment)
    await store_sample_batches(
        ObjectStore(aws, BUCKET), BatchStore(aws, BATCHES), TenantFolders(StackSecret(aws, TENANTS))
    )
    await aws.aclose()


async def found(aws_environment: dict[str, str], batch_id: str) -> Batch | None:
    aws = Aws(aws_environment)
    tenant = json.loads(EVENT["Records"][0]["body"])["tenant"]
    batch = await BatchStore(aws, BATCHES).find(tenant, batch_id)
    await aws.aclose()
    return batch


async def emptied(aws_environment: dict[str, str]) -> list[str]:
    """The bodies of the messages in the queue, which are gone then."""
    aws = Aws(aws_environment)
    queue = Queue(aws, BATCHES)
    bodies = []
    while received := await queue.receive(10, wait=0):
        for message in received:
            bodies.append(message.body)
            await queue.delete(message.receipt)
    await aws.aclose()
    return bodies


def test_the_sample_event_is_done_in_one_turn(context: LambdaContext, aws_environment: dict[str, str]) -> None:
    asyncio.run(stored(aws_environment))
    assert handler(EVENT, context) == {"batchItemFailures": []}  # type: ignore[arg-type]
    batch_id = json.loads(EVENT["Records"][0]["body"])["batch"]
    assert not [body for body in asyncio.run(emptied(aws_environment)) if batch_id in body]
    batch = asyncio.run(found(aws_environment, batch_id))
    assert batch is not None
    assert batch.status is BatchStatus.COMPLETED


def test_only_messages_that_failed_come_back(context: LambdaContext, aws_environment: dict[str, str]) -> None:
    asyncio.run(stored(aws_environment))
    good = EVENT["Records"][0]["body"]
    unknown = json.dumps({**json.loads(good), "batch": f"batch_{'0' * 27}"})
    answer = work(context, "no message", good, unknown, good)
    # Messages are worked on side by side, so that they fail in any order.
    assert sorted(failure["itemIdentifier"] for failure in answer["batchItemFailures"]) == ["1", "3"]
    asyncio.run(emptied(aws_environment))


def test_no_message_is_lost_where_aws_cannot_be_reached(
    context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert handler(EVENT, context) == {  # type: ignore[arg-type]
        "batchItemFailures": [{"itemIdentifier": EVENT["Records"][0]["messageId"]}]
    }
