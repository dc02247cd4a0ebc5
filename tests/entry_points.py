"""What AWS is told of: the functions' modules, and routes in its own spelling."""

import asyncio
import re
from importlib import import_module
from types import ModuleType

from shared.routes import Route


def entry_point(folder: str) -> ModuleType:
    """The module of a function. Mangum asks for the event loop while it is made, and would leave one of its own."""

    async def imported() -> ModuleType:
        return import_module(f"functions.{folder}.app")

    return asyncio.run(imported())


def resource_path(route: Route) -> str:
    """The path of a route as API Gateway writes it."""
    return re.sub(r"\{(\w+):path}", r"{\1+}", route.path)
