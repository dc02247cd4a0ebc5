"""Embeddings: inputs in batches as large as their provider takes, several at once, and the vectors in order."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from shared.errors import UpstreamError
from shared.gateway.estimates import CHARACTERS_PER_TOKEN, of_embeddings
from shared.gateway.metering import metered, record_usage
from shared.providers.base import EmbeddingAdapter
from shared.pump import gather_or_cancel
from shared.schemas.context import RequestContext
from shared.schemas.embedding import EmbeddingInput, EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Capability

if TYPE_CHECKING:
    from shared.gateway.services import Services

_AT_ONCE = 8
# OpenAI takes 300,000 tokens a call; a careful estimate may still be short of some scripts.
_MOST_TOKENS = 200_000


async def embed(services: "Services", request: EmbeddingRequest, context: RequestContext) -> EmbeddingResponse:
    """See Gateway.embeddings."""
    route = services.route_for(Capability.EMBEDDINGS, request.model, EmbeddingAdapter, context)  # type: ignore[type-abstract]
    model = route.model
    turn = asyncio.Semaphore(_AT_ONCE)

    async def called(inputs: Sequence[EmbeddingInput]) -> EmbeddingResponse:
        async with turn:
            call = route.adapter.embedding(replace(request, inputs=tuple(inputs)), model)
            response = await route.answer(call, route.adapter.embedding_response)
        record_usage(context, response.usage)
        if len(response.vectors) != len(inputs):
            raise UpstreamError("The provider answered with another number of vectors than it was asked for.")
        return response

    batches = list(_batches(request.inputs, route.adapter.embedding_batch(model)))
    async with metered(services, context, *of_embeddings(request)):
        responses = await gather_or_cancel(called(batch) for batch in batches)
    vectors = tuple(chain.from_iterable(response.vectors for response in responses))
    if len({len(vector) for vector in vectors}) != 1:
        raise UpstreamError("The provider answered with vectors of different lengths.")
    return EmbeddingResponse(vectors, context.usage)


def _batches(inputs: Sequence[EmbeddingInput], most: int) -> Iterator[list[EmbeddingInput]]:
    """The inputs in their order, `most` at a time, and fewer where they are long."""
    batch: list[EmbeddingInput] = []
    size = 0
    for item in inputs:
        tokens = len(item) // CHARACTERS_PER_TOKEN if isinstance(item, str) else len(item)
        if batch and (len(batch) == most or size + tokens > _MOST_TOKENS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += tokens
    yield batch
