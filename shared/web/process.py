"""The process's services as endpoints get them, and the warning about retired models."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache

from fastapi import FastAPI

from shared.gateway.services import Services, process_services
from shared.observability import logger

_SETTLING_SECONDS = 0.1
"""How long a process that Lambda ends writes settlements, before it leaves them in the queue."""


def services_of(app: FastAPI) -> Services:
    """The process's services, or those that tests have put in their place as one of FastAPI's dependencies."""
    services: Services = app.dependency_overrides.get(process_services, process_services)()
    return services


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
