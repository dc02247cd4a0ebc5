"""What a function does before Lambda takes its snapshot, so that no request after it pays for it."""

import os
import pkgutil
from importlib import import_module
from pathlib import Path

# Loaded by the first request otherwise.
_PACKAGES = (
    "anyio._backends._asyncio",
    "httpx",
    "idna",
    "pydantic._internal._dataclasses",
    "pydantic.dataclasses",
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.metrics",
)
_NEVER_IN_A_FUNCTION = ("shared.cli",)


def before_snapshot() -> None:
    """Imports all that a request may import, where Lambda starts functions from snapshots; otherwise does nothing.

    Elsewhere a cold start imports as little as its request needs.
    """
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return
    for name in _PACKAGES:
        import_module(name)
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], "shared."):
        if not module.name.startswith(_NEVER_IN_A_FUNCTION):
            import_module(module.name)
