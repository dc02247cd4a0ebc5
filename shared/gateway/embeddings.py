"""Embeddings: sends the inputs in batches as large as the provider accepts, in parallel; keeps the vectors in order."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from shared.errors import UpstreamError
from shared.gateway.attempt import Attempt
from shared.gateway.candidates import candidates_for
from shared.gateway.estimates import BYTES_PER_TOKEN, of_embeddings
from shared.gateway.running import Plan, only, run
from shared.pump import gather_or_cancel
from shared.schemas.context import RequestContext
from shared.schemas.embedding import EmbeddingInput, EmbeddingRequest, EmbeddingResponse
from shared.schemas.model import Capability

if TYPE_CHECKING:
    from shared.gateway.services import Services

_AT_ONCE = 8
# OpenAI accepts 300,000 tokens per call; our estimate may be too low for some scripts.
_MOST_TOKENS = 200_000


async def embed(services: "Services", request: EmbeddingRequest, context: RequestContext) -> EmbeddingResponse:
    """A vector for each input, in their order. Raises any GatewayError."""

    async def sources(attempt: Attempt) -> list[AsyncGenerator[EmbeddingResponse, None]]:
        return [_response(attempt, request)]

    found = candidates_for(Capability.EMBEDDINGS, request.model, services, context)
    plan = Plan("embeddings", found, lambda model: of_embeddings(request), sources)
    return await only(run(services, context, plan))


async def _response(attempt: Attempt, request: EmbeddingRequest) -> AsyncGenerator[EmbeddingResponse, None]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def called(inputs: Sequence[EmbeddingInput]) -> EmbeddingResponse:
        async with turn:
            call = replace(request, inputs=tuple(inputs))
            response: EmbeddingResponse = await attempt.response(attempt.adapter, call, lambda: of_embeddings(call))
        if len(response.vectors) != len(inputs):
            raise UpstreamError("The provider returned a different number of vectors than inputs.")
        return response

    batches = _batches(request.inputs, attempt.adapter.batch_size(attempt.model))
    responses = await gather_or_cancel(called(batch) for batch in batches)
    vectors = tuple(chain.from_iterable(response.vectors for response in responses))
    if len({len(vector) for vector in vectors}) != 1:
        raise UpstreamError("The provider returned vectors of different lengths.")
    yield EmbeddingResponse(vectors, attempt.usage)


def _batches(inputs: Sequence[EmbeddingInput], most: int) -> Iterator[list[EmbeddingInput]]:
    """The inputs in order, at most `most` in a batch, and fewer if they are long."""
    batch: list[EmbeddingInput] = []
    size = 0
    for item in inputs:
        tokens = len(item) // BYTES_PER_TOKEN if isinstance(item, str) else len(item)
        if batch and (len(batch) == most or size + tokens > _MOST_TOKENS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += tokens
    yield batch
