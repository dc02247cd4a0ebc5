"""A DynamoDB in a process of its own, for processes that race. Prints two ports and ends with its standard input.

Behind the second port it fails: the share of calls given as argument, in each of the ways of `Faulty`, and once a
number of calls on end.
"""

import logging
import random
import socket
import sys
import time
from collections.abc import Callable, Iterable
from threading import Lock, Thread
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server

from scripts.memory_dynamodb import MemoryDynamoDb

Application = Callable[..., Iterable[bytes]]
OUTAGE = range(120, 200)
"""The calls of which none is answered, nor done."""
_SILENCE_SECONDS = 2.5
_MOST_SILENCES = 6


class Faulty:
    """Throttles calls, breaks off connections before a call is done or after, answers 500 before it is done or after,
    or says nothing for longer than anybody waits, though it has done what was asked."""

    def __init__(self, app: Application, share: float) -> None:
        self._app = app
        self._share = share
        self._chance = random.Random(1)
        self._lock = Lock()
        self._calls = self._silences = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        fault = self._fault()
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault == "throttle":
            return _answer(start_response, "400 Bad Request", "ProvisionedThroughputExceededException")
        if fault == "500 before":
            return _answer(start_response, "500 Internal Server Error", "InternalServerError")
        if fault == "break off before":
            return _break_off(environ, start_response)
        from io import BytesIO

        environ["wsgi.input"] = BytesIO(body)
        answered = list(self._app(environ, start_response if fault is None else _ignored))
        if fault == "500 after":
            return _answer(start_response, "500 Internal Server Error", "InternalServerError")
        if fault == "silence":
            time.sleep(_SILENCE_SECONDS)
        if fault is not None:
            return _break_off(environ, start_response)
        return answered

    def _fault(self) -> str | None:
        with self._lock:
            self._calls += 1
            if self._calls in OUTAGE:
                return "break off before"
            if self._chance.random() >= self._share:
                return None
            kinds = ["throttle", "500 before", "500 after", "break off before", "break off after"]
            if self._silences < _MOST_SILENCES:
                kinds.append("silence")
            fault = self._chance.choice(kinds)
            self._silences += fault == "silence"
            return fault


def _answer(start_response: Any, status: str, code: str) -> Iterable[bytes]:
    start_response(status, [("content-type", "application/x-amz-json-1.0")])
    return [f'{{"__type": "com.amazonaws.dynamodb.v20120810#{code}"}}'.encode()]


def _break_off(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return _answer(start_response, "500 Internal Server Error", "nobody reads this")


def _ignored(*arguments: Any) -> None:
    """In place of `start_response`, for an answer that nobody gets."""


def serve(app: Application) -> BaseWSGIServer:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = MemoryDynamoDb()
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    for served in (serve(app), serve(Faulty(app, share))):
        print(served.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
