"""What the web layer does for the process rather than for a request: its end, and the warning of retired models."""

from datetime import UTC, datetime
from functools import cache

from shared.gateway.services import process_services
from shared.observability import logger
from shared.web.http import Receive, Send

_SETTLING_SECONDS = 0.1
"""How long a process that Lambda ends writes settlements, before it leaves them in the queue."""


async def serve_lifespan(receive: Receive, send: Send) -> None:
    """Settles what is still to be settled when the process ends, where the server tells the application so.

    https://asgi.readthedocs.io/en/stable/specs/lifespan.html
    """
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if process_services.cache_info().currsize:
        await process_services().settle(_SETTLING_SECONDS)
    await send({"type": "lifespan.shutdown.complete"})


def warn_of_retirements() -> None:
    """Logs, once per process, the upstream models that have been or will soon be switched off.

    Call it after a response has been sent: the providers' keys are loaded by then, and no client waits for the logger.
    """
    if process_services.cache_info().currsize:
        _warn_of_retirements(process_services().catalog.configured)


@cache
def _warn_of_retirements(configured: frozenset[str]) -> None:
    """Logs once for each set of configured providers, which may grow when the providers' secret is read."""
    if retirements := process_services().catalog.retirements(datetime.now(UTC).date()):
        logger().warning("retirements", extra={"retirements": retirements})
