"""The toy vendor's embeddings: of text, two inputs per call."""

from array import array
from typing import Any

from shared.providers.base import Call, EmbeddingAdapter
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Model
from shared.schemas.usage import Usage

from .vendor import model_path
from .vendor import vendor as toy


class ToyEmbeddings:
    """Embeddings."""

    vendor = toy

    def batch_size(self, model: Model) -> int:
        return 2

    def call(self, request: EmbeddingRequest, model: Model) -> Call:
        return Call(model_path(model, "invoke"), {"texts": list(request.inputs)})

    def response(self, body: Any) -> EmbeddingResponse:
        vectors = tuple(array("f", vector) for vector in body["embeddings"])
        return EmbeddingResponse(vectors, Usage(input_tokens=body["inputTextTokenCount"]))


adapter: EmbeddingAdapter = ToyEmbeddings()
