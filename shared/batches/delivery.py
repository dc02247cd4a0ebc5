"""Delivers a message to its step, and has it delivered again where that fails."""

import time
from collections.abc import Callable
from dataclasses import replace

from shared.batches.settlements import settle_deferred
from shared.batches.steps import NotReady, Steps
from shared.gateway.services import Services
from shared.observability import logger
from shared.schemas.batch import read_message
from shared.schemas.settlement import SettlementMessage
from shared.stores.aws import AwsError
from shared.stores.queue import MAX_DELAY_SECONDS, Outgoing, Received


async def deliver(
    message: Received,
    services: Services,
    *,
    remaining: Callable[[], float],
    clock: Callable[[], float] = time.time,
) -> None:
    """Does a message's step, or where AWS fails in it, sends the message anew to be tried later.

    So the times that a message itself was received count the workers that it has killed, and no outage makes it a dead
    letter. Raises what else the step raises, and what of AWS keeps the message from being sent anew; then it comes back
    before long.
    """
    told = {"request_id": message.id, "receives": message.receives}
    try:
        if SettlementMessage.is_kind_of(message.body):
            await settle_deferred(message.body, services)
        else:
            await Steps(services, clock=clock).process(message.body, receives=message.receives, remaining=remaining)
    except AwsError as error:
        logger().warning("batch step put off", extra={**told, "error": str(error)})
        await _send_anew(message, services)
    except NotReady:
        logger().info("batch step too early", extra=told)
        await _bring_back(message, services)
        raise
    except Exception:
        logger().exception("batch step failed", extra=told)
        await _bring_back(message, services)
        raise


async def _send_anew(message: Received, services: Services) -> None:
    body, failures = _failed_again(message.body)
    try:
        await services.batch_queue.send([Outgoing(body, _pause(failures))])
    except AwsError:
        await _bring_back(message, services)
        raise


def _failed_again(text: str) -> tuple[str, int]:
    """A message that counts one more failure, and how many those are."""
    if SettlementMessage.is_kind_of(text):
        deferred = SettlementMessage.read(text)
        return replace(deferred, failures=deferred.failures + 1).text(), deferred.failures + 1
    content = read_message(text)
    return content.model_copy(update={"failures": content.failures + 1}).model_dump_json(), content.failures + 1


async def _bring_back(message: Received, services: Services) -> None:
    """Has a message seen again sooner than it would be of its own."""
    try:
        await services.batch_queue.hide(message.receipt, _pause(message.receives))
    except AwsError:
        logger().warning("a message comes back only when its visibility ends", extra={"request_id": message.id})


def _pause(failures: int) -> int:
    """Seconds that double with each failure."""
    return min(MAX_DELAY_SECONDS, 1 << min(failures, 10))
