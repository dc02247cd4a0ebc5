"""Helpers shared by the benchmarks: SHORT=on runs one quick round, WRITE=on updates a table in README."""

import os
import sys
from collections.abc import Iterable

from scripts.emulator import ROOT

SHORT = os.environ.get("SHORT") == "on"
WRITE = os.environ.get("WRITE") == "on"
_README = ROOT / "README.md"


def whole_number(name: str, usual: int, short: int) -> int:
    """A number from 1, given by a variable, or else its default. Exits with one line when it is not one."""
    text = os.environ.get(name) or str(short if SHORT else usual)
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        sys.exit(f"{name} must be a whole number from 1")
    return int(text)


def table(columns: list[str], rows: Iterable[list[str]], names: int = 1) -> str:
    """A table in Markdown, whose first columns are names and the others figures."""
    ruler = ["---"] * names + ["---:"] * (len(columns) - names)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [columns, ruler, *rows])


def report(block: str, text: str) -> None:
    """Prints a result, and with WRITE=on puts it into README between `<!-- block -->` and `<!-- /block -->`."""
    print(text)
    if not WRITE:
        return
    begin, end = f"<!-- {block} -->\n", f"<!-- /{block} -->\n"
    readme = _README.read_text("utf-8")
    if readme.count(begin) != 1 or readme.count(end) != 1:
        sys.exit(f"README.md lacks the lines {begin.strip()} and {end.strip()}")
    before, _, rest = readme.partition(begin)
    _README.write_text(before + begin + "\n" + text + "\n\n" + end + rest.partition(end)[2], "utf-8")
