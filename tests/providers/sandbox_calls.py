"""The sandbox asked through its adapters, as the gateway does it, without the gateway between."""

import io
import json
from collections.abc import Iterable
from typing import Any

from shared.media import sniff
from shared.providers import load
from shared.providers.base import LocalAnswer
from shared.providers.sandbox.vendor import vendor
from shared.schemas.model import Model
from shared.schemas.upload import Upload
from tests.providers.reading import split, streamed, whole


def model(name: str) -> Model:
    return Model(id=f"sandbox/{name}", provider="sandbox", upstream=name, owned_by="sandbox")


def local_answer(operation: str, request: Any, name: str) -> LocalAnswer:
    """What the model `name` answers to a request."""
    call = load("sandbox", operation).call(request, model(name))
    return vendor.answer(call.path, json.dumps(call.json).encode())


def sent(chunks: Iterable[bytes | float]) -> bytes:
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))


def body(operation: str, request: Any, name: str) -> bytes:
    """The body of the answer; raises the error that stands in its place."""
    answer = local_answer(operation, request, name)
    content = sent(answer.chunks)
    if answer.status != 200:
        raise vendor.error(answer.status, answer.headers, content)
    return content


def response(operation: str, request: Any, name: str) -> Any:
    """The canonical response."""
    return load("sandbox", operation).response(json.loads(body(operation, request, name)))


def events(operation: str, request: Any, name: str, size: int = 1 << 20) -> list[Any]:
    """The events of the answer, which arrives in chunks of `size` bytes where it is streamed."""
    adapter, content = load("sandbox", operation), body(operation, request, name)
    if adapter.call(request, model(name)).streamed:
        return streamed(adapter, request, split(content, size))
    return whole(adapter, request, content)


def upload(data: bytes, media_type: str | None = None) -> Upload:
    """A file as it comes in a form."""
    return Upload(io.BytesIO(data), "file", media_type or sniff(data) or "application/octet-stream", len(data))
