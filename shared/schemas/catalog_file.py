"""Validates a catalog file, with errors that name the row and the key."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from shared.schemas.base import Frozen
from shared.schemas.quirk import Quirk


class _Table(Frozen):
    """The keys needed to combine tables. The others are validated as part of the resulting model or provider."""

    model_config = ConfigDict(extra="allow")

    aliases: tuple[str, ...] = ()
    quirks: tuple[Quirk, ...] = ()


class _Row(_Table):
    id: str = Field(min_length=1)
    provider: str | None = None
    same_as: str | None = None
    price: dict[str, Any] | None = None


class _CatalogFile(Frozen):
    providers: dict[str, _Table] = Field(default_factory=dict)
    models: tuple[_Row, ...] = ()


def check(tables: Mapping[str, Any]) -> None:
    """Raises ValueError for a file whose tables cannot be combined."""
    try:
        _CatalogFile.model_validate(tables)
    except ValidationError as error:
        raise ValueError("; ".join(_problem(found["loc"], found, tables) for found in error.errors())) from None


@contextmanager
def naming_problems(name: str) -> Iterator[None]:
    """Prefixes a ValueError with the name of a row or table, and formats pydantic's errors as one line."""
    try:
        yield
    except ValidationError as error:
        problems = [_key_problem(found["loc"], found) for found in error.errors()]
        raise ValueError("; ".join(f"{name}, {problem}" for problem in problems)) from None
    except ValueError as error:
        raise ValueError(f"{name}, {error}") from None


def _problem(location: tuple[int | str, ...], found: Mapping[str, Any], tables: Mapping[str, Any]) -> str:
    match location:
        case ("models", int(index), *key):
            row = tables["models"][index]
            public_id = row.get("id") if isinstance(row, dict) else None
            return f"model {public_id or index + 1!r}, {_key_problem(tuple(key), found)}"
        case ("providers", str(name), *key):
            return f"provider {name!r}, {_key_problem(tuple(key), found)}"
        case _:
            return _key_problem(location, found)


def _key_problem(location: tuple[int | str, ...], found: Mapping[str, Any]) -> str:
    """One error as text; `location` is the path to the value from its row or table."""
    key = ".".join(part for part in location if isinstance(part, str))
    match found["type"]:
        case "extra_forbidden":
            problem = "unknown key"
        case "enum":
            problem = f"unknown value {found['input']!r:.100}"
        case "missing":
            problem = "missing"
        case _:
            problem = found["msg"]
    return f"{key}: {problem}" if key else problem
