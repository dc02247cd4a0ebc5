"""The gateway of this process, made from the environment when the first request needs it."""

import os
from functools import cache

from shared.gateway import Gateway


@cache
def process_gateway() -> Gateway:
    """A FastAPI dependency; tests put their own gateway in its place."""
    return Gateway.from_environment(dict(os.environ))
