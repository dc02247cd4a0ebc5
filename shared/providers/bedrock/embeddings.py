"""Embeddings of text with the models of Amazon and Cohere, through InvokeModel.

Wire formats: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v4.html (-v3). Input that is too long for a
model is refused, not cut off.
"""

from array import array
from collections.abc import Mapping
from typing import Any

from shared.providers.base import Call, EmbeddingAdapter, unsupported
from shared.providers.bedrock.vendor import family, model_path
from shared.providers.bedrock.vendor import vendor as bedrock
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Model
from shared.schemas.usage import Usage

# "Up to 96 strings per call" of Cohere's models; the others take one text.
_COHERE_BATCH = 96
_NOVA_DIMENSIONS = 3072  # the field has no default in all versions of the documentation


class BedrockEmbeddings:
    """Embeddings. Those of Cohere and Nova are for documents that are searched: the API has no other way for a text
    that is compared with its like.
    """

    vendor = bedrock

    def batch_size(self, model: Model) -> int:
        return _COHERE_BATCH if family(model) == "cohere" else 1

    def call(self, request: EmbeddingRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for token ids, and dimensions where the model has one length only."""
        texts = [item for item in request.inputs if isinstance(item, str)]
        if len(texts) < len(request.inputs):
            raise unsupported("input", f"the model '{model.id}' accepts text only, no token ids")
        if "no_dimensions" in model.quirks and request.dimensions is not None:
            raise unsupported("dimensions", f"the model '{model.id}' returns vectors of a fixed length")
        return Call(model_path(model, "invoke"), _body(texts, request.dimensions, model))

    def response(self, body: Any) -> EmbeddingResponse:
        match body:
            case {"embedding": vector, "inputTextTokenCount": tokens}:  # Titan
                return EmbeddingResponse((array("f", vector),), Usage(input_tokens=tokens))
            case {"embeddings": {"float": vectors}}:  # Cohere, whose tokens are told by a header alone
                return EmbeddingResponse(tuple(array("f", vector) for vector in vectors))
            case {"embeddings": [{"embedding": vector}]}:  # Nova
                return EmbeddingResponse((array("f", vector),), Usage(input_tokens=body.get("inputTokenCount") or 0))
            case _:
                raise ValueError("not an answer of an embedding model")

    def usage_in(self, headers: Mapping[str, str]) -> Usage:
        count = headers.get("x-amzn-bedrock-input-token-count", "")
        return Usage(input_tokens=int(count) if count.isascii() and count.isdigit() else 0)


def _body(texts: list[str], dimensions: int | None, model: Model) -> dict[str, Any]:
    if family(model) == "cohere":
        cohere = {"texts": texts, "input_type": "search_document", "embedding_types": ["float"]}
        return cohere | ({"output_dimension": dimensions} if dimensions else {})
    (text,) = texts
    if ".nova-" in model.upstream:
        return {
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": "GENERIC_INDEX",
                "embeddingDimension": dimensions or _NOVA_DIMENSIONS,
                "text": {"truncationMode": "NONE", "value": text},
            },
        }
    return {"inputText": text} | ({"dimensions": dimensions} if dimensions else {})


adapter: EmbeddingAdapter = BedrockEmbeddings()
