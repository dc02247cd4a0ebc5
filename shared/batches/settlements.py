"""Settlements that a function could not write when its request ended, and left in the batches' queue."""

from shared.gateway.services import Services


async def settle_deferred(text: str, services: Services) -> None:
    """Writes the settlements of a message, each once, however often it comes.

    Raises AwsError while they cannot be written, and ValueError for a text that is no such message.
    """
    if services.limits is not None:
        await services.limits.settle_deferred(text)
