"""Text embeddings: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents."""

import math
from array import array
from collections.abc import Sequence
from typing import Any

from shared.providers.base import Call
from shared.providers.gemini import wire
from shared.providers.gemini.usage import usage_of
from shared.schemas.chat import JsonObject
from shared.schemas.embedding import EmbeddingInput, EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Model

# What one call may have.
BATCH = 100

# How far from 1 the length of a vector may be that counts as normalised: what single precision leaves.
_ROUNDING = 1e-4


def call(request: EmbeddingRequest, model: Model) -> Call:
    """See `Gemini.embedding`."""
    requests = [_request(text, request.dimensions, model) for text in request.inputs]
    return wire.call({"requests": requests}, model, "batchEmbedContents")


def _request(text: EmbeddingInput, dimensions: int | None, model: Model) -> JsonObject:
    if not isinstance(text, str):
        raise wire.unsupported("input", "this model takes text, no token ids.")
    return wire.given(
        {
            "model": f"models/{model.upstream}",
            "content": {"parts": [{"text": text}]},
            "outputDimensionality": dimensions,
        }
    )


def response(body: Any) -> EmbeddingResponse:
    """See `Gemini.embedding_response`."""
    vectors = tuple(_normalised(embedding["values"]) for embedding in body["embeddings"])
    return EmbeddingResponse(vectors=vectors, usage=usage_of(body.get("usageMetadata", {})))


def _normalised(values: Sequence[float]) -> "array[float]":
    """The vector at a length of 1, which gemini-embedding-001 leaves to its callers where it is truncated:
    https://ai.google.dev/gemini-api/docs/embeddings#quality-for-smaller-dimensions."""
    length = math.hypot(*values)
    if length and abs(length - 1) > _ROUNDING:
        return array("f", (value / length for value in values))
    return array("f", values)
