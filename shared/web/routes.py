"""What all inference routes share: they are POSTs of callers who may, read by a dialect's parser."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from fastapi import Depends, FastAPI

from shared.web.caller import inference_caller


def post(path: str, endpoint: Callable[..., object]) -> Callable[[FastAPI], None]:
    """POST `path` for callers who may use models."""
    return lambda app: app.add_api_route(
        path, endpoint, methods=["POST"], response_model=None, dependencies=[Depends(inference_caller)]
    )


def parser(name: str) -> Any:
    """A parser by its place in `shared.dialects`, imported when the first request needs it: most sandboxes only ever
    speak one dialect."""
    module, _, function = name.rpartition(".")
    return getattr(import_module(f"shared.dialects.{module}"), function)
