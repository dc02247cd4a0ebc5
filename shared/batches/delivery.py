"""Processes a batch message and has it redelivered if that fails."""

import time
from collections.abc import Callable
from dataclasses import replace

from shared.batches.settlements import settle_deferred
from shared.batches.steps import NotReady, Steps
from shared.gateway.services import Services
from shared.observability import logger
from shared.schemas.batch import read_message
from shared.schemas.settlement import SettlementMessage
from shared.schemas.stored_response import BackgroundMessage
from shared.stores.aws_calls import AwsError
from shared.stores.queue import MAX_DELAY_SECONDS, Outgoing, Received


async def deliver(
    message: Received,
    services: Services,
    *,
    remaining: Callable[[], float],
    clock: Callable[[], float] = time.time,
) -> None:
    """Processes a message; if AWS fails, sends a delayed copy of the message in its place.

    A message's receive count thus counts the workers that died on it, and no outage moves it to the dead-letter queue.
    Raises any other exception of the step, and AwsError if the copy cannot be sent; the message is then redelivered
    after a short delay.
    """
    fields = {"request_id": message.id, "receives": message.receives}
    try:
        if SettlementMessage.is_kind_of(message.body):
            await settle_deferred(message.body, services)
        elif BackgroundMessage.is_kind_of(message.body):
            from shared.responses.background import BackgroundAnswers  # imports a dialect that batches do not need

            await BackgroundAnswers(services, clock=clock).process(
                message.body, receives=message.receives, remaining=remaining
            )
        else:
            await Steps(services, clock=clock).process(message.body, receives=message.receives, remaining=remaining)
    except AwsError as error:
        logger().warning("batch step postponed", extra={**fields, "error": str(error)})
        await _send_copy(message, services)
    except NotReady:
        logger().info("batch not found yet", extra=fields)
        await _shorten_visibility(message, services)
        raise
    except Exception:
        logger().exception("batch step failed", extra=fields)
        await _shorten_visibility(message, services)
        raise


async def _send_copy(message: Received, services: Services) -> None:
    body, failures = _failed_again(message.body)
    try:
        await services.batch_queue.send([Outgoing(body, _pause(failures))])
    except AwsError:
        await _shorten_visibility(message, services)
        raise


def _failed_again(text: str) -> tuple[str, int]:
    """A message that counts one more failure, and how many those are."""
    if SettlementMessage.is_kind_of(text):
        deferred = SettlementMessage.read(text)
        return replace(deferred, failures=deferred.failures + 1).text(), deferred.failures + 1
    if BackgroundMessage.is_kind_of(text):
        waiting = BackgroundMessage.model_validate_json(text)
        postponed = waiting.model_copy(update={"failures": waiting.failures + 1})
        return postponed.model_dump_json(), postponed.failures
    content = read_message(text)
    return content.model_copy(update={"failures": content.failures + 1}).model_dump_json(), content.failures + 1


async def _shorten_visibility(message: Received, services: Services) -> None:
    """Makes a message visible before its visibility timeout ends."""
    try:
        await services.batch_queue.hide(message.receipt, _pause(message.receives))
    except AwsError:
        logger().warning("visibility timeout could not be shortened", extra={"request_id": message.id})


def _pause(failures: int) -> int:
    """Seconds to wait, doubling with each failure."""
    return min(MAX_DELAY_SECONDS, 1 << min(failures, 10))
