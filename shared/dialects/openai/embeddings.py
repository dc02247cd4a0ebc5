"""Embeddings as OpenAI's SDKs ask for and read them.

https://developers.openai.com/api/reference/resources/embeddings
"""

import base64
import sys
from array import array
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from shared.dialects.base import JsonObject, Wire, read
from shared.schemas.context import RequestContext
from shared.schemas.embedding import EmbeddingInput, EmbeddingRequest, EmbeddingResponse

MAX_INPUTS = 2048
_MAX_CHARACTERS = 4_000_000
_MAX_TOKEN = 10_000_000


class EmbeddingFields(Wire):
    """The fields that a request for embeddings has in every dialect."""

    model: Annotated[str, Field(min_length=1)]
    input: Any
    dimensions: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @field_validator("input")
    @classmethod
    def _inputs(cls, value: Any) -> tuple[EmbeddingInput, ...]:
        """By hand, since a union would be tried, and fail, once for each of thousands of items."""
        inputs = _read(value)
        if not inputs:
            raise ValueError("must not be empty")
        if len(inputs) > MAX_INPUTS:
            raise ValueError(f"at most {MAX_INPUTS} inputs are possible")
        if not all(inputs):
            raise ValueError("no input may be empty")
        if sum(map(len, inputs)) > _MAX_CHARACTERS:
            raise ValueError(f"the inputs are longer than {_MAX_CHARACTERS} characters together")
        return inputs

    def canonical(self) -> EmbeddingRequest:
        return EmbeddingRequest(model=self.model, inputs=self.input, dimensions=self.dimensions)


def _read(value: Any) -> tuple[EmbeddingInput, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return tuple(value)
        if _are_tokens(value):
            return (tuple(value),)
        if all(isinstance(item, list) and _are_tokens(item) for item in value):
            return tuple(tuple(item) for item in value)
    raise ValueError("must be a string, an array of strings, an array of tokens, or an array of those")


def _are_tokens(items: list[Any]) -> bool:
    return all(type(item) is int and 0 <= item < _MAX_TOKEN for item in items)


class OpenAIEmbeddings(EmbeddingFields):
    """The body of /v1/embeddings."""

    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None

    def canonical(self) -> EmbeddingRequest:
        return replace(super().canonical(), user=self.user)


def embedding(body: JsonObject) -> "EmbeddingsOperation":
    """/v1/embeddings."""
    fields = read(OpenAIEmbeddings, body)
    return EmbeddingsOperation(fields.canonical(), as_base64=fields.encoding_format == "base64")


class EmbeddingsOperation:
    """One request for embeddings, answered as OpenAI does."""

    def __init__(self, request: EmbeddingRequest, *, as_base64: bool = False) -> None:
        self.request = request
        self._as_base64 = as_base64

    def body(self, response: EmbeddingResponse, context: RequestContext) -> JsonObject:
        written = _base64 if self._as_base64 else list
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": written(vector)}
                for index, vector in enumerate(response.vectors)
            ],
            "model": context.meter.answered_as,
            "usage": {"prompt_tokens": response.usage.input_tokens, "total_tokens": response.usage.input_tokens},
        }


def _base64(vector: "array[float]") -> str:
    """Float32 in little-endian order, which the Python SDK asks for by default."""
    if sys.byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode("ascii")
