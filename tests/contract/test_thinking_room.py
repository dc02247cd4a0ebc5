"""A model that thinks has room for it on top of the answer, where the caller has not said how long that may be."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.gateway.estimates import of_chat
from shared.gateway.thinking import with_thinking_room
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Message, Text
from shared.schemas.model import Capability, Model
from shared.stores.keys import KeyStore
from tests.contract.all_vendors import every_vendor
from tests.contract.vendor import Vendor
from tests.contract.wire import asking

pytestmark = pytest.mark.anyio

NOVA = "amazon.nova-lite-v1:0"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
TOOLS = [{"type": "function", "function": {"name": "now"}}]
FORCED = {"tools": TOOLS, "tool_choice": "required"}


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    async with every_vendor(keys) as vendor:
        yield vendor


async def sent(vendor: Vendor, model: str, path: str = CHAT, **fields: Any) -> dict[str, Any]:
    """What reaches the vendor."""
    vendor.requests.clear()
    response = await vendor.client.post(path, json=asking(path, model, **fields))
    assert response.status_code == 200, response.text
    body: dict[str, Any] = vendor.sent
    return body


def room(body: dict[str, Any]) -> int:
    """The most tokens that the vendor may generate, by each vendor's name for it."""
    limits: tuple[int, ...] = tuple(
        limit
        for limit in (
            body.get("max_tokens"),
            body.get("max_completion_tokens"),
            body.get("max_output_tokens"),
            body.get("generationConfig", {}).get("maxOutputTokens"),
            body.get("inferenceConfig", {}).get("maxTokens"),
        )
        if limit is not None
    )
    (limit,) = limits
    return limit


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(
    "model",
    [
        *("gpt-6-sol", "gpt-6.1-sol", "claude-sonnet-5", "claude-opus-5-5", "gemini-3.8-flash", "deepseek-flash"),
        *("groq/qwen/qwen3.8-27b", "grok-4.7", "openrouter/z-ai/glm-5.3"),
    ],
)
async def test_a_model_that_thinks_of_itself_has_8192_tokens_for_it(vendor: Vendor, model: str, path: str) -> None:
    assert room(await sent(vendor, model, path)) == 1024 + 8192


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("deepseek-ai/DeepSeek-V3-0324", {}),  # cannot think
        ("gpt-4o-mini", {}),  # thinks only when asked to
        ("claude-sonnet-4-5", {}),
        ("claude-haiku-4-5", {}),
        ("mistral-medium-latest", {}),
        ("gemini-2.5-flash", {}),
        ("gpt-6-sol", {"reasoning_effort": "none"}),  # reasoning switched off
        ("claude-sonnet-5", {"reasoning_effort": "none"}),
        ("gemini-3.5-flash-lite", {"reasoning_effort": "none"}),
        ("deepseek-flash", {"reasoning_effort": "none"}),
        ("claude-haiku-4-5", {**FORCED, "reasoning_effort": "high"}),
        ("deepseek-flash", {**FORCED, "reasoning_effort": "high"}),
        ("groq/some-model", {}),  # nothing is known of it
    ],
)
async def test_a_model_that_does_not_think_keeps_1024(vendor: Vendor, model: str, fields: Any) -> None:
    assert room(await sent(vendor, model, **fields)) == 1024


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-mini", "claude-sonnet-4-5", "claude-haiku-4-5", "mistral-medium-latest", "gemini-2.5-flash"),
        *("groq/some-model", "anthropic.claude-haiku-4-5"),
    ],
)
async def test_a_model_that_is_asked_to_think_has_room_for_it(vendor: Vendor, model: str) -> None:
    assert room(await sent(vendor, model, reasoning_effort="high")) == 1024 + 8192


@pytest.mark.parametrize("fields", [{"tools": TOOLS}, {**FORCED, "reasoning_effort": "high"}])
async def test_P21_openais_models_think_with_tools_and_have_room_for_it(vendor: Vendor, fields: Any) -> None:
    assert room(await sent(vendor, "gpt-6-sol", **fields)) == 1024 + 8192


@pytest.mark.parametrize("model", ["gpt-6.1-sol", "claude-opus-5-5", "gemini-3.8-flash"])
async def test_thinking_that_cannot_be_switched_off_has_room_whatever_is_asked(vendor: Vendor, model: str) -> None:
    assert room(await sent(vendor, model, reasoning_effort="none")) == 1024 + 8192


async def test_a_budget_of_thinking_is_the_room_and_leaves_the_answer_its_own(vendor: Vendor) -> None:
    body = await sent(vendor, "claude-haiku-4-5", reasoning_effort="high")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    body = await sent(vendor, "claude-haiku-4-5", reasoning_effort="low")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}


async def test_a_turn_that_began_without_thinking_goes_on_without_its_room(vendor: Vendor) -> None:
    call = {"id": "toolu_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "noon"},
    ]
    body = await sent(vendor, "claude-haiku-4-5", messages=messages, tools=TOOLS, reasoning_effort="high")
    assert "thinking" not in body
    assert room(body) == 1024


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("model", ["gpt-6-sol", "claude-sonnet-5", "gemini-3.8-flash", "deepseek-flash", NOVA])
async def test_a_request_with_its_own_max_tokens_is_left_alone(vendor: Vendor, model: str, name: str) -> None:
    assert room(await sent(vendor, model, **{name: 500})) == 500


async def test_a_text_completion_with_its_own_max_tokens_is_left_alone(vendor: Vendor) -> None:
    assert room(await sent(vendor, "gpt-6-sol", COMPLETIONS, max_tokens=500)) == 500


@pytest.mark.parametrize("path", ["/v1/chat/completions/stable", "/v1/inference/chat", "/ai/chat"])
async def test_routes_without_a_cap_have_none_for_thinking_either(vendor: Vendor, path: str) -> None:
    body = await sent(vendor, "gpt-6-sol", path)
    assert body.keys().isdisjoint({"max_tokens", "max_completion_tokens", "max_output_tokens"})


async def test_the_room_is_the_operators_to_set(keys: KeyStore) -> None:
    settings = {"GATEWAY_DEFAULT_MAX_TOKENS": "100", "GATEWAY_THINKING_TOKENS": "2000"}
    async with every_vendor(keys, settings) as vendor:
        assert room(await sent(vendor, "gpt-6-sol")) == 2100
        body = await sent(vendor, "claude-haiku-4-5", reasoning_effort="high")
        assert (room(body), body["thinking"]["budget_tokens"]) == (2100, 2000)


async def test_the_room_ends_where_the_models_longest_answer_does(keys: KeyStore, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text('[[models]]\nid = "gpt-6-sol"\nmax_output_tokens = 4096\n')
    async with every_vendor(keys, {"GATEWAY_CATALOG": str(catalog)}) as vendor:
        assert room(await sent(vendor, "gpt-6-sol")) == 4096


def test_estimates_count_the_room_in_what_a_request_costs_at_most_only() -> None:
    request = ChatRequest(
        model="m", messages=(Message(role="user", parts=(Text(text="Hello"),)),), max_tokens=1024, thinking_tokens=8192
    )
    facts: dict[str, Any] = {"provider": "p", "upstream": "u", "owned_by": "p", "context_length": 100_000}
    thinker = Model(id="m", capabilities=frozenset({Capability.CHAT, Capability.REASONING}), **facts)
    expected, ceiling = of_chat([with_thinking_room(request, thinker)], thinker)
    assert (expected.output_tokens, ceiling.output_tokens) == (1024, 9216)
    plain = Model(id="m", capabilities=frozenset({Capability.CHAT}), **facts)
    expected, ceiling = of_chat([with_thinking_room(request, plain)], plain)
    assert (expected.output_tokens, ceiling.output_tokens) == (1024, 1024)
