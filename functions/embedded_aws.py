"""An embedded AWS for local runs: moto's server with the resources that the stack's template would create."""

import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from functions.local_worker import HIDDEN_SECONDS
from shared.cli.target import RUNNING
from shared.schemas.caller import Key, Permission
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue
from shared.stores.stack_secret import StackSecret

LOCAL_TOKEN = "sk-local"  # noqa: S105 - a key that opens nothing but this machine's own server


@contextmanager
def embedded_aws(calls: Counter[str] | None = None) -> Iterator[str]:
    """Runs the embedded AWS, points this process's AWS clients at it, and returns its URL.

    Its calls are counted in `calls`.

    If `AWS_ENDPOINT_URL` is set, only returns that.
    """
    if given := os.environ.get("AWS_ENDPOINT_URL"):
        yield given
        return
    # It takes as long to load as everything else together: for nothing where a setting is wrong, or an AWS is given.
    from functions.moto_server import AtomicMoto, served

    with served(AtomicMoto(calls)) as url:
        _point_at(url)
        yield url


def _point_at(url: str) -> None:
    """Has this process's AWS clients call an embedded AWS."""
    # Set for each service: Bedrock is reached at AWS itself. Its calls are signed with the user's own credentials, from
    # the environment as it was before, and calls of the embedded AWS never are.
    for service in ("DYNAMODB", "S3", "SECRETS_MANAGER", "SQS"):
        os.environ[f"AWS_ENDPOINT_URL_{service}"] = url
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    os.environ |= {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}
    os.environ.pop("AWS_SESSION_TOKEN", None)


@contextmanager
def announced(listening: socket.socket) -> Iterator[None]:
    """Writes the address of the embedded AWS to a file for the command line, as long as the gateway listens."""
    file = RUNNING / f"{listening.getsockname()[1]}.json"
    found = {name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL_")}
    if "AWS_ENDPOINT_URL" in os.environ or not found:
        yield
        return
    found |= {name: value for name, value in os.environ.items() if name.endswith("_TABLE")}
    # The embedded AWS checks no signatures, so the user's credentials are kept out of the file.
    found |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}
    RUNNING.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps({"pid": os.getpid(), "environment": found}), "utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


async def seed(keys: KeyStore, objects: ObjectStore, limits: LimitStore | None, secret: StackSecret) -> None:
    """Creates the tables, the bucket, the tenants' secret and the local key if they do not exist."""
    await keys.create_table()
    if limits is not None:
        await limits.create_tables()
    await objects.create_bucket()
    await secret.create()
    key = Key(key_id="local", tenant="local", permissions=frozenset(Permission))
    await keys.put(LOCAL_TOKEN, key)


async def seed_batches(batches: BatchStore, queue: Queue) -> None:
    """Creates the table and the queue of batches if they do not exist."""
    await batches.create_table()
    await queue.create_queue(hidden_seconds=HIDDEN_SECONDS)
