"""Parses the command line and runs the command; on failure exits with a one-line message."""

import asyncio
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, NoReturn

from shared.cli import batches, catalog, health, keys, models, providers, releases, usage
from shared.cli.output import Output
from shared.cli.target import NoTarget, local, stack
from shared.stores.aws_calls import AwsError


class _Parser(ArgumentParser):
    """The parser of the command line and of each command: the options of the target may stand anywhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        where = "work on a deployed stack (default: what `make run` serves)"
        self.add_argument("--stack", metavar="NAME", default=SUPPRESS, help=where)
        where = "the stack's region (default: your AWS profile's)"
        self.add_argument("--region", metavar="REGION", default=SUPPRESS, help=where)
        self.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point `gateway`."""
    parser = _Parser(prog="gateway", description="Operates an inference gateway.")
    parser.set_defaults(stack=None, region=None, json=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (keys, usage, models, health, providers, catalog, batches, releases):
        module.add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except (NoTarget, keys.NoSuchKey, batches.Refused, providers.ProviderFailed, AwsError, ValueError) as error:
        sys.exit(f"gateway: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"gateway: {error}; install it with: pip install 'inference-gateway[local]'")
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(options: Namespace) -> None:
    target = stack(options.stack, options.region) if options.stack else local()
    try:
        await options.run(options, target, Output(as_json=options.json))
    finally:
        await target.services.aclose()


if __name__ == "__main__":
    main()
