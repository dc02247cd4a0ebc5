"""`gateway models`: lists the configured models and their upstream models."""

from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from shared.cli.output import Output
from shared.cli.target import Target


def add_commands(commands: Any) -> None:
    """Adds the command's parser."""
    commands.add_parser("models", help="list the configured models").set_defaults(run=_list)


async def _list(options: Namespace, target: Target, output: Output) -> None:
    await target.services.refresh()
    today = datetime.now(UTC).date()
    rows = [
        {
            "model": model.id,
            "provider": model.provider,
            "upstream": model.upstream,
            "retires": model.retires and model.retires.isoformat(),
            "retired": model.is_retired(today),
            "priced": target.services.price(model) is not None,
            "capabilities": sorted(model.capabilities),
        }
        for model in target.services.catalog.models()
    ]
    output.rows(rows, empty="No provider is configured: set a provider's key, for example OPENAI_API_KEY.")
