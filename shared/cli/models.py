"""`gateway models`: what can be called, and what stands behind it."""

from argparse import Namespace
from typing import Any

from shared.cli.output import Output
from shared.cli.place import Place


def add_commands(commands: Any) -> None:
    """The command's parser."""
    commands.add_parser("models", help="list the configured models").set_defaults(run=_list)


async def _list(options: Namespace, place: Place, output: Output) -> None:
    await place.gateway.refresh()
    rows = [
        {
            "model": model.id,
            "provider": model.provider,
            "upstream": model.upstream,
            "retires": model.retires and model.retires.isoformat(),
            "priced": place.gateway.price(model) is not None,
            "capabilities": sorted(model.capabilities),
        }
        for model in place.gateway.catalog.models()
    ]
    output.rows(rows, empty="No provider is configured: set a provider's key, for example OPENAI_API_KEY.")
