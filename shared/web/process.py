"""The process's services as a FastAPI dependency, and the warning about retired models."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Annotated

from fastapi import Depends, FastAPI

from shared.gateway.services import Services, process_services
from shared.observability import logger

_SETTLING_SECONDS = 0.1
"""How long a process that Lambda ends writes settlements, before it leaves them in the queue."""


async def services_dependency() -> Services:
    """The FastAPI dependency; tests override it with their own services.

    It is async because FastAPI runs other functions in its thread pool, at five times the cost of its remaining work.
    """
    return process_services()


ProcessServices = Annotated[Services, Depends(services_dependency)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Settles what is still to be settled when the process ends, where the server tells the application so."""
    yield
    if process_services.cache_info().currsize:
        await process_services().settle(_SETTLING_SECONDS)


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
