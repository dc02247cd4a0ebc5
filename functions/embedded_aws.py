"""An embedded AWS for local runs: moto's server with the resources that the stack's template would create."""

import json
import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock, Thread
from typing import Any

from moto.core.model_instances import model_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from functions.local_server import is_loopback
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

_SERVICES = ("dynamodb", "s3", "secretsmanager", "sqs")


class AtomicMoto:
    """moto as a WSGI application that serialises DynamoDB's updates, so that they are atomic as in AWS.

    It checks no signature, so it refuses requests to hosts that are not loopback.
    """

    def __init__(self, calls: Counter[str] | None = None) -> None:
        """Counts the calls of each action of JSON services, and of each method of S3, in `calls`."""
        _keep_no_history()
        self._calls = Counter[str]() if calls is None else calls
        self._app: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
        self._turn = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not is_loopback(str(environ.get("HTTP_HOST", ""))):
            start_response("403 Forbidden", [])
            return []
        target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
        self._calls[target.rpartition(".")[2] or str(environ["REQUEST_METHOD"])] += 1
        if not target.startswith("DynamoDB"):
            return self._app(environ, start_response)
        with self._turn:
            return self._app(environ, start_response)


def _keep_no_history() -> None:
    """Lets moto forget what it no longer stores.

    Its classes list every instance that was ever made, for a page of its own: each version of a DynamoDB item, twice.
    """
    for service in _SERVICES:
        import_module(f"moto.{service}.models")
        models: Iterable[Any] = model_data[service].values()
        for model in models:
            model.instances_tracked = deque[Any](maxlen=0)


@contextmanager
def embedded_aws(calls: Counter[str] | None = None) -> Iterator[str]:
    """Runs the embedded AWS, points this process's AWS clients at it, and returns its URL.

    Its calls are counted in `calls`.

    If `AWS_ENDPOINT_URL` is set, only returns that.
    """
    if given := os.environ.get("AWS_ENDPOINT_URL"):
        yield given
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log every call
    server = make_server("127.0.0.1", 0, AtomicMoto(calls), threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    # Set for each service: Bedrock is reached at AWS itself. Its calls are signed with the user's own credentials, from
    # the environment as it was before, and calls of the embedded AWS never are.
    for service in ("DYNAMODB", "S3", "SECRETS_MANAGER", "SQS"):
        os.environ[f"AWS_ENDPOINT_URL_{service}"] = url
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    os.environ |= {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}
    os.environ.pop("AWS_SESSION_TOKEN", None)
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()


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
