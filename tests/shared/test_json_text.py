"""JSON is read in steps as it is read in one, and refused for what it would take."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from shared import json_text
from shared.json_text import Tally, TooComplex, encoded, read

MB = 2**20
# Pieces of strings whose cutting would show: escapes of every kind, surrogates, characters of several bytes.
PIECES = [
    "a",
    " ",
    "\\\\",
    '\\"',
    "\\n",
    "\\/",
    "\\u00e9",
    "\\ud83d\\udc4b",
    "\\ud83d\\ude00",
    "é",
    "字",
    "👋",
    "[{,",
    "\\\\u",
]


@st.composite
def long_strings(draw: st.DrawFn) -> bytes:
    """A JSON string that is longer than a step, with something of each kind around every place where it may be cut."""
    filling = draw(st.sampled_from(PIECES)).encode()
    text = bytearray()
    for _ in range(draw(st.integers(1, 3))):
        text += b"x" * draw(st.integers(0, 20)) + "".join(draw(st.lists(st.sampled_from(PIECES), max_size=9))).encode()
        text += filling * (MB // len(filling) + draw(st.integers(0, 3)))
    return b'"%b"' % bytes(text)


@settings(max_examples=40)
@given(long_strings(), st.booleans())
def test_long_strings_are_read_in_steps_as_in_one(text: bytes, is_name: bool) -> None:
    data = b'{%b:[1,"b"]}' % text if is_name else b'{"a":[%b,"b",%b],"c":"short"}' % (text, text)
    assert read(data) == from_json(data)


@pytest.mark.parametrize("filling", PIECES)
@pytest.mark.parametrize("shift", range(13))
def test_no_place_of_a_cut_shows(filling: str, shift: int) -> None:
    text = ("x" * shift + filling * (2 * MB // len(filling.encode()))).encode()
    data = b'["%b"]' % text
    assert read(data) == from_json(data)


@pytest.mark.parametrize(
    "wrong", ["\\x", "\\u12", "\\ud83d", "\\ud83dx", "\\udc4b", "\n", "\\"], ids=lambda text: text.encode().hex()
)
@pytest.mark.parametrize("before", [10, MB - 3, 2 * MB])
def test_a_long_string_that_is_wrong_is_refused(wrong: str, before: int) -> None:
    data = b'["%b%b%b"]' % (b"a" * before, wrong.encode(), b"z" * MB)
    with pytest.raises(ValueError, match=r".") as in_one:
        from_json(data)
    with pytest.raises(ValueError, match=r".") as in_steps:
        read(data)
    assert not isinstance(in_steps.value, TooComplex)
    assert type(in_one.value) is type(in_steps.value)


@pytest.mark.parametrize(
    "data", [b"", b"[", b'"' + b"a" * MB, b"[" * MB, b'{"a":' * MB, b'["' + b"\\" * MB + b'"', b"\xff" * MB]
)
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        read(data)
    assert not isinstance(raised.value, TooComplex)


def many(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (many(b"[]", 50_000), "50,000 objects and arrays"),
        (many(b"{}", 50_000), "50,000 objects and arrays"),
        (many(b'{"a":[0]}', 25_000), "50,000 objects and arrays"),
        (many(b"0", 400_001), "400,000 values"),
        (many(b'"a"', 250_001), "250,000 strings"),
        (b"{" + b",".join(b'"%d":0' % at for at in range(250_001)) + b"}", "250,000 strings"),
        (many(b'"%b"' % (b"a" * 60_000), 300), "16 MB beside"),
        (many(b'"%b"' % ("字" * 20_000).encode(), 150), "not ASCII"),
        (many(b'"%b"' % (b"\\n" * 30_000), 100), "escaped"),
    ],
)
def test_what_would_take_too_much_is_told(data: bytes, what: str) -> None:
    with pytest.raises(TooComplex, match=what):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        many(b"[]", 49_999),
        many(b"0", 399_999),
        many(b'"a"', 250_000),
        many(b'"[{,\\"[{,\\\\"', 100_000),
        b'"%b"' % (b'[{,\\\\\\"' * 2_000_000),
        b'["%b","%b"]' % (b"A" * 15 * MB, b"\\/" * 5 * MB),
        ('"' + "字" * 4 * MB + '"').encode(),
    ],
)
def test_what_is_bearable_is_read(data: bytes) -> None:
    assert read(data) == from_json(data)


def test_texts_are_counted_together() -> None:
    tally = Tally()
    for _ in range(5):
        tally.add(many(b"[]", 9_999))
    with pytest.raises(TooComplex):
        tally.add(b'"' + b"a" * json_text.MAX_CONTAINERS + b'" []')
    tally = Tally()
    for _ in range(1_000):
        tally.add(b'"' + b"[" * 1_000)  # a string that does not end counts for nothing after it
    tally.add(b"[]")


@pytest.mark.parametrize("is_heavy", [False, True])
@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True, "é\ud7ff\u2028", {}], "b": []}, [10**400, -(2**70)], "a" * 200_000, {"": ()}]
)
def test_what_is_written_says_what_it_was(value: Any, is_heavy: bool) -> None:
    assert json.loads(encoded(value, is_heavy=is_heavy)) == json.loads(json.dumps(value))


@pytest.mark.parametrize("is_heavy", [False, True])
@pytest.mark.parametrize("value", [float("inf"), [float("nan")], {"a": -float("inf")}, "\ud800"])
def test_what_json_cannot_express_is_refused(value: Any, is_heavy: bool) -> None:
    with pytest.raises(ValueError, match=r"."):
        encoded(value, is_heavy=is_heavy)
