"""`gateway health`: the providers' models that are skipped at the moment because they fail."""

from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from shared.cli.output import Output
from shared.cli.target import NoTarget, Target


def add_commands(commands: Any) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser("health", help="list the providers' models that are skipped because they fail")
    parser.set_defaults(run=_list)


async def _list(options: Namespace, target: Target, output: Output) -> None:
    if target.services.settings.limits_table is None:
        raise NoTarget("This gateway shares no health: GATEWAY_LIMITS_TABLE is not set.")
    rows = [
        {"target": name, "since": _time(found.since), "until": _time(found.until), "why": found.why}
        for name, found in sorted((await target.services.circuits.all_open()).items())
    ]
    output.rows(rows, empty="No provider's model is skipped.")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
