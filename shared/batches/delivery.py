"""Delivers a message to its step, and has it delivered again soon where that fails."""

from collections.abc import Callable

from shared.batches.steps import NotReady, Steps
from shared.gateway import Gateway
from shared.observability import logger
from shared.stores.aws import AwsError
from shared.stores.queue import Received

_FIRST_RETRY_SECONDS = 1
_LAST_RETRY_SECONDS = 900


async def deliver(message: Received, gateway: Gateway, *, remaining: Callable[[], float]) -> None:
    """Does a message's step. Raises what it raises, after the message was put back to be seen again before long."""
    try:
        await Steps(gateway).process(message.body, receives=message.receives, remaining=remaining)
    except Exception as error:
        told = {"message": message.id, "receives": message.receives}
        if isinstance(error, NotReady):
            logger().info("batch step too early", extra=told)
        else:
            logger().exception("batch step failed", extra=told)
        await _put_back(message, gateway)
        raise


async def _put_back(message: Received, gateway: Gateway) -> None:
    seconds = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** min(message.receives, 10))
    try:
        await gateway.batch_queue.hide(message.receipt, seconds)
    except AwsError:
        logger().warning("a message could not be put back; it comes back when its visibility ends")
