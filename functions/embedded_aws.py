"""AWS in a box for local runs: moto's server, with what the stack's template would make in it."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from functions.local_worker import HIDDEN_SECONDS
from shared.cli.place import RUNNING
from shared.schemas.caller import Key, Permission
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue

LOCAL_TOKEN = "sk-local"  # noqa: S105 - a key that opens nothing but this machine's own server


@contextmanager
def embedded_aws() -> Iterator[str]:
    """Runs the embedded AWS, points this process's AWS clients at it, and gives its URL.

    Does nothing of this when `AWS_ENDPOINT_URL` says that there is another.
    """
    if given := os.environ.get("AWS_ENDPOINT_URL"):
        yield given
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every call, and each of ours is one
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # By service, so that a Bedrock provider still reaches the real AWS with the user's own credentials.
    for service in ("DYNAMODB", "S3", "SECRETS_MANAGER", "SQS"):
        os.environ[f"AWS_ENDPOINT_URL_{service}"] = url
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    if not any(name in os.environ for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")):
        os.environ |= {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}
    try:
        yield url
    finally:
        server.stop()


@contextmanager
def announced(listening: socket.socket) -> Iterator[None]:
    """Leaves the address of the embedded AWS where the command line finds it, for as long as the gateway listens."""
    file = RUNNING / f"{listening.getsockname()[1]}.json"
    found = {name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL_")}
    if "AWS_ENDPOINT_URL" in os.environ or not found:
        yield
        return
    names = ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    found |= {name: value for name, value in os.environ.items() if name in names or name.endswith("_TABLE")}
    RUNNING.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps({"pid": os.getpid(), "environment": found}), "utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


async def seed(keys: KeyStore, objects: ObjectStore, limits: LimitStore) -> None:
    """Makes the tables, the bucket and the local key, in an AWS that lacks them."""
    await keys.create_table()
    await limits.create_tables()
    await objects.create_bucket()
    key = Key(key_id="local", tenant="local", permissions=frozenset(Permission))
    await keys.put(LOCAL_TOKEN, key)


async def seed_batches(batches: BatchStore, queue: Queue) -> None:
    """Makes the table and the queue of batches, in an AWS that lacks them."""
    await batches.create_table()
    await queue.create_queue(hidden_seconds=HIDDEN_SECONDS)
