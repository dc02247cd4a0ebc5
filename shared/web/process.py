"""The process's services as a FastAPI dependency, and the warning about retired models."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated

from fastapi import Depends

from shared.gateway.services import Services, process_services
from shared.observability import logger


async def services_dependency() -> Services:
    """The FastAPI dependency; tests override it with their own services.

    It is async because FastAPI runs other functions in its thread pool, at five times the cost of its remaining work.
    """
    return process_services()


ProcessServices = Annotated[Services, Depends(services_dependency)]


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
