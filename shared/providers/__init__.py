"""Provider adapters: pure translation between the canonical types and a vendor's wire format, no I/O.

A folder a vendor: `vendor.py` holds what its operations share, and each operation is a module of its own, which is
imported by name when a request first needs it.
"""

from importlib import import_module
from typing import Any, cast

from shared.errors import InvalidRequest
from shared.providers.base import Vendor


def load_vendor(name: str) -> Vendor:
    """What the operations of a vendor share. Raises ImportError for an unknown vendor."""
    return cast(Vendor, import_module(f"{__name__}.{name}.vendor").vendor)


def load(name: str, operation: str) -> Any:
    """A vendor's adapter for an operation (`chat`, `images`, `content`, `embeddings`, `speech`, `transcription`,
    `token_counts`, `compaction`).

    Raises InvalidRequest naming `model` where the vendor does not have the operation.
    """
    module = f"{__name__}.{name}.{operation}"
    try:
        return import_module(module).adapter
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise InvalidRequest.field("model", f"its provider '{name}' does not support {operation}") from None
