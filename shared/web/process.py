"""The gateway of this process, made from the environment when the first request needs it."""

import os
from datetime import UTC, datetime
from functools import cache
from typing import Annotated

from fastapi import Depends

from shared.gateway.services import Services
from shared.observability import logger


@cache
def process_services() -> Services:
    return Services.from_environment(dict(os.environ))


async def services_dependency() -> Services:
    """The FastAPI dependency for it; tests put their own gateway in its place.

    FastAPI would run a function that is not async in its thread pool, at five times the cost of all its other work.
    """
    return process_services()


ProcessServices = Annotated[Services, Depends(services_dependency)]


def warn_of_retirements() -> None:
    """Logs once a process which upstream models have been or will soon be switched off.

    To be called when a response is out: the providers' keys are known by then, and nobody waits for the logger.
    """
    if process_services.cache_info().currsize:
        _warn_of_retirements(process_services().catalog.configured)


@cache
def _warn_of_retirements(configured: frozenset[str]) -> None:
    """Once for each set of configured providers, which grows when the providers' secret is read."""
    if retirements := process_services().catalog.retirements(datetime.now(UTC).date()):
        logger().warning("retirements", extra={"retirements": retirements})
