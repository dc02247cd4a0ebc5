"""The sandbox's vectors: similar texts are near, and the same text is always in the same place."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from tests.providers.sandbox_calls import response

PARAPHRASES = [
    ("How do I reset my password?", "I forgot my password, how can I reset it?"),
    ("The cat sat on the mat.", "A cat is sitting on a mat"),
    ("Shipping to Canada takes five days", "How long does shipping to Canada take?"),
    ("Stock prices fell sharply on Monday", "On Monday the prices of stocks were falling"),
    ("Recipe for tomato soup with basil", "Cooking a tomato and basil soup"),
    ("Die Bäckerei öffnet um sieben Uhr", "Um sieben öffnen die Bäckereien"),
    ("東京の天気は晴れです", "今日の東京の天気"),
]


def embed(*inputs: Any, dimensions: int | None = None) -> EmbeddingResponse:
    request = EmbeddingRequest(model="sandbox/embedding", inputs=inputs, dimensions=dimensions)
    made = response("embeddings", request, "embedding")
    assert isinstance(made, EmbeddingResponse)
    return made


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    return math.fsum(one * other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("dimensions", [None, 256])
def test_a_paraphrase_is_nearer_than_anything_else(dimensions: int | None) -> None:
    firsts = embed(*(first for first, _ in PARAPHRASES), dimensions=dimensions).vectors
    seconds = embed(*(second for _, second in PARAPHRASES), dimensions=dimensions).vectors
    for (at, first), (other, second) in product(enumerate(firsts), enumerate(seconds)):
        assert (cosine(first, second) > 0.25) == (at == other), (PARAPHRASES[at], PARAPHRASES[other])


@settings(max_examples=60)
@given(
    st.lists(st.text(max_size=30) | st.lists(st.integers(0, 200_000), max_size=8).map(tuple), max_size=4),
    st.none() | st.sampled_from([1, 2, 3, 64, 3072]),
)
def test_every_vector_is_one_long_and_always_the_same(inputs: list[Any], dimensions: int | None) -> None:
    made = embed(*inputs, dimensions=dimensions)
    assert len(made.vectors) == len(inputs)
    for vector in made.vectors:
        assert len(vector) == (dimensions or 1536)
        assert cosine(vector, vector) == pytest.approx(1, abs=1e-5)
    assert [embed(text, dimensions=dimensions).vectors[0] for text in inputs] == list(made.vectors)


def test_ids_of_tokens_are_embedded_too() -> None:
    first, near, far = embed((1001, 1002, 1003, 1004), (1001, 1002, 1003, 7777), (2222, 3333, 4444)).vectors
    assert cosine(first, near) > 0.6
    assert cosine(first, far) < 0.2


def test_usage_counts_what_came_in() -> None:
    usage = embed("Hello there", (1, 2, 3)).usage
    assert (usage.input_tokens, usage.output_tokens) == (4 + 3, 0)
