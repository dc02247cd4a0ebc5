"""Text embeddings by batchEmbedContents: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents."""

import math
from array import array
from collections.abc import Sequence
from typing import Any

from shared.providers.base import Call, EmbeddingAdapter, unsupported
from shared.providers.gemini.requests import method_path, without_none
from shared.providers.gemini.usage import usage_of
from shared.providers.gemini.vendor import vendor as gemini
from shared.schemas.chat import JsonObject
from shared.schemas.embedding import EmbeddingInput, EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Model

_BATCH_SIZE = 100

# How far from 1 the length of a normalised vector may be: the rounding error of single precision.
_LENGTH_TOLERANCE = 1e-4


class GeminiEmbeddings:
    """Embeddings, without a task type."""

    vendor = gemini

    def batch_size(self, model: Model) -> int:
        """100, whatever the model."""
        return _BATCH_SIZE

    def call(self, request: EmbeddingRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for token ids."""
        requests = [_embed_content(text, request.dimensions, model) for text in request.inputs]
        return Call(method_path(model, "batchEmbedContents"), {"requests": requests})

    def response(self, body: Any) -> EmbeddingResponse:
        """The vectors of a BatchEmbedContentsResponse, normalised to a length of 1."""
        vectors = tuple(_normalised(embedding["values"]) for embedding in body["embeddings"])
        return EmbeddingResponse(vectors=vectors, usage=usage_of(body.get("usageMetadata", {})))


def _embed_content(text: EmbeddingInput, dimensions: int | None, model: Model) -> JsonObject:
    if not isinstance(text, str):
        raise unsupported("input", "this model accepts text only, not token ids.")
    return without_none(
        {
            "model": f"models/{model.upstream}",
            "content": {"parts": [{"text": text}]},
            "outputDimensionality": dimensions,
        }
    )


def _normalised(values: Sequence[float]) -> "array[float]":
    """The vector at a length of 1. gemini-embedding-001 does not normalise vectors of fewer dimensions itself:
    https://ai.google.dev/gemini-api/docs/embeddings#quality-for-smaller-dimensions.
    """
    length = math.hypot(*values)
    if length and abs(length - 1) > _LENGTH_TOLERANCE:
        return array("f", (value / length for value in values))
    return array("f", values)


adapter: EmbeddingAdapter = GeminiEmbeddings()
