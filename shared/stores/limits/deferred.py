"""Leaves settlements in the batches' queue, whose worker writes them."""

from collections.abc import Callable

from shared.stores.queue import Outgoing, Queue

_DELAY_SECONDS = 5


class DeferredToQueue:
    """Where settlements wait for a worker; `queue` gives the queue when the first of them comes."""

    def __init__(self, queue: Callable[[], Queue]) -> None:
        self._queue = queue

    async def put(self, text: str) -> None:
        """Sends a message of settlements, to be seen when DynamoDB may be well again. Raises AwsError."""
        await self._queue().send([Outgoing(text, _DELAY_SECONDS)])
