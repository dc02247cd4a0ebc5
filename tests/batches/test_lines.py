"""Reading an input: lines whatever their ends and however they arrive, and what is wrong with each."""

import json
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batches.endpoints import URLS
from shared.batches.lines import BadLine, CustomIds, InputRejected, RawLine, raw_lines, read_line

pytestmark = pytest.mark.anyio
GOOD: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": "/v1/inference/chat", "body": {"model": "m"}}


async def streamed(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def lines_of(*pieces: bytes, longest: int = 1000) -> list[RawLine]:
    return [line async for line in raw_lines(streamed(pieces), longest)]


@given(st.binary().map(lambda data: data.replace(b"\r", b"")), st.lists(st.integers(0, 50)))
async def test_lines_are_the_same_however_they_arrive(data: bytes, cuts: list[int]) -> None:
    object_keys = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(object_keys)]
    found = await lines_of(*pieces)
    expected = [(number, text) for number, text in enumerate(data.split(b"\n"), 1) if text.strip()]
    assert [(line.number, line.text) for line in found] == expected
    assert all(data[line.first : line.first + line.size] == line.text for line in found)


async def test_blank_lines_count_but_are_none() -> None:
    assert [line.number for line in await lines_of(b"\n \r\na\r\n\n\nb")] == [3, 6]


@pytest.mark.parametrize("pieces", [(b"a\n", b"b" * 11), (b"a\n" + b"b" * 11 + b"\n",), (b"a\nbbbbb", b"bbbbbb\nc")])
async def test_a_line_too_long_spoils_the_input(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(InputRejected) as rejected:
        await lines_of(*pieces, longest=10)
    assert (rejected.value.code, rejected.value.line) == ("line_too_long", 2)


def read(value: Any, *, number: int = 2, endpoint: str | None = None) -> Any:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_line(number, text, URLS, endpoint)


def test_a_line_is_read() -> None:
    line = read(GOOD)
    assert (line.custom_id, line.url, line.body) == ("a", "/v1/inference/chat", {"model": "m"})


def test_an_input_may_begin_with_a_byte_order_mark() -> None:
    text = b"\xef\xbb\xbf" + json.dumps(GOOD).encode()
    assert read(text, number=1).custom_id == "a"
    with pytest.raises(BadLine):
        read(text, number=2)


@pytest.mark.parametrize(
    ("value", "code", "custom_id"),
    [
        (b"no json", "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        (b'{"custom_id": "a"', "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b"[" * 100_000, "invalid_json_line", None),
        ({**GOOD, "custom_id": 5}, "invalid_custom_id", None),
        ({**GOOD, "custom_id": ""}, "invalid_custom_id", None),
        ({**GOOD, "custom_id": "x" * 513}, "invalid_custom_id", None),
        ({}, "invalid_custom_id", None),
        ({**GOOD, "method": "GET"}, "invalid_method", "a"),
        ({**GOOD, "method": None}, "invalid_method", "a"),
        ({**GOOD, "url": "/v1/models"}, "invalid_url", "a"),
        ({**GOOD, "url": ["/v1/inference/chat"]}, "invalid_url", "a"),
        ({**GOOD, "url": "https://elsewhere.test/v1/inference/chat"}, "invalid_url", "a"),
        ({**GOOD, "body": "text"}, "invalid_body", "a"),
        ({**GOOD, "body": None}, "invalid_body", "a"),
        ({"custom_id": "a", "method": "POST", "url": "/v1/inference/chat"}, "invalid_body", "a"),
    ],
)
def test_what_is_wrong_with_a_line_is_told(value: Any, code: str, custom_id: str | None) -> None:
    with pytest.raises(BadLine) as bad:
        read(value)
    assert (bad.value.code, bad.value.custom_id) == (code, custom_id)
    assert bad.value.message


def test_a_batch_for_one_endpoint_takes_no_other() -> None:
    assert read(GOOD, endpoint="/v1/inference/chat").custom_id == "a"
    with pytest.raises(BadLine) as bad:
        read(GOOD, endpoint="/v1/embeddings")
    assert bad.value.code == "mismatched_endpoint"


def test_an_id_belongs_to_the_line_that_has_it_first() -> None:
    ids = CustomIds()
    assert [ids.claim(name, number) for number, name in enumerate("abacb", 1)] == [1, 2, 1, 4, 2]
