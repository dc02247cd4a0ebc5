"""Embeddings on the sandbox's wire: `POST /embeddings` takes an EmbeddingRequest and answers `{"vectors","usage"}`.

A vector is the base64 of its numbers as 32-bit floats in the machine's own byte order, for it never leaves the machine.
"""

from array import array
from base64 import b64decode, b64encode
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from shared.errors import InvalidRequest
from shared.providers.base import Call, LocalAnswer
from shared.providers.sandbox import behaviour, tokens
from shared.schemas.embedding import EmbeddingInput, EmbeddingRequest, EmbeddingResponse
from shared.schemas.usage import Usage

MAX_INPUTS = 100
_DIMENSIONS = 1536
_MOST_DIMENSIONS = 3072
_MOST_TOKENS = 8192
_LONGEST_TOKEN = 5


@cache
def _requests() -> TypeAdapter[EmbeddingRequest]:
    return TypeAdapter(EmbeddingRequest)


def call(request: EmbeddingRequest, upstream: str) -> Call:
    """The request as it is, addressed to the model's upstream name. Raises InvalidRequest naming `dimensions`."""
    if request.dimensions is not None and not 1 <= request.dimensions <= _MOST_DIMENSIONS:
        raise InvalidRequest.field("dimensions", f"the sandbox's vectors have from 1 to {_MOST_DIMENSIONS}")
    json = _requests().dump_python(request, mode="json", exclude_none=True)
    return Call(path="/embeddings", json={**json, "model": upstream})


def response(body: Any) -> EmbeddingResponse:
    """The vectors of a body."""
    vectors = tuple(array("f", b64decode(vector, validate=True)) for vector in body["vectors"])
    return EmbeddingResponse(vectors, Usage.model_validate(body["usage"]))


def answer(body: bytes) -> LocalAnswer:
    """A vector for each input. Raises ValidationError for a body that is no EmbeddingRequest."""
    request = _requests().validate_json(body)
    if (other := behaviour.instead(request.model, "embedding")) is not None:
        return other
    if len(request.inputs) > MAX_INPUTS:
        return behaviour.failure(400, f"At most {MAX_INPUTS} inputs can be embedded at once.")
    if any(len(text) > _MOST_TOKENS * _LONGEST_TOKEN for text in request.inputs):
        return _too_long()
    counts = [_count(text) for text in request.inputs]
    if max(counts, default=0) > _MOST_TOKENS:
        return _too_long()
    from shared.providers.sandbox.vectors import Embedder

    embedder = Embedder(request.dimensions or _DIMENSIONS)
    vectors = [b64encode(embedder.vector(text)) for text in request.inputs]
    usage = {"input_tokens": sum(counts)}
    return behaviour.whole(request.model, to_json({"vectors": vectors, "usage": usage}))


def _count(text: EmbeddingInput) -> int:
    return tokens.count(text) if isinstance(text, str) else len(text)


def _too_long() -> LocalAnswer:
    return behaviour.failure(400, f"An input may have at most {_MOST_TOKENS} tokens.")
