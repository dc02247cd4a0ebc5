"""The sandbox's vectors: similar texts are near, and the same text is always in the same place."""

import json
import math
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequest, UpstreamRejected
from shared.providers.base import EmbeddingAdapter
from shared.providers.sandbox import adapter
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from tests.providers.sandbox_calls import body, model

EMBEDDER = model("embedding")

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
    return adapter.embedding_response(json.loads(body(adapter.embedding(request, EMBEDDER))))


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    return math.fsum(one * other for one, other in zip(first, second, strict=True))


def test_it_makes_vectors() -> None:
    assert isinstance(adapter, EmbeddingAdapter)
    assert adapter.embedding_batch(EMBEDDER) == 100


@pytest.mark.parametrize(("dimensions", "near", "far"), [(None, 0.3, 0.15), (256, 0.25, 0.25)])
def test_a_paraphrase_is_nearer_than_anything_else(dimensions: int | None, near: float, far: float) -> None:
    firsts = embed(*(first for first, _ in PARAPHRASES), dimensions=dimensions).vectors
    seconds = embed(*(second for _, second in PARAPHRASES), dimensions=dimensions).vectors
    for (at, first), (other, second) in product(enumerate(firsts), enumerate(seconds)):
        if at == other:
            assert cosine(first, second) > near
        else:
            assert cosine(first, second) < far


def test_spelling_and_endings_change_little_and_common_words_count_for_little() -> None:
    base, accents, endings, framed, unlike = embed(
        "Train stations of Zürich",
        "TRAIN STATIONS OF ZURICH",
        "training station of Zürich",
        "What are the train stations of Zürich, and where is it that they are?",
        "What are the grapes of Rome, and where is it that they are?",
    ).vectors
    assert cosine(base, accents) == pytest.approx(1, abs=1e-6)
    assert cosine(base, endings) > 0.9
    assert cosine(base, framed) > 0.9
    assert cosine(framed, unlike) < 0.2


def test_the_order_of_words_matters_a_little() -> None:
    first, second = embed("man bites dog", "dog bites man").vectors
    assert 0.6 < cosine(first, second) < 0.98


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text(max_size=30) | st.lists(st.integers(0, 200_000), max_size=8).map(tuple), max_size=4),
    st.none() | st.sampled_from([1, 2, 3, 7, 64, 3072]),
)
def test_every_vector_is_one_long_and_always_the_same(inputs: list[Any], dimensions: int | None) -> None:
    response = embed(*inputs, dimensions=dimensions)
    assert len(response.vectors) == len(inputs)
    for vector in response.vectors:
        assert vector.typecode == "f"
        assert len(vector) == (dimensions or 1536)
        assert cosine(vector, vector) == pytest.approx(1, abs=1e-5)
    assert embed(*inputs, dimensions=dimensions) == response
    assert [embed(text, dimensions=dimensions).vectors[0] for text in inputs] == list(response.vectors)


def test_ids_of_tokens_are_embedded_too() -> None:
    first, near, far = embed((1, 2, 3, 4, 5), (1, 2, 3, 4, 6), (11, 12, 13, 14)).vectors
    assert cosine(first, near) > 0.6
    assert cosine(first, far) < 0.2


def test_usage_counts_what_came_in() -> None:
    usage = embed("Hello there", (1, 2, 3)).usage
    assert (usage.input_tokens, usage.output_tokens) == (4 + 3, 0)


@pytest.mark.parametrize("dimensions", [0, -1, 3073])
def test_dimensions_that_it_does_not_have_are_refused_by_name(dimensions: int) -> None:
    with pytest.raises(InvalidRequest) as raised:
        embed("Hello", dimensions=dimensions)
    assert raised.value.param == "dimensions"


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        (["x"] * 101, "100 inputs"),
        (["x " * 8193], "8192 tokens"),
        (["x" * 50_000], "tokens"),
        ([(1,) * 8193], "tokens"),
    ],
)
def test_more_than_a_real_model_takes_is_refused(inputs: list[Any], word: str) -> None:
    with pytest.raises(UpstreamRejected, match=word):
        embed(*inputs)


def test_thousands_of_texts_are_soon_embedded() -> None:
    start = time.process_time()
    for batch in range(21):
        embed(*(f"Parcel {batch * 7919 + at} for customer {at} leaves on Monday" for at in range(100)))
    assert time.process_time() - start < 3  # about 0.5


@pytest.mark.parametrize("content", [b"{}", b'{"model":"embedding","inputs":"x"}', b'{"model":"x","inputs":[1]}'])
def test_what_is_no_embedding_request_is_refused(content: bytes) -> None:
    assert adapter.answer("/embeddings", content).status == 400
