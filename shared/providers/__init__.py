"""Provider adapters: pure translation between the canonical types and a vendor's wire format, no I/O.

One module a vendor, imported by name when a request first needs it.
"""

from importlib import import_module
from typing import cast

from shared.providers.base import Adapter


def load(name: str) -> Adapter:
    """The adapter in the module `shared.providers.<name>`. Raises ImportError for a name that there is none of."""
    return cast(Adapter, import_module(f"{__name__}.{name}").adapter)
