"""Dialects: the wire formats that clients speak, each translated to and from the canonical types."""

from functools import cache
from importlib import import_module
from typing import Any

from shared.dialects.base import Dialect

# Dialects are imported when the first request needs them: most processes only ever speak one.


@cache
def dialect_named(name: str) -> Dialect:
    """The error format and headers of a dialect of the route table."""
    dialect: Dialect = import_module(f"shared.dialects.{name}").dialect
    return dialect


@cache
def wire_module(dialect: str, module: str) -> Any:
    """A module of a dialect's package."""
    return import_module(f"shared.dialects.{dialect}.{module}")


@cache
def parser(dialect: str, name: str) -> Any:
    """A parser of request bodies, `name` being its `module.function` in the dialect's package."""
    module, _, function = name.rpartition(".")
    return getattr(wire_module(dialect, module), function)
