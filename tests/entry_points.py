"""The functions' modules."""

import asyncio
from importlib import import_module
from types import ModuleType


def entry_point(folder: str) -> ModuleType:
    """The module of a function. Mangum asks for the event loop while it is made, and would leave one of its own."""

    async def imported() -> ModuleType:
        return import_module(f"functions.{folder}.app")

    return asyncio.run(imported())
