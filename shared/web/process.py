"""The gateway of this process, made from the environment when the first request needs it."""

import os
from functools import cache
from typing import Annotated

from fastapi import Depends

from shared.gateway.services import Services


@cache
def process_services() -> Services:
    return Services.from_environment(dict(os.environ))


async def services_dependency() -> Services:
    """The FastAPI dependency for it; tests put their own gateway in its place.

    FastAPI would run a function that is not async in its thread pool, at five times the cost of all its other work.
    """
    return process_services()


ProcessServices = Annotated[Services, Depends(services_dependency)]
