"""The gateway of this process, made from the environment when the first request needs it."""

import os
from functools import cache

from shared.gateway.services import Services


@cache
def process_services() -> Services:
    """A FastAPI dependency; tests put their own gateway in its place."""
    return Services.from_environment(dict(os.environ))
