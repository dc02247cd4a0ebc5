"""Embeddings.

Wire format: https://developers.openai.com/api/reference/resources/embeddings.
"""

import sys
from array import array
from binascii import a2b_base64
from typing import Any, TypeAlias

from shared.errors import UnsupportedFeature
from shared.providers.base import Call, EmbeddingAdapter
from shared.providers.openai.usage import reported_cost
from shared.providers.openai.vendor import raise_error
from shared.providers.openai.vendor import vendor as openai
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Model
from shared.schemas.usage import Usage

JsonObject: TypeAlias = dict[str, Any]

# `input` in https://developers.openai.com/api/reference/resources/embeddings/methods/create
_OPENAI_BATCH = 2048
# Few other vendors document a limit, and some limit the tokens of all inputs together.
_SMALL_BATCH = 128


class OpenAIEmbeddings:
    """Embeddings of texts and of token ids."""

    vendor = openai

    def batch_size(self, model: Model) -> int:
        return _SMALL_BATCH if "small_batches" in model.quirks else _OPENAI_BATCH

    def call(self, request: EmbeddingRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for token ids or dimensions where the model does not accept them."""
        quirks = model.quirks
        if "text_inputs_only" in quirks and any(not isinstance(item, str) for item in request.inputs):
            raise UnsupportedFeature(f"input: the model '{model.id}' accepts text only, no token ids.")
        if "no_dimensions" in quirks and request.dimensions is not None:
            raise UnsupportedFeature(f"dimensions: the model '{model.id}' returns vectors of a fixed length.")
        fields: JsonObject = {
            "model": model.upstream,
            "input": [item if isinstance(item, str) else list(item) for item in request.inputs],
            "output_dimension" if "output_dimension" in quirks else "dimensions": request.dimensions,
            # A quarter of the size of the default, a list of numbers, and cheaper to decode.
            "encoding_format": None if "float_embeddings" in quirks else "base64",
            "user": None if "no_user" in quirks else request.user,
        }
        return Call("/embeddings", {name: value for name, value in fields.items() if value is not None})

    def response(self, body: Any) -> EmbeddingResponse:
        raise_error(body)
        items = sorted(body["data"], key=lambda item: item.get("index") or 0)
        usage = body.get("usage") or {}
        return EmbeddingResponse(
            tuple(_vector(item["embedding"]) for item in items),
            Usage(input_tokens=usage.get("prompt_tokens") or usage.get("total_tokens") or 0, cost=reported_cost(usage)),
        )


def _vector(embedding: str | list[float]) -> "array[float]":
    """The vector of a list of numbers or of little-endian 32-bit floats in base64, whichever the vendor sends."""
    if not isinstance(embedding, str):
        return array("f", embedding)
    vector = array("f", a2b_base64(embedding, strict_mode=True))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


adapter: EmbeddingAdapter = OpenAIEmbeddings()
