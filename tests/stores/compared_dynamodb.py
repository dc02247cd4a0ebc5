"""moto's DynamoDB, and beside it the one in memory, which is asked the same: their answers are compared."""

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from threading import Lock
from typing import Any

from functions.moto_server import AtomicMoto
from scripts.memory_dynamodb import TARGET, MemoryDynamoDb

_SETS = ("SS", "NS")


class ComparedDynamoDb:
    """A WSGI application that is all moto to its callers. `differences` tells each call that was answered otherwise."""

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.compared = 0
        self._moto = AtomicMoto()
        self._memory = MemoryDynamoDb()
        self._turn = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if not target.startswith(TARGET):
            return self._moto(environ, start_response)
        content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(content)
        statuses: list[int] = []

        def started(status: str, *arguments: Any) -> Any:
            statuses.append(int(status.split()[0]))
            return start_response(status, *arguments)

        with self._turn:
            answer = b"".join(self._moto(environ, started))
            self._compare(target, content, (statuses[0], answer))
        return [answer]

    def _compare(self, target: str, content: bytes, theirs: tuple[int, bytes]) -> None:
        self.compared += 1
        try:
            ours = self._memory.answer(target, content)
        except NotImplementedError as error:
            self.differences.append(f"{target} {content!r} is not known: {error}")
            return
        if _told(target, ours) != _told(target, theirs):
            self.differences.append(f"{target} {content!r}\nin memory: {ours}\nmoto: {theirs}")


def _told(target: str, answer: tuple[int, bytes]) -> Any:
    """What the stores read of an answer."""
    status, body = answer[0], json.loads(answer[1])
    if status != 200:
        return status, body["__type"].rpartition("#")[2], _plain(body.get("Item"))
    if target.endswith(("CreateTable", "DescribeEndpoints")):
        return status
    if target.endswith("Scan"):  # which has no order
        body["Items"].sort(key=lambda item: json.dumps(item, sort_keys=True))
    told = body.keys() - {"ConsumedCapacity", "ScannedCount"}
    return status, {name: _plain(body[name]) for name in told}


def _plain(value: Any) -> Any:
    """The same for all orders of a set's elements."""
    if isinstance(value, dict):
        return {name: sorted(one) if name in _SETS else _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
