"""The sandbox asked through its adapters, as the gateway does it, without the gateway between."""

import io
import json
from collections.abc import Iterable
from typing import Any

from shared.media import sniff
from shared.providers import load
from shared.providers.base import LocalAnswer
from shared.providers.sandbox.vendor import vendor
from shared.schemas.events import ChatCollector
from shared.schemas.model import Model
from shared.schemas.upload import Upload


def model(name: str) -> Model:
    return Model(id=f"sandbox/{name}", provider="sandbox", upstream=name, owned_by="sandbox")


def local_answer(operation: str, request: Any, name: str) -> LocalAnswer:
    """What the sandbox answers to a request to the model `name`."""
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
    """The events of the answer, whole or streamed, whose body arrives in chunks of `size`."""
    adapter = load("sandbox", operation)
    content, reader = body(operation, request, name), adapter.reader(request)
    if not adapter.call(request, model(name)).streamed:
        return list(reader.body(content))
    decoder = adapter.frames()
    chunks = (content[at : at + size] for at in range(0, len(content), size))
    read = [event for chunk in chunks for frame in decoder.feed(chunk) for event in reader.frame(frame)]
    return [*read, *reader.end()]


def collected(events: Iterable[Any]) -> Any:
    """The ChatResponse that the events of a chat fold into."""
    collector = ChatCollector()
    for event in events:
        collector.add(event)
    return collector.response()


def upload(data: bytes, media_type: str | None = None) -> Upload:
    """A file as it comes in a form."""
    return Upload(io.BytesIO(data), "file", media_type or sniff(data) or "application/octet-stream", len(data))
