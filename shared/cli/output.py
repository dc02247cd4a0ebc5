"""What the command line prints: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


class Output:
    """Prints results to stdout. With `as_json`, one JSON document with exact values."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def rows(self, rows: Sequence[Row], *, empty: str) -> None:
        """Prints a table with a column for each name in any row, or the sentence `empty` if there are no rows."""
        if self._as_json:
            self._json(list(rows))
            return
        if not rows:
            print(empty)
            return
        from rich.console import Console
        from rich.table import Table

        names = list(dict.fromkeys(name for row in rows for name in row))
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in names:
            numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
            table.add_column(name.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(_shown(row.get(name)) for name in names))
        # In a pipe, long lines must not be wrapped.
        Console(width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False).print(table)

    def one(self, row: Row) -> None:
        """Prints one row, with a line for each value."""
        if self._as_json:
            self._json(row)
            return
        width = max(map(len, row), default=0)
        for name, value in row.items():
            print(f"{name.replace('_', ' '):{width}}  {_shown(value)}")

    def _json(self, value: Any) -> None:
        json.dump(value, sys.stdout, indent=2, default=str, ensure_ascii=False)
        print()


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
        case int():
            return f"{value:,}"
        case _:
            return str(value)
