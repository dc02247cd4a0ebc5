"""AWS in a box for local runs: moto's server, with what the stack's template would make in it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from functions.local_worker import HIDDEN_SECONDS
from shared.schemas.caller import Key, Permission
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
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


async def seed(keys: KeyStore, objects: ObjectStore) -> None:
    """Makes the tables, the bucket and the local key, in an AWS that lacks them."""
    await keys.create_table()
    await objects.create_bucket()
    key = Key(key_id="local", tenant="local", permissions=frozenset(Permission))
    await keys.put(LOCAL_TOKEN, key)


async def seed_batches(batches: BatchStore, queue: Queue) -> None:
    """Makes the table and the queue of batches, in an AWS that lacks them."""
    await batches.create_table()
    await queue.create_queue(hidden_seconds=HIDDEN_SECONDS)
