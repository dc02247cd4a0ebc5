"""moto's server, an AWS in a process."""

import logging
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

_SERVICES = ("dynamodb", "s3", "secretsmanager", "sqs")
Application = Callable[..., Iterable[bytes]]


class AtomicMoto:
    """moto as a WSGI application that serialises DynamoDB's updates, so that they are atomic as in AWS.

    It checks no signature, so it refuses requests to hosts that are not loopback.
    """

    def __init__(self, calls: Counter[str] | None = None) -> None:
        """Counts the calls of each action of JSON services, and of each method of S3, in `calls`."""
        _keep_no_history()
        self._calls = Counter[str]() if calls is None else calls
        self._app: Application = DomainDispatcherApplication(create_backend_app)
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
def served(app: Application) -> Iterator[str]:
    """The URL of an emulated AWS on a free port of loopback, as long as it is served."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log every call
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
