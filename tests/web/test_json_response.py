"""A large JSON answer says the same in pieces as in one piece, and is never held whole."""

import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.json_response import LargeJson

pytestmark = pytest.mark.anyio

PIECE = 64 * 1024

# No lone surrogates: JSON that was decoded holds none.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=30)


async def sent(body: Any) -> list[bytes]:
    """The pieces as they leave."""
    pieces: list[bytes] = []
    started: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nobody asks")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.append(message)
        else:
            pieces.append(message["body"])

    await LargeJson(body)({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert (b"content-type", b"application/json") in started[0]["headers"]
    assert started[0]["status"] == 200
    return pieces


@given(value=VALUES)
async def test_it_says_what_json_says(value: Any) -> None:
    assert json.loads(b"".join(await sent(value))) == value


@pytest.mark.parametrize("value", [{}, [], {"a": []}, [{}], "", 0, None, False, {"a": {"b": [[], {}]}}, (1, 2)])
async def test_small_things_and_empty_ones_are_whole(value: Any) -> None:
    assert json.loads(b"".join(await sent(value))) == json.loads(json.dumps(value))


@pytest.mark.parametrize("filling", ["a", '"', "\\", "\n", "é", "👋", "\u2028"])
@pytest.mark.parametrize("length", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
async def test_long_text_is_cut_without_a_trace(filling: str, length: int) -> None:
    value = {"text": filling * length, "after": 1}
    assert json.loads(b"".join(await sent(value))) == value


async def test_numbers_that_json_lacks_are_null() -> None:
    assert b"".join(await sent([math.inf, math.nan])) == b"[null,null]"


async def test_no_piece_is_large_however_large_the_answer_is() -> None:
    pieces = await sent({"data": "A" * 5_000_000, "list": list(range(100_000))})
    assert max(map(len, pieces)) < 3 * PIECE
    assert len(pieces) > 40


async def test_an_answer_is_not_held_a_second_time() -> None:
    value = {"candidates": [{"data": "A" * 8_000_000}]}

    async def receive() -> Any:
        raise AssertionError("nobody asks")

    async def send(message: Any) -> None:
        pass

    tracemalloc.start()
    try:
        await LargeJson(value)({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
