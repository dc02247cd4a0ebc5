"""Embeddings by OpenAI's own SDK, changed in nothing but base URL and key, against `make run`'s gateway.

The tests hold for its newest major version and the one before: `test_openai_2.py` runs them again.
"""

import math
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CreateEmbeddingResponse

MODEL = "sandbox/embedding"
TEXTS = ["The cat sleeps on the sofa", "A cat is sleeping on a sofa", "Interest rates rose in March"]


def vectors(answer: CreateEmbeddingResponse) -> list[list[float]]:
    CreateEmbeddingResponse.model_validate(answer.to_dict(), strict=True)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def test_the_default_is_the_same_as_float(client: OpenAI) -> None:
    """The SDK asks for base64 by itself, and decodes it."""
    default = client.embeddings.create(model=MODEL, input=TEXTS)
    assert vectors(default) == vectors(client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float"))
    assert default.object == "list"
    assert default.model == MODEL
    assert default.usage.prompt_tokens == default.usage.total_tokens > 0
    assert len(default.data[0].embedding) == 1536
    assert default.data[0].object == "embedding"


def test_base64_is_left_to_who_asks_for_it(client: OpenAI) -> None:
    coded: Any = client.embeddings.create(model=MODEL, input="a", encoding_format="base64").data[0].embedding
    assert isinstance(coded, str)


@pytest.mark.parametrize("dimensions", [1, 256, 3072])
def test_dimensions_set_the_length(client: OpenAI, dimensions: int) -> None:
    (vector,) = vectors(client.embeddings.create(model=MODEL, input="a", dimensions=dimensions))
    assert len(vector) == dimensions


@pytest.mark.parametrize("given", ["a text", ["a text"], [1, 2, 3], [[1, 2, 3]]])
def test_one_input_of_every_kind_has_one_vector(client: OpenAI, given: Any) -> None:
    assert len(vectors(client.embeddings.create(model=MODEL, input=given))) == 1


def test_a_paraphrase_is_nearer_than_anything_else(client: OpenAI) -> None:
    sentence, paraphrase, other = vectors(client.embeddings.create(model=MODEL, input=TEXTS))
    assert cosine(sentence, paraphrase) > cosine(sentence, other) + 0.1


def test_2048_inputs_keep_their_order(client: OpenAI) -> None:
    texts = [f"Document {number}" for number in range(2048)]
    found = vectors(client.embeddings.create(model=MODEL, input=texts, dimensions=8))
    one = vectors(client.embeddings.create(model=MODEL, input=texts[1500], dimensions=8))
    assert len(found) == 2048
    assert found[1500] == one[0]


def test_what_is_wrong_is_raised(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        client.embeddings.create(model=MODEL, input=["a"] * 2049)
    assert wrong.value.param == "input"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="nobody/nothing", input="a")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="embeddings"):
        client.embeddings.create(model="sandbox/chat", input="a")
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="sandbox/fail-429", input="a")


@pytest.mark.anyio
async def test_the_asynchronous_client_embeds_as_well(async_client: AsyncOpenAI) -> None:
    answer = await async_client.embeddings.create(model=MODEL, input=TEXTS)
    assert len(vectors(answer)) == 3
    assert answer._request_id
