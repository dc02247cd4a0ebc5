"""Reads the command line, does what it says, and exits with one line when that cannot be done."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from shared.cli import batches, keys, models, usage
from shared.cli.output import Output
from shared.cli.place import NoPlace, local, stack
from shared.stores.aws import AwsError


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point `gateway`."""
    parser = ArgumentParser(prog="gateway", description="Keys, usage and models of an inference gateway.")
    parser.add_argument("--stack", metavar="NAME", help="work on a deployed stack (default: what `make run` serves)")
    parser.add_argument("--region", metavar="REGION", help="the stack's region (default: that of your AWS profile)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (keys, usage, models, batches):
        module.add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except (NoPlace, keys.NoSuchKey, batches.Refused, AwsError, ValueError) as error:
        sys.exit(f"gateway: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(options: Namespace) -> None:
    place = stack(options.stack, options.region) if options.stack else local()
    try:
        await options.run(options, place, Output(as_json=options.json))
    finally:
        await place.gateway.aclose()


if __name__ == "__main__":
    main()
