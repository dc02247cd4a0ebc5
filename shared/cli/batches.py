"""`gateway batch`: submits a file of requests, shows its progress, and prints the results.

The only command that calls the gateway's HTTP API, as clients do, with a URL and a key.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.cli.output import Output, Row
from shared.cli.target import NoTarget, Target

if TYPE_CHECKING:
    import httpx

_ENDED = {"completed", "failed", "expired", "cancelled"}
_BATCHES = "/v1/inference/batch"
_LOCAL_KEY = "sk-local"


class Refused(Exception):
    """The gateway returned an error, with this message."""


def add_commands(commands: Any) -> None:
    """Adds the command's parsers."""
    parser: ArgumentParser = commands.add_parser("batch", help="run many requests from a file")
    parser.add_argument("--url", help="the gateway's URL (default: the stack's, or 127.0.0.1 on PORT)")
    parser.add_argument("--key", help="a client's key (default: GATEWAY_KEY, or sk-local for `make run`)")
    batch = parser.add_subparsers(required=True)
    submit = batch.add_parser("submit", help="submit a JSON Lines file")
    submit.add_argument("file", type=Path)
    submit.add_argument("--window", choices=["24h", "4h", "1h"], default="24h")
    submit.add_argument("--wait", action="store_true", help="show the progress until it has ended")
    submit.set_defaults(run=_submit)
    listing = batch.add_parser("list", help="list the newest batches")
    listing.add_argument("--status")
    listing.add_argument("--limit", type=int, default=20)
    listing.set_defaults(run=_list)
    for name, run, what in (
        ("show", _show, "show one batch"),
        ("wait", _wait, "show the progress until it has ended"),
        ("cancel", _cancel, "cancel it; finished results are kept"),
    ):
        command = batch.add_parser(name, help=what)
        command.add_argument("batch_id")
        command.set_defaults(run=run)
    results = batch.add_parser("results", help="print the results, or the lines that failed")
    results.add_argument("batch_id")
    results.add_argument("--errors", action="store_true")
    results.set_defaults(run=_results)


async def _submit(options: Namespace, target: Target, output: Output) -> None:
    if not options.file.is_file():
        raise NoTarget(f"No such file: {options.file}")
    async with _client(options, target) as client:
        announced = {"filename": "batch.jsonl", "purpose": "batch", "bytes": options.file.stat().st_size}
        file = _data(await client.post("/v1/files", json=announced))
        await _upload(options.file, file["upload"])
        order = {"input_file_id": file["id"], "endpoint_completion_window": options.window}
        batch = _data(await client.post(_BATCHES, json=order))
        if options.wait:
            batch = await _watched(client, batch)
    output.one(_row(batch))


async def _upload(file: Path, upload: dict[str, Any]) -> None:
    """PUTs the file to the presigned URL, without the client's key."""
    import httpx

    with file.open("rb") as content:

        async def chunks() -> Any:
            while chunk := content.read(1 << 20):
                yield chunk

        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.put(upload["url"], content=chunks(), headers=upload["headers"])
    if answer.status_code != 200:
        raise Refused(f"The file could not be uploaded: status {answer.status_code}.")


async def _list(options: Namespace, target: Target, output: Output) -> None:
    query = {"limit": options.limit, **({"status": options.status} if options.status else {})}
    async with _client(options, target) as client:
        items = _data(await client.get(_BATCHES, params=query))["items"]
    output.rows([_row(batch) for batch in items], empty="There are no batches.")


async def _show(options: Namespace, target: Target, output: Output) -> None:
    async with _client(options, target) as client:
        output.one(_row(_data(await client.get(f"{_BATCHES}/{options.batch_id}"))))


async def _wait(options: Namespace, target: Target, output: Output) -> None:
    async with _client(options, target) as client:
        batch = await _watched(client, _data(await client.get(f"{_BATCHES}/{options.batch_id}")))
    output.one(_row(batch))


async def _cancel(options: Namespace, target: Target, output: Output) -> None:
    async with _client(options, target) as client:
        output.one(_row(_data(await client.post(f"{_BATCHES}/{options.batch_id}/cancel"))))


async def _results(options: Namespace, target: Target, output: Output) -> None:
    import httpx

    async with _client(options, target) as client:
        batch = _data(await client.get(f"{_BATCHES}/{options.batch_id}"))
    url = batch["error_file_url" if options.errors else "output_file_url"]
    if url is None:
        print(f"No results: the batch is {batch['status']}.", file=sys.stderr)
        return
    async with httpx.AsyncClient(timeout=60) as client, client.stream("GET", url) as answer:
        async for chunk in answer.aiter_bytes():
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


async def _watched(client: "httpx.AsyncClient", batch: dict[str, Any]) -> dict[str, Any]:
    """Waits until the batch has ended, with a progress bar on stderr, since stdout is for the result."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(batch["status"], total=None)
        while True:
            counts = batch["request_counts"]
            progress.update(
                task,
                description=batch["status"],
                total=counts["total"] or None,
                completed=counts["completed"] + counts["failed"],
            )
            if batch["status"] in _ENDED:
                return batch
            await asyncio.sleep(0.5)
            batch = _data(await client.get(f"{_BATCHES}/{batch['id']}"))


def _client(options: Namespace, target: Target) -> "httpx.AsyncClient":
    import httpx

    url = options.url or target.url
    key = options.key or os.environ.get("GATEWAY_KEY") or (_LOCAL_KEY if target.is_local else None)
    if key is None:
        raise NoTarget("A client's key is required: use --key, or set GATEWAY_KEY.")
    return httpx.AsyncClient(base_url=url.rstrip("/"), headers={"authorization": f"Bearer {key}"}, timeout=60)


def _data(answer: "httpx.Response") -> dict[str, Any]:
    """The data of a response, enveloped or not. Raises Refused with the gateway's error message."""
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        raise Refused(f"The gateway answered {answer.status_code}.") from None
    if answer.status_code >= 400:
        raise Refused(body.get("error", {}).get("message") or f"The gateway answered {answer.status_code}.")
    data: dict[str, Any] = body.get("data", body) if body.get("status") == "ok" else body
    return data


def _row(batch: dict[str, Any]) -> Row:
    counts = batch["request_counts"]
    return {
        "batch_id": batch["id"],
        "status": batch["status"],
        "window": batch["endpoint_completion_window"],
        "total": counts["total"],
        "completed": counts["completed"],
        "failed": counts["failed"],
        "created": batch["created_at"],
        "completed_at": batch["completed_at"],
        "expires": batch["expires_at"],
    }
