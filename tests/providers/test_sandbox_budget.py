"""No request keeps the sandbox busy: each is answered or refused within a bounded number of steps."""

import json
import time
from typing import Any

import pytest

from shared.providers.sandbox import adapter
from shared.providers.sandbox.json_schema import Budget, UnsatisfiableSchema, make
from shared.schemas.chat import ChatRequest, Tool
from shared.schemas.content import Message, Text
from shared.schemas.model import Model

# Far more than the steps take, and far less than what was possible without them.
_SECONDS = 3.0


def _ask(prompt: str = "Hello", **more: Any) -> tuple[int, bytes, float]:
    """Status, body, and the seconds of processor time that they took."""
    request = ChatRequest(model="sandbox/chat", messages=(Message(role="user", parts=(Text(text=prompt),)),), **more)
    model = Model(id="sandbox/chat", provider="sandbox", upstream="sandbox/chat", owned_by="sandbox")
    call = adapter.chat(request, model)
    body = json.dumps(call.json).encode()
    start = time.process_time()
    answer = adapter.answer(call.path, body)
    sent = b"".join(chunk for chunk in answer.chunks if isinstance(chunk, bytes))
    return answer.status, sent, time.process_time() - start


def _list(items: Any, least: int, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, **more}


_PAIR = {"type": "object", "properties": {name: {"enum": [*range(6)]} for name in "abcdefgh"}}

_HOSTILE: dict[str, dict[str, Any]] = {
    "too few different items": _list({"type": "integer", "minimum": 0, "maximum": 10}, 12, uniqueItems=True),
    "one place too few": {
        "type": "array",
        "prefixItems": [{"type": "integer", "minimum": 0, "maximum": 10}] * 12 + [{"type": "string"}],
        "minItems": 13,
        "uniqueItems": True,
    },
    "many items of many items": _list(_list({}, 100_000), 100_000),
    "many different items of many": _list(_list({"type": "integer"}, 3_000, uniqueItems=True), 3_000, uniqueItems=True),
    "a pattern of choices": {"type": "string", "pattern": "^" + "(a|b|c|d|e)" * 12 + "z{500}$", "minLength": 99_999},
    "a long pattern": {"type": "string", "pattern": "^[a-z]*[0-9]{5}$", "minLength": 99_999},
    "a pattern of repeats": {"type": "string", "pattern": "^((a{9}|b{9}){9}|c{9}){99}$", "minLength": 99_999},
    "a long text": {"type": "object", "required": ["x"], "not": {"properties": {"x": {"pattern": "(.*)*!"}}}},
    "objects of choices": {**_PAIR, "required": [*"abcdefgh"], "not": {"required": ["a"]}},
    "a wide enumeration": {"enum": [f"value {number}" for number in range(50_000)], "minLength": 99},
    "many branches": {"allOf": [{"anyOf": [{"minimum": number} for number in range(9)]}] * 99, "not": {}},
}


@pytest.mark.parametrize("schema", _HOSTILE.values(), ids=_HOSTILE.keys())
@pytest.mark.parametrize("prompt", ["Hello", "a" * 26 + "!"])
def test_a_hostile_schema_is_soon_answered_or_refused(schema: dict[str, Any], prompt: str) -> None:
    formats = {"response_format": {"kind": "json_schema", "name": "answer", "json_schema": schema}}
    status, body, seconds = _ask(prompt, **formats)
    assert status in (200, 400)
    assert status == 200 or "sandbox" in json.loads(body)["error"]["message"]
    assert seconds < _SECONDS


@pytest.mark.parametrize("name", ["too few different items", "many items of many items", "a pattern of choices"])
def test_what_nothing_bounded_before_is_refused(name: str) -> None:
    with pytest.raises(UnsatisfiableSchema):
        make(_HOSTILE[name])


def test_too_few_different_values_are_noticed_without_trying() -> None:
    budget = Budget()
    steps = budget.left
    with pytest.raises(UnsatisfiableSchema, match="no value"):
        make(_HOSTILE["too few different items"], budget=budget)
    assert steps - budget.left < 5_000


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a*)*b?$", "(.*)*!$"])
def test_a_pattern_that_backtracks_costs_no_more_than_another(pattern: str) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string", "pattern": pattern}}, "required": ["text"]}
    status, _, seconds = _ask("a" * 50_000 + "!!", tools=(Tool(name="save", parameters=schema),))
    assert status in (200, 400)
    assert seconds < _SECONDS


def test_names_are_matched_against_patterns_in_bounded_time() -> None:
    budget = Budget()
    schema = {"type": "object", "patternProperties": {"^(a+)+$": {}}, "properties": {"a" * 40 + "!": {"const": 1}}}
    assert make(schema, budget=budget) == {"a" * 40 + "!": 1}


@pytest.mark.parametrize("more", [{}, {"tools": (Tool(name="save"),)}, {"response_format": {"kind": "json_object"}}])
def test_many_candidates_for_a_long_prompt_are_soon_there(more: dict[str, Any]) -> None:
    status, _, seconds = _ask("Tokyo and Paris, " * 180_000, n=128, **more)
    assert status == 200
    assert seconds < _SECONDS


def test_candidates_share_one_budget() -> None:
    schema = _list({"type": "integer"}, 2_000)
    form = {"response_format": {"kind": "json_schema", "name": "answer", "json_schema": schema}}
    assert _ask(**form)[0] == 200
    status, body, _ = _ask(**form, n=128)
    assert status == 400
    assert "too intricate" in json.loads(body)["error"]["message"]
