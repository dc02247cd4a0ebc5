"""The Lambda function that consumes the batch queue, several messages at a time; only failed ones are redelivered.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import asyncio
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, EventType, async_process_partial_response

from shared.batches.delivery import deliver
from shared.gateway.services import process_services
from shared.stores.queue import Received

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: Mapping[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Processes the event's messages and reports those that must be redelivered."""
    if os.environ.get("LAMBDA_TASK_ROOT"):
        _keep_event_loop()
    processor = AsyncBatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return async_process_partial_response(dict(event), _process, processor, context)


@cache
def _keep_event_loop() -> None:
    """Sets one event loop for the life of the process, which Powertools picks up, so that connections are reused."""
    asyncio.set_event_loop(asyncio.new_event_loop())


async def _process(record: "SQSRecord", lambda_context: "LambdaContext") -> None:
    """Processes one message; if it raises, the message is redelivered."""
    receives = int(record.attributes.approximate_receive_count)
    received = Received(record.message_id, record.body, record.receipt_handle, receives)
    await deliver(received, process_services(), remaining=lambda: lambda_context.get_remaining_time_in_millis() / 1000)
