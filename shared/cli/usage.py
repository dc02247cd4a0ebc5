"""`gateway usage`: the usage of keys and its cost, by day, model or key."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

from shared.cli import values
from shared.cli.output import Output, Row
from shared.cli.target import NoTarget, Target
from shared.schemas.limits import UsageRow
from shared.stores.limits.usage import By, summed

# Columns that are left out if they are zero in every row.
_RARE = (
    "cached_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "images",
    "characters",
    "audio_seconds",
)


def add_commands(commands: Any) -> None:
    """Adds the command's parser."""
    parser: ArgumentParser = commands.add_parser("usage", help="show usage and cost")
    parser.add_argument("--by", choices=[by.value for by in By], default=By.DAY.value)
    parser.add_argument("--since", type=values.day, metavar="DAY", help="default: the first of this month")
    parser.add_argument("--until", type=values.day, metavar="DAY", help="default: today; days are in UTC")
    parser.add_argument("--key", metavar="KEY_ID", help="only this key's usage")
    parser.set_defaults(run=_report)


async def _report(options: Namespace, target: Target, output: Output) -> None:
    limits = target.services.limits
    if limits is None:
        raise NoTarget("This gateway records no usage: GATEWAY_LIMITS_TABLE is not set.")
    now = datetime.now(UTC)
    since = options.since or now.strftime("%Y-%m-01")
    until = options.until or now.strftime("%Y-%m-%d")
    if since > until:
        raise NoTarget(f"The report ends before it begins: from {since} to {until}.")
    by = By(options.by)
    sums = summed(await limits.usage.rows(since, until, options.key), by)
    titles = await _names_of_keys(target) if by is By.KEY else {}
    rows = [_row(by, titles.get(name, name), name, row) for name, row in sums.items()]
    hidden = {name for name in _RARE if not any(row[name] for row in rows)}
    if not any(row["estimated_requests"] for row in rows):
        hidden |= {"estimated_requests", "estimated_dollars"}
    output.rows(
        [{name: value for name, value in row.items() if name not in hidden} for row in rows],
        empty=f"Nothing was used from {since} to {until}.",
    )


async def _names_of_keys(target: Target) -> dict[str, str]:
    return {key.key_id: key.name or key.key_id for key in await target.keys.all()}


def _row(by: By, title: str, name: str, row: UsageRow) -> Row:
    usage = row.usage
    return {
        by.value: title,
        **({"key_id": name} if by is By.KEY else {}),
        "requests": row.requests,
        "failures": row.failures,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        **{field: getattr(usage, field) for field in _RARE},
        "cost_dollars": values.shown_dollars(row.cost),
        "estimated_requests": row.estimated,
        "estimated_dollars": values.shown_dollars(row.estimated_cost),
    }
