"""Keeps the event loop free of work that may take long."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

HEAVY_BYTES = 32 * 1024
"""What is larger may take tens of milliseconds: JSON of so many bytes holds a thousand small messages."""


async def off_loop(is_heavy: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns. It runs in a thread where it is heavy, else at once, since a thread costs 0.1 ms."""
    return await asyncio.to_thread(work, *args, **kwargs) if is_heavy else work(*args, **kwargs)
