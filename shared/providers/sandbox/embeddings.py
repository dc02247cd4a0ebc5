"""Embeddings: `POST /embeddings` takes an EmbeddingRequest and answers `{"vectors","usage"}`.

A vector is the base64 of its numbers as 32-bit floats in the machine's own byte order, for it never leaves the machine.
Similar texts are near, since the groups of letters in their words are hashed into dimensions, with a sign (Weinberger
et al., "Feature Hashing for Large Scale Multitask Learning", https://arxiv.org/abs/0902.2206).
"""

import hashlib
import math
import re
from array import array
from base64 import b64decode, b64encode
from collections import Counter
from typing import Any

from pydantic_core import to_json, to_jsonable_python

from shared.errors import InvalidRequest
from shared.providers.base import Call, EmbeddingAdapter, LocalAnswer
from shared.providers.sandbox import tokens
from shared.providers.sandbox.vendor import vendor, whole
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Model
from shared.schemas.usage import Usage

_DIMENSIONS, _MOST_DIMENSIONS = 1536, 3072
_GROUP = 3  # letters
_SPREAD = 4  # each group goes into this many dimensions, so that two rarely have all of theirs in common


class SandboxEmbeddings:
    vendor = vendor

    def batch_size(self, model: Model) -> int:
        return 100

    def call(self, request: EmbeddingRequest, model: Model) -> Call:
        if request.dimensions is not None and not 1 <= request.dimensions <= _MOST_DIMENSIONS:
            raise InvalidRequest.field("dimensions", f"the sandbox's vectors have from 1 to {_MOST_DIMENSIONS}")
        return Call("/embeddings", {**to_jsonable_python(request), "model": model.upstream})

    def response(self, body: Any) -> EmbeddingResponse:
        vectors = tuple(array("f", b64decode(vector, validate=True)) for vector in body["vectors"])
        return EmbeddingResponse(vectors, Usage.model_validate(body["usage"]))


adapter: EmbeddingAdapter = SandboxEmbeddings()


def answer(body: dict[str, Any]) -> LocalAnswer:
    inputs = body["inputs"]
    vectors = [b64encode(_vector(given, body["dimensions"] or _DIMENSIONS)) for given in inputs]
    counts = (tokens.count(given) if isinstance(given, str) else len(given) for given in inputs)
    return whole(body["model"], to_json({"vectors": vectors, "usage": {"input_tokens": sum(counts)}}))


def _vector(given: str | list[int], dimensions: int) -> "array[float]":
    """A vector of length 1 for a text, or for the ids of tokens."""
    words = [f"<{word}>" for word in (re.findall(r"\w+", given.casefold()) if isinstance(given, str) else given)]
    groups = [word[at : at + _GROUP] for word in words for at in range(len(word) - _GROUP + 1)]
    vector = [0.0] * dimensions
    for group, count in Counter(groups or [f"{given}"]).items():
        digest = hashlib.blake2b(group.encode("utf-8", "replace"), digest_size=4 * _SPREAD).digest()
        for number in memoryview(digest).cast("I"):  # what occurs often counts for less each time
            vector[number % dimensions] += (1 + math.log(count)) * (1 if number >> 31 else -1)
    length = math.hypot(*vector)
    if length < 1e-6:  # groups that cancel each other, which happens where dimensions are few
        vector[0] = length = 1.0
    return array("f", (value / length for value in vector))
