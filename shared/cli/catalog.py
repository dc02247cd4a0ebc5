"""`gateway catalog`: a stack's own providers and models, which change without a deployment."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from shared.catalog import Catalog
from shared.cli.output import Output
from shared.cli.target import NoTarget, Target
from shared.settings import Settings
from shared.stores.objects import ObjectNotFound
from shared.stores.operator_catalog import KEY


def add_commands(commands: Any) -> None:
    """The command's parsers."""
    parser: ArgumentParser = commands.add_parser("catalog", help="your own providers and models in a stack")
    catalog = parser.add_subparsers(required=True)
    put = catalog.add_parser("set", help="check a TOML file and let the stack read it, within five minutes")
    put.add_argument("file", type=Path)
    put.set_defaults(run=_set)
    catalog.add_parser("show", help="print the file that the stack reads").set_defaults(run=_show)
    catalog.add_parser("remove", help="leave only the default catalog").set_defaults(run=_remove)


async def _set(options: Namespace, target: Target, output: Output) -> None:
    text = checked(options.file)
    await _bucket(target).put(KEY, text.encode(), "application/toml")
    output.one({"catalog": f"s3://{_bucket(target).bucket}/{KEY}", "read_by_functions": _is_read(target)})


async def _show(options: Namespace, target: Target, output: Output) -> None:
    try:
        stored = await _bucket(target).get(KEY)
    except ObjectNotFound:
        raise NoTarget("The stack has no catalog of its own: gateway catalog set FILE") from None
    sys.stdout.write(stored.content.decode(errors="replace"))


async def _remove(options: Namespace, target: Target, output: Output) -> None:
    await _bucket(target).delete(KEY)
    output.one({"catalog": None, "read_by_functions": _is_read(target)})


def checked(file: Path) -> str:
    """The text of an operator's file. Raises NoTarget where there is none, ValueError where its rows are wrong."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise NoTarget(f"{file} could not be read: {error.strerror}") from None
    Catalog.load(Settings(catalog=str(file)), text, complete=True)
    return text


def _bucket(target: Target) -> Any:
    if target.is_local:
        raise NoTarget("A local gateway reads GATEWAY_CATALOG; name a stack with --stack.")
    return target.services.objects


def _is_read(target: Target) -> bool:
    """Whether the stack was deployed with the parameter Catalog."""
    return target.services.settings.catalog is not None
