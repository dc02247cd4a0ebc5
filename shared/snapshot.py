"""What a function does before Lambda takes its snapshot or gives it many requests, so that none of them pays for it."""

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
_ONLY_WITH_TRACING = ("shared.tracing",)


def before_snapshot() -> None:
    """Imports all that a request may import, where no client waits for that: where Lambda starts functions from
    snapshots, and where a process serves several invocations at once, whose streams an import would hold up.

    Elsewhere a cold start imports as little as its request needs.
    """
    is_snapshot = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
    if not is_snapshot and "AWS_LAMBDA_MAX_CONCURRENCY" not in os.environ:
        return
    for name in _PACKAGES:
        import_module(name)
    is_traced = os.environ.get("GATEWAY_TRACING", "").lower() == "on"
    left_out = _NEVER_IN_A_FUNCTION if is_traced else (*_NEVER_IN_A_FUNCTION, *_ONLY_WITH_TRACING)
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], "shared."):
        if not module.name.startswith(left_out):
            import_module(module.name)
