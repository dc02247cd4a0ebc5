"""The sandbox asked through its adapter, as the gateway does it, without the gateway between."""

import io
import json
from collections.abc import AsyncIterator, Iterable

from shared.media import sniff
from shared.providers.base import Call, LocalAnswer
from shared.providers.sandbox import adapter
from shared.schemas.model import Capability, Model
from shared.schemas.upload import Upload


def model(name: str, *capabilities: Capability) -> Model:
    return Model(
        id=f"sandbox/{name}",
        provider="sandbox",
        upstream=name,
        owned_by="sandbox",
        capabilities=frozenset(capabilities),
    )


def local_answer(call: Call) -> LocalAnswer:
    return adapter.answer(call.path, json.dumps(call.json).encode())


def body(call: Call) -> bytes:
    """The body of the answer; raises the error that stands in its place."""
    answer = local_answer(call)
    content = sent(answer.chunks)
    if answer.status != 200:
        raise adapter.error(answer.status, answer.headers, content)
    return content


def sent(chunks: Iterable[bytes | float]) -> bytes:
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def upload(data: bytes, media_type: str | None = None) -> Upload:
    """A file as it comes in a form."""
    return Upload(io.BytesIO(data), "file", media_type or sniff(data) or "application/octet-stream", len(data))
