"""Fields of a chat request that not every vendor has: where they go, and where they are ignored or a 400."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import frames
from tests.contract.accounts import account
from tests.contract.all_vendors import ENVIRONMENT, answering, every_vendor, hello, streaming
from tests.contract.vendor import HEAD, USAGE, Vendor
from tests.contract.wire import asking, assert_error
from tests.providers.wires import anthropic, gemini, openai, openai_responses

pytestmark = pytest.mark.anyio

NOVA = "amazon.nova-lite-v1:0"
CHAT = "/v1/chat/completions"
STABLE = "/v1/chat/completions/stable"
PIXEL = f"data:image/png;base64,{openai.PNG}"
VALIDATORS = {"openai": openai.wire, "anthropic": anthropic.wire, "gemini": gemini.wire}
HELLO = {"role": "user", "content": "Hello"}
CHAT_MODEL = "openai/gpt-5.6-sol"  # asked by chat completions, and gpt-6-sol by the Responses API


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    async with every_vendor(keys) as vendor:
        yield vendor


async def sent(vendor: Vendor, model: str, **fields: Any) -> dict[str, Any]:
    """What reaches the vendor, which is as the vendor's SDK has it."""
    vendor.requests.clear()
    response = await vendor.client.post(CHAT, json=asking(CHAT, model, **fields))
    assert response.status_code == 200, response.text
    body: dict[str, Any] = vendor.sent
    path = vendor.requests[0].url.path
    if path.endswith("/responses"):
        openai_responses.wire.validate_request(body)
    elif wire := VALIDATORS.get(path.split("/")[1]):
        wire.validate_request(body)
    return body


async def refused(vendor: Vendor, model: str, **fields: Any) -> str:
    """The message of a refusal before any vendor is asked."""
    vendor.requests.clear()
    response = await vendor.client.post(CHAT, json=asking(CHAT, model, **fields))
    assert response.status_code == 400, response.text
    assert not vendor.requests
    message: str = response.json()["error"]["message"]
    return message


# --- legacy functions

FUNCTIONS = [
    {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
    {"name": "now"},
]
ARGUMENTS = '{"city":"Köln"}'


def call(position: int, name: str = "weather", arguments: str = ARGUMENTS) -> Any:
    function = {"name": name, "arguments": arguments}
    return {"index": position, "id": f"call_{position}", "type": "function", "function": function}


def chunk(delta: Any, reason: str | None = None) -> Any:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def completion(message: Any, reason: str) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": reason}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}


async def test_functions_reach_the_vendor_as_tools(vendor: Vendor) -> None:
    body = await sent(vendor, CHAT_MODEL, functions=FUNCTIONS, function_call="auto")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather", "now"]
    assert body["tools"][0]["function"]["description"] == "The weather of a city."
    assert body["tool_choice"] == "auto"
    assert body["parallel_tool_calls"] is False
    assert body.keys().isdisjoint({"functions", "function_call"})
    body = await sent(vendor, "gpt-6-sol", functions=FUNCTIONS, function_call="auto")
    assert [tool["name"] for tool in body["tools"]] == ["weather", "now"]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("none", "none"),
        ({"name": "now"}, {"type": "function", "function": {"name": "now"}}),
    ],
)
async def test_function_call_is_the_choice_of_a_tool(vendor: Vendor, choice: Any, expected: Any) -> None:
    body = await sent(vendor, CHAT_MODEL, functions=FUNCTIONS, function_call=choice)
    assert body.get("tool_choice") == expected


@pytest.mark.parametrize("model", ["claude-sonnet-5", "gemini-3.8-flash"])
async def test_functions_reach_vendors_that_never_had_them(vendor: Vendor, model: str) -> None:
    assert "weather" in json.dumps((await sent(vendor, model, functions=FUNCTIONS))["tools"])


@pytest.mark.parametrize("path", [CHAT, STABLE])
async def test_a_call_is_answered_in_the_form_in_which_functions_were_given(vendor: Vendor, path: str) -> None:
    vendor.answer = answering(completion({"tool_calls": [call(0), call(1, "now", "{}")]}, "tool_calls"))
    response = await vendor.client.post(path, json=asking(path, CHAT_MODEL, functions=FUNCTIONS))
    (choice,) = ChatCompletion.model_validate(response.json()).choices
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call is not None
    assert choice.message.function_call.model_dump() == {"name": "weather", "arguments": ARGUMENTS}
    assert "tool_calls" not in response.json()["choices"][0]["message"]


async def test_a_streamed_call_is_answered_in_that_form_too(vendor: Vendor) -> None:
    started = call(0, arguments="")
    fragments = [{"index": 0, "function": {"arguments": part}} for part in (ARGUMENTS[:5], ARGUMENTS[5:])]
    vendor.answer = streaming(
        chunk({"role": "assistant", "content": None, "tool_calls": [started]}),
        *(chunk({"tool_calls": [fragment]}) for fragment in fragments),
        chunk({"tool_calls": [call(1, "now", "{}")]}),
        chunk({}, "tool_calls"),
        done=True,
    )
    response = await vendor.client.post(CHAT, json=asking(CHAT, CHAT_MODEL, functions=FUNCTIONS, stream=True))
    *chunks, _ = frames(response.content)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    (choice,) = state.get_final_completion().choices
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call is not None
    assert choice.message.function_call.model_dump() == {"name": "weather", "arguments": ARGUMENTS}
    assert "tool_calls" not in json.dumps(chunks)


async def test_an_answer_without_a_call_ends_as_ever(vendor: Vendor) -> None:
    response = await vendor.client.post(CHAT, json=asking(CHAT, "gpt-6-sol", functions=FUNCTIONS))
    (choice,) = response.json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert "function_call" not in choice["message"]


async def test_functions_calls_and_results_of_earlier_turns_find_each_other(vendor: Vendor) -> None:
    asked = {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": ARGUMENTS}}
    messages = [
        HELLO,
        asked,
        {"role": "function", "name": "weather", "content": "rain"},
        asked,
        {"role": "function", "name": "weather", "content": "sun"},
    ]
    _, first, rain, second, sun = (await sent(vendor, CHAT_MODEL, messages=messages, functions=FUNCTIONS))["messages"]
    for calling, result, text in ((first, rain, "rain"), (second, sun, "sun")):
        (made,) = calling["tool_calls"]
        assert made["function"] == {"name": "weather", "arguments": ARGUMENTS}
        assert result == {"role": "tool", "tool_call_id": made["id"], "content": text}
    assert rain["tool_call_id"] != sun["tool_call_id"]
    turns = (await sent(vendor, "claude-sonnet-5", messages=messages, functions=FUNCTIONS))["messages"]
    assert [turn["content"][0]["type"] for turn in turns] == ["text", *("tool_use", "tool_result") * 2]


async def test_what_legacy_functions_contradict_is_a_400(vendor: Vendor) -> None:
    tools = [{"type": "function", "function": {"name": "now"}}]
    post = vendor.client.post
    for field, body in (
        ("functions", {"functions": FUNCTIONS, "tools": tools}),
        ("functions", {"functions": []}),
        ("function_call", {"function_call": "auto"}),
        ("function_call.name", {"functions": FUNCTIONS, "function_call": {"name": "other"}}),
        ("messages[1].name", {"messages": [HELLO, {"role": "function", "name": "now", "content": "noon"}]}),
    ):
        assert_error(await post(CHAT, json=asking(CHAT, "gpt-6-sol", **body)), "validation", field=field)


# --- web search

SEARCH = {
    "search_context_size": "high",
    "user_location": {"type": "approximate", "approximate": {"country": "DE", "city": "Köln"}},
}
TOOLS = [{"type": "function", "function": {"name": "now"}}]


@pytest.mark.parametrize("options", [SEARCH, {}])
async def test_web_search_reaches_openais_search_models_as_it_is(vendor: Vendor, options: Any) -> None:
    body = await sent(vendor, "openai/gpt-5-search-api", web_search_options=options)
    assert body["web_search_options"] == options


async def test_web_search_is_a_tool_of_openrouters(vendor: Vendor) -> None:
    body = await sent(vendor, "openrouter/some/model", web_search_options=SEARCH, tools=TOOLS)
    place = {"type": "approximate", "city": "Köln", "country": "DE"}
    assert body["tools"][1] == {
        "type": "openrouter:web_search",
        "parameters": {"search_context_size": "high", "user_location": place},
    }
    assert body["tools"][0]["function"]["name"] == "now"
    assert "web_search_options" not in body


async def test_web_search_is_a_tool_of_anthropics(vendor: Vendor) -> None:
    body = await sent(vendor, "claude-sonnet-5", web_search_options=SEARCH, tools=TOOLS)
    assert body["tools"][1] == {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 5,
        "user_location": {"type": "approximate", "city": "Köln", "country": "DE"},
    }
    (tool,) = (await sent(vendor, "claude-sonnet-5", web_search_options={}))["tools"]
    assert "user_location" not in tool


async def test_web_search_is_geminis_grounding(vendor: Vendor) -> None:
    body = await sent(vendor, "gemini-3.8-flash", web_search_options=SEARCH)
    assert body["tools"] == [{"googleSearch": {}}]
    assert "tools" in await refused(vendor, "gemini-3.8-flash", web_search_options=SEARCH, tools=TOOLS)


async def test_web_search_is_a_tool_of_openais_responses_api(vendor: Vendor) -> None:
    body = await sent(vendor, "gpt-6-sol", web_search_options=SEARCH, tools=TOOLS, reasoning_effort="low")
    assert body["tools"][1] == {
        "type": "web_search",
        "search_context_size": "high",
        "user_location": {"type": "approximate", "city": "Köln", "country": "DE"},
    }
    assert body["tools"][0]["name"] == "now"
    assert body["reasoning"] == {"effort": "low"}


@pytest.mark.parametrize("model", ["grok-4.7", "groq/openai/gpt-oss-120b", "deepseek-flash", NOVA])
async def test_web_search_is_a_400_where_the_vendor_has_none(vendor: Vendor, model: str) -> None:
    assert "web_search_options" in await refused(vendor, model, web_search_options={})


async def test_auto_takes_a_model_that_can_search(vendor: Vendor) -> None:
    response = await vendor.client.post(CHAT, json=asking(CHAT, "Auto", web_search_options={}))
    assert response.status_code == 200, response.text
    assert response.headers["x-gateway-model"] == "gpt-6.1-terra"


# --- service tiers


@pytest.mark.parametrize(
    ("model", "tier", "name", "expected"),
    [
        ("gpt-6-sol", "flex", "service_tier", "flex"),
        ("gpt-6-sol", "priority", "service_tier", "priority"),
        ("gpt-6-sol", "fast", "service_tier", "priority"),
        ("fireworks/kimi-k3", "priority", "service_tier", "priority"),
        ("openrouter/some/model", "flex", "service_tier", "flex"),
        ("groq/openai/gpt-oss-120b", "default", "service_tier", "on_demand"),
        ("groq/openai/gpt-oss-120b", "priority", "service_tier", "performance"),
        ("groq/openai/gpt-oss-120b", "scale", "service_tier", None),
        ("groq/openai/gpt-oss-120b", "on_demand", "service_tier", "on_demand"),
        ("gpt-6-sol", "performance", "service_tier", "priority"),
        ("claude-sonnet-5", "standard_only", "service_tier", "standard_only"),
        ("gemini-3.8-flash", "standard", "serviceTier", "standard"),
        ("claude-sonnet-5", "auto", "service_tier", "auto"),
        ("claude-sonnet-5", "priority", "service_tier", "auto"),
        ("claude-sonnet-5", "default", "service_tier", "standard_only"),
        ("gemini-3.8-flash", "default", "serviceTier", "standard"),
        ("gemini-3.8-flash", "flex", "serviceTier", "flex"),
        ("gemini-3.8-flash", "auto", "serviceTier", None),
        ("deepseek-flash", "flex", "service_tier", None),
        ("mistral-medium-latest", "priority", "service_tier", None),
    ],
)
async def test_a_service_tier_goes_by_the_vendors_name(
    vendor: Vendor, model: str, tier: str, name: str, expected: str | None
) -> None:
    assert (await sent(vendor, model, service_tier=tier)).get(name) == expected


@pytest.mark.parametrize("model", ["gpt-6-sol", "claude-sonnet-5", "gemini-3.8-flash", NOVA])
async def test_no_tier_is_asked_for_where_the_caller_asks_for_none(vendor: Vendor, model: str) -> None:
    assert {"service_tier", "serviceTier"}.isdisjoint(await sent(vendor, model))


async def test_another_service_tier_is_a_400(vendor: Vendor) -> None:
    assert "service_tier" in await refused(vendor, "gpt-6-sol", service_tier="gold")


# --- what budgets cannot bound


@pytest.mark.parametrize(
    ("model", "field", "fields"),
    [
        ("claude-sonnet-5", "web_search_options", {"web_search_options": {}}),
        ("gpt-6-sol", "service_tier", {"service_tier": "priority"}),
        (
            "gpt-6-sol",
            "prompt_cache_breakpoint",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "text",
                                "text": "Hello",
                                "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
                            }
                        ],
                    }
                ]
            },
        ),
    ],
)
async def test_keys_with_a_budget_are_refused_what_may_cost_more_than_can_be_known(
    keys: KeyStore, model: str, field: str, fields: Any
) -> None:
    async with account(keys, Limits(budget_day=10_000_000), environment=ENVIRONMENT, vendor=hello) as poor:
        response = await poor.ask(CHAT, model, **fields)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == field
        assert (await poor.ask(CHAT, "deepseek-flash", service_tier="priority")).status_code == 200  # it has none
    async with account(keys, environment=ENVIRONMENT, vendor=hello) as rich:
        assert (await rich.ask(CHAT, model, **fields)).status_code == 200


# --- caches

POINT = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
CONVERSATION = [
    {
        "role": "system",
        "content": [
            {"type": "text", "text": "You know the law.", "cache_control": HOUR},
            {"type": "text", "text": "Today is Saturday."},
        ],
    },
    {"role": "system", "content": "Be brief.", "cache_control": POINT},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL}, "cache_control": POINT},
        ],
    },
    {"role": "assistant", "content": "I look it up.", "cache_control": POINT, "tool_calls": None},
    {"role": "user", "content": "Do."},
    {
        "role": "assistant",
        "tool_calls": [{"id": "call_abc", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_abc", "content": "noon", "cache_control": POINT},
]
CACHED_TOOLS = [{"type": "function", "function": {"name": "now"}, "cache_control": POINT}]
CACHED = {"messages": CONVERSATION, "tools": CACHED_TOOLS}


async def test_cache_points_reach_anthropic_where_they_stand(vendor: Vendor) -> None:
    body = await sent(vendor, "claude-sonnet-5", **CACHED)
    assert body["system"] == [
        {"type": "text", "text": "You know the law.", "cache_control": HOUR},
        {"type": "text", "text": "Today is Saturday.\n\nBe brief.", "cache_control": POINT},
    ]
    assert body["tools"][0]["cache_control"] == POINT
    look, looked, _, _, result = [turn["content"] for turn in body["messages"]]
    assert [block.get("cache_control") for block in look] == [None, POINT]
    assert looked == [{"type": "text", "text": "I look it up.", "cache_control": POINT}]
    assert [(block["type"], block.get("cache_control")) for block in result] == [("tool_result", POINT)]
    assert "cache_control" not in body


async def test_a_cache_point_within_a_tool_result_stays_there(vendor: Vendor) -> None:
    parts = [{"type": "text", "text": "noon", "cache_control": HOUR}, {"type": "text", "text": "sharp"}]
    messages = [*CONVERSATION[:-1], {"role": "tool", "tool_call_id": "call_abc", "content": parts}]
    body = await sent(vendor, "claude-sonnet-5", messages=messages, tools=TOOLS)
    (result,) = body["messages"][-1]["content"]
    assert [block.get("cache_control") for block in result["content"]] == [HOUR, None]


async def test_text_after_the_last_cache_point_of_the_system_text_follows_it(vendor: Vendor) -> None:
    messages = [CONVERSATION[0], {"role": "system", "content": "Be brief."}, HELLO]
    body = await sent(vendor, "claude-sonnet-5", messages=messages, response_format={"type": "json_object"})
    first, rest = body["system"]
    assert first == {"type": "text", "text": "You know the law.", "cache_control": HOUR}
    assert rest["text"].startswith("Today is Saturday.\n\nBe brief.\n\n")
    assert "JSON" in rest["text"]


async def test_cache_points_reach_openrouter_where_they_stand(vendor: Vendor) -> None:
    body = await sent(vendor, "openrouter/some/model", **CACHED)
    system, look, looked, *_, result = body["messages"]
    assert system["content"] == [
        {"type": "text", "text": "You know the law.", "cache_control": HOUR},
        {"type": "text", "text": "\nToday is Saturday.\n\nBe brief.", "cache_control": POINT},
    ]
    assert [part.get("cache_control") for part in look["content"]] == [None, POINT]
    assert looked["content"] == [{"type": "text", "text": "I look it up.", "cache_control": POINT}]
    assert result["content"] == [{"type": "text", "text": "noon", "cache_control": POINT}]
    assert body["tools"][0]["cache_control"] == POINT


async def test_cache_points_are_openais_breakpoints_but_in_the_assistants_turns_and_tools(vendor: Vendor) -> None:
    body = await sent(vendor, "gpt-6-sol", **CACHED)
    system, look, looked, *_, result = body["input"]
    point = {"mode": "explicit"}
    assert [part.get("prompt_cache_breakpoint") for part in system["content"]] == [point, point]
    assert [part.get("prompt_cache_breakpoint") for part in look["content"]] == [None, point]
    assert looked["content"] == "I look it up."
    assert result["output"] == [{"type": "input_text", "text": "noon", "prompt_cache_breakpoint": point}]
    assert "instructions" not in body
    assert "cache_control" not in json.dumps(body)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-6-sol", {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}),
        ("claude-sonnet-5", {"cache_control": HOUR}),
        ("openrouter/some/model", {"cache_control": HOUR}),
    ],
)
async def test_openais_own_breakpoints_are_cache_points_too(vendor: Vendor, model: str, expected: Any) -> None:
    part = {"type": "text", "text": "Hello", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    body = await sent(vendor, model, messages=[{"role": "user", "content": [part]}])
    if model == "gpt-6-sol":
        assert body["input"][0]["content"] == [{"type": "input_text", "text": "Hello", **expected}]
    else:
        assert body["messages"][0]["content"] == [{"type": "text", "text": "Hello", **expected}]


@pytest.mark.parametrize(
    "model",
    [
        *("deepinfra/deepseek-ai/DeepSeek-V4.1-Flash", "groq/qwen/qwen3.8-27b", "mistral-medium-latest"),
        *("gemini-3.8-flash", "openai/some-older-model"),
    ],
)
async def test_cache_points_are_nothing_to_other_vendors(vendor: Vendor, model: str) -> None:
    with_points = await sent(vendor, model, **CACHED)
    plain = json.loads(json.dumps(CACHED).replace(f', "cache_control": {json.dumps(HOUR)}', ""))
    plain = json.loads(json.dumps(plain).replace(f', "cache_control": {json.dumps(POINT)}', ""))
    assert "cache_control" not in json.dumps(plain)
    assert with_points == await sent(vendor, model, **plain)


@pytest.mark.parametrize("value", [{"type": "forever"}, {"type": "ephemeral", "ttl": "2h"}, "yes"])
async def test_a_cache_point_of_another_kind_is_a_400(vendor: Vendor, value: Any) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": value}]}]
    assert "messages[0].content[0].cache_control" in await refused(vendor, "claude-sonnet-5", messages=messages)


async def test_a_cache_point_of_the_whole_request_reaches_the_vendors_that_have_it(vendor: Vendor) -> None:
    for model in ("claude-sonnet-5", "openrouter/some/model"):
        assert (await sent(vendor, model, cache_control=HOUR))["cache_control"] == HOUR
    assert "cache_control" not in await sent(vendor, "gpt-6-sol", cache_control=HOUR)


@pytest.mark.parametrize(
    "model",
    ["gpt-6-sol", "fireworks/kimi-k3", "openrouter/some/model", "mistral-medium-latest", "deepinfra/some-model"],
)
async def test_a_prompt_cache_key_reaches_the_vendors_that_have_it(vendor: Vendor, model: str) -> None:
    assert (await sent(vendor, model, prompt_cache_key="conversation-7"))["prompt_cache_key"] == "conversation-7"


async def test_a_prompt_cache_key_is_a_header_of_xais(vendor: Vendor) -> None:
    body = await sent(vendor, "grok-4.7", prompt_cache_key="Gespräch 7\n")
    assert "prompt_cache_key" not in body
    first = vendor.requests[0].headers["x-grok-conv-id"]
    await sent(vendor, "grok-4.7", prompt_cache_key="Gespräch 8")
    assert first.isalnum()
    assert vendor.requests[0].headers["x-grok-conv-id"] != first
    await sent(vendor, "grok-4.7")
    assert "x-grok-conv-id" not in vendor.requests[0].headers


async def test_a_prompt_cache_key_is_a_cache_point_of_anthropics_where_the_caller_has_set_none(vendor: Vendor) -> None:
    assert (await sent(vendor, "claude-sonnet-5", prompt_cache_key="k"))["cache_control"] == POINT
    assert "cache_control" not in await sent(vendor, "claude-sonnet-5", prompt_cache_key="k", **CACHED)
    only_points = {"prompt_cache_options": {"mode": "explicit"}}
    assert "cache_control" not in await sent(vendor, "claude-sonnet-5", prompt_cache_key="k", **only_points)


async def test_a_prompt_cache_key_is_nothing_to_other_vendors(vendor: Vendor) -> None:
    for model in ("groq/openai/gpt-oss-120b", "deepseek-flash", "gemini-3.8-flash"):
        assert await sent(vendor, model, prompt_cache_key="k") == await sent(vendor, model)


async def test_prompt_cache_options_reach_the_models_that_have_them(vendor: Vendor) -> None:
    options = {"mode": "explicit"}
    assert (await sent(vendor, "gpt-6-sol", prompt_cache_options=options))["prompt_cache_options"] == options
    assert "prompt_cache_options" not in await sent(vendor, "groq/some-model", prompt_cache_options=options)


# --- reasoning


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"reasoning": {"effort": "high"}}, "high"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "low"}, "low"),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"reasoning": {"enabled": False}}, "none"),
        ({"reasoning": {"max_tokens": 2000}}, "low"),
        ({"reasoning": {"max_tokens": 50_000}}, "max"),
        ({"thinking": {"type": "enabled"}}, "medium"),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, "high"),
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16_000}}, "high"),
    ],
)
async def test_reasoning_and_thinking_are_an_effort_to_vendors_that_take_one(
    vendor: Vendor, fields: Any, effort: str
) -> None:
    body = await sent(vendor, "deepinfra/deepseek-ai/DeepSeek-V4.1-Flash", **fields)
    assert body["reasoning_effort"] == effort
    assert body.keys().isdisjoint({"reasoning", "thinking"})


@pytest.mark.parametrize("name", ["reasoning", "thinking"])
async def test_a_budget_reaches_the_models_that_take_one(vendor: Vendor, name: str) -> None:
    fields: dict[str, Any] = {"reasoning": {"max_tokens": 3000}}
    if name == "thinking":
        fields = {"thinking": {"type": "enabled", "budget_tokens": 3000}}
    body = await sent(vendor, "claude-haiku-4-5", **fields, max_tokens=4000)
    assert (body["thinking"], body["max_tokens"]) == ({"type": "enabled", "budget_tokens": 3000}, 4000)
    body = await sent(vendor, "openrouter/some/model", **fields)
    assert body["reasoning"] == {"max_tokens": 3000}
    assert "reasoning_effort" not in body


async def test_a_budget_larger_than_the_usual_room_has_its_own(vendor: Vendor) -> None:
    body = await sent(vendor, "claude-haiku-4-5", reasoning={"max_tokens": 20_000})
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (20_000, 21_024)


async def test_a_budget_that_a_model_cannot_keep_is_a_400(vendor: Vendor) -> None:
    assert "1024" in await refused(vendor, "claude-haiku-4-5", reasoning={"max_tokens": 500})
    message = await refused(vendor, "claude-haiku-4-5", reasoning={"max_tokens": 5000}, max_tokens=5000)
    assert message.startswith("max_tokens")


async def test_thinking_is_switched_off_as_each_vendor_has_it(vendor: Vendor) -> None:
    off = {"thinking": {"type": "disabled"}}
    assert (await sent(vendor, "deepseek-flash", **off))["thinking"] == {"type": "disabled"}
    assert (await sent(vendor, "claude-sonnet-5", **off))["thinking"] == {"type": "disabled"}
    assert (await sent(vendor, "gpt-6-sol", **off))["reasoning"] == {"effort": "none"}
    assert (await sent(vendor, CHAT_MODEL, **off))["reasoning_effort"] == "none"
    config = (await sent(vendor, "gemini-3.5-flash-lite", **off))["generationConfig"]
    assert config["thinkingConfig"] == {"thinkingLevel": "MINIMAL"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, "reasoning.effort"),
        ({"reasoning": {"max_tokens": 2000}, "thinking": {"type": "enabled", "budget_tokens": 3000}}, "thinking"),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, "thinking.type"),
        ({"reasoning": {"enabled": False, "max_tokens": 2000}}, "reasoning"),
        ({"reasoning": {"enabled": True, "effort": "none"}}, "reasoning"),
        ({"reasoning": {"max_tokens": 0}}, "reasoning.max_tokens"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type"),
    ],
)
async def test_what_contradicts_itself_is_a_400(vendor: Vendor, fields: Any, field: str) -> None:
    assert (await refused(vendor, "gpt-6-sol", **fields)).startswith(field)


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"exclude": True}},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
        {"include_reasoning": False},
    ],
)
async def test_reasoning_is_kept_out_of_the_answer_where_the_caller_does_not_want_it(
    vendor: Vendor, fields: Any
) -> None:
    vendor.answer = answering(completion({"content": "Hello", "reasoning_content": "Hm."}, "stop"))
    response = await vendor.client.post(CHAT, json=asking(CHAT, "deepseek-flash", **fields))
    assert response.json()["choices"][0]["message"]["content"] == "Hello"
    assert "Hm." not in response.text
    vendor.answer = streaming(
        chunk({"reasoning_content": "Hm."}), chunk({"content": "Hello"}), chunk({}, "stop"), done=True
    )
    response = await vendor.client.post(CHAT, json=asking(CHAT, "deepseek-flash", stream=True, **fields))
    assert "Hello" in response.text
    assert "Hm." not in response.text


# --- the rest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("moderation", {"model": "omni-moderation-latest"}),
    ],
)
async def test_a_field_on_which_nothing_acts_is_a_400(vendor: Vendor, field: str, value: Any) -> None:
    response = await vendor.client.post(CHAT, json=asking(CHAT, "gpt-6-sol", **{field: value}))
    assert_error(response, "validation", field=field)
    assert (await vendor.client.post(CHAT, json=asking(CHAT, "gpt-6-sol", **{field: None}))).status_code == 200


async def test_speech_of_an_earlier_answer_is_a_400(vendor: Vendor) -> None:
    spoken = {"role": "assistant", "content": "Hi", "audio": {"id": "audio_1"}}
    response = await vendor.client.post(CHAT, json=asking(CHAT, "gpt-6-sol", messages=[HELLO, spoken, HELLO]))
    assert_error(response, "validation", field="messages[1].audio")


async def test_an_answers_message_may_be_sent_back_as_the_sdk_has_it(vendor: Vendor) -> None:
    answered = await vendor.client.post(CHAT, json=asking(CHAT, "gpt-6-sol"))
    message = ChatCompletion.model_validate(answered.json()).choices[0].message.model_dump()
    assert message["audio"] is None
    body = await sent(vendor, "gpt-6-sol", messages=[HELLO, message, HELLO])
    assert body["input"][1] == {"role": "assistant", "content": "Hello there", "phase": "final_answer"}
    body = await sent(vendor, CHAT_MODEL, messages=[HELLO, message, HELLO])
    assert body["messages"][1] == {"role": "assistant", "content": "Hello there"}


# What agent frameworks and chat interfaces send by default.
SENT_BY_DEFAULT: dict[str, dict[str, Any]] = {
    "defaults": {
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "logit_bias": None,
        "logprobs": False,
        "max_tokens": None,
        "metadata": None,
        "modalities": ["text"],
        "n": 1,
        "response_format": {"type": "text"},
        "seed": None,
        "stop": None,
        "store": False,
        "stream_options": None,
        "user": None,
        "verbosity": "low",
        "web_search_options": None,
    },
    "empty tools": {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "function_call": "none"},
    "cache retention": {
        "prompt_cache_retention": "in_memory",
        "prompt_cache_options": {"mode": "implicit", "ttl": "30m"},
    },
    "OpenRouter routing": {
        "models": ["a/b"],
        "provider": {"order": ["a"]},
        "route": "fallback",
        "transforms": ["middle-out"],
        "usage": {"include": True},
    },
    "proxy options": {"api_version": "1", "caching": True, "drop_params": True, "num_retries": 2, "timeout": 60},
    "chat interface": {
        "chat_id": "c",
        "features": {"web_search": False},
        "files": [],
        "keep_alive": "5m",
        "options": {},
    },
    "samplers": {"top_k": 20, "min_p": 0, "repetition_penalty": 1.05},
    "thinking options": {"thinking": {"type": "enabled", "clear_thinking": False, "keep": "all"}},
}


@pytest.mark.parametrize(
    "model", ["gpt-6-sol", CHAT_MODEL, "claude-sonnet-5", "gemini-3.8-flash", "mistral-medium-latest", NOVA]
)
@pytest.mark.parametrize("fields", SENT_BY_DEFAULT.values(), ids=SENT_BY_DEFAULT)
async def test_harmless_fields_are_not_refused(vendor: Vendor, model: str, fields: dict[str, Any]) -> None:
    body = await sent(vendor, model, **fields)
    assert body.keys().isdisjoint(
        {"toolConfig", "tools", "tool_choice", "parallel_tool_calls", "provider", "top_k", "files"}
    )
    assert body.get("store") is (False if model == "gpt-6-sol" else None)


async def test_fields_that_the_gateway_does_not_know_reach_openais_own_chat_completions(vendor: Vendor) -> None:
    fields = {"a_field_of_2027": {"a": [1]}, "nothing": None, "n": 2, "top_k": 20}
    vendor.requests.clear()
    response = await vendor.client.post(CHAT, json=asking(CHAT, CHAT_MODEL, **fields))
    assert response.status_code == 200, response.text
    assert (vendor.sent["a_field_of_2027"], vendor.sent["n"]) == ({"a": [1]}, 2)
    assert vendor.sent.keys().isdisjoint({"nothing", "top_k"})
    for model in ("gpt-6-sol", "groq/openai/gpt-oss-120b", "mistral-medium-latest", "claude-sonnet-5"):
        assert "a_field_of_2027" not in await sent(vendor, model, a_field_of_2027=1)


async def test_keys_with_a_budget_are_refused_fields_that_the_gateway_does_not_know(keys: KeyStore) -> None:
    async with account(keys, Limits(budget_day=10_000_000), environment=ENVIRONMENT, vendor=hello) as poor:
        response = await poor.ask(CHAT, CHAT_MODEL, a_field_of_2027=1)
        assert_error(response, "unsupported", field="a_field_of_2027")
        assert (await poor.ask(CHAT, "deepseek-flash", a_field_of_2027=1)).status_code == 200


async def test_fields_without_effect_on_the_answer_stay_here(vendor: Vendor) -> None:
    fields: dict[str, Any] = {
        "store": True,
        "prediction": {"type": "content", "content": "Hello"},
        "prompt_cache_retention": "24h",
        "metadata": {"a": "b"},
    }
    for model in ("gpt-6-sol", CHAT_MODEL):
        assert await sent(vendor, model, **fields) == await sent(vendor, model)


async def test_a_safety_identifier_is_the_user(vendor: Vendor) -> None:
    assert (await sent(vendor, "gpt-6-sol", safety_identifier="u-1"))["user"] == "u-1"
    assert (await sent(vendor, "gpt-6-sol", safety_identifier="u-1", user="u-2"))["user"] == "u-2"
    assert "user_id" in (await sent(vendor, "claude-sonnet-5", safety_identifier="u-1"))["metadata"]
