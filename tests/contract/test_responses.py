"""The responses dialect: what CONTRACT.md says of /v1/responses, over every vendor's wire."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.contract.all_vendors import every_vendor
from tests.contract.response_events import events_of, response_of, without_ids
from tests.contract.scripted import ANTHROPIC, GEMINI, MODELS, OPENAI, Call, Saying, Thought, answered
from tests.contract.vendor import Vendor, breaking, raising
from tests.contract.wire import SANDBOX, assert_error

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
DEEPSEEK = "deepseek/deepseek-chat"  # its thoughts have to be sent back in tool rounds
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"
every_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    async with every_vendor(keys) as vendor:
        yield vendor


def script(vendor: Vendor, *sayings: Saying) -> None:
    """Lets the vendor say one thing after the other, and the last from then on."""
    left = list(sayings)

    def answer(request: httpx.Request) -> httpx.Response:
        return answered(request, left.pop(0) if len(left) > 1 else left[0])

    vendor.answer = answer


async def ask(vendor: Vendor, model: str = OPENAI, **fields: Any) -> dict[str, Any]:
    """A whole answer."""
    body = {"model": model, "input": "Hello", **fields}
    return response_of(await vendor.client.post(RESPONSES, json=body))


async def refused(vendor: Vendor, kind: str = "validation", field: str | None = None, **fields: Any) -> str:
    body = {"model": OPENAI, "input": "Hello", **fields}
    return assert_error(await vendor.client.post(RESPONSES, json=body), kind, field=field)


async def stream(vendor: Vendor, model: str = OPENAI, **fields: Any) -> list[dict[str, Any]]:
    """The events of a streamed answer, each valid and in its place."""
    body = {"model": model, "input": "Hello", "stream": True, **fields}
    return events_of(await vendor.client.post(RESPONSES, json=body))


def sent(vendor: Vendor) -> Any:
    """The JSON of the last call that was made."""
    return json.loads(vendor.requests[-1].content)


# ---- Whole and streamed ----------------------------------------------------------------------------------------------


@every_model
async def test_P01_every_vendors_model_answers_whole_and_streamed(vendor: Vendor, model: str) -> None:
    script(vendor, Saying())
    whole = await ask(vendor, model)
    assert whole["model"] == model
    assert [part["text"] for part in whole["output"][0]["content"]] == ["Hello there"]
    events = await stream(vendor, model)
    assert "".join(event["delta"] for event in events if event["type"].endswith("text.delta")) == "Hello there"


async def test_P02_the_input_is_a_string_or_items_and_instructions_come_first(vendor: Vendor) -> None:
    items = [
        {"role": "developer", "content": "Speak English."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello"},
        {"role": "system", "content": "Now be verbose."},
        {"role": "user", "content": "Bye"},
    ]
    await ask(vendor, instructions="Be brief.", input=items)
    assert [(message["role"], message["content"]) for message in sent(vendor)["messages"]] == [
        ("system", "Be brief.\n\nSpeak English."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("system", "Now be verbose."),
        ("user", "Bye"),
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": 1}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "king", "content": "Hi"}]}, "input[0].role"),
        ({"input": ["Hi"]}, "input[0]"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
async def test_a_field_that_is_wrong_is_named(vendor: Vendor, fields: dict[str, Any], field: str) -> None:
    await refused(vendor, field=field, **fields)


async def test_P03_ids_and_settings_are_those_of_the_specification(vendor: Vendor) -> None:
    script(vendor, Saying((Thought("Hm."), "Let me see.", Call("c1", "get_weather", {"city": "Rome"})), "tools"))
    body = await ask(
        vendor,
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=100,
        metadata={"a": "b"},
        tools=[WEATHER],
        tool_choice="auto",
        user="u",
        prompt_cache_key="k",
        safety_identifier="s",
        truncation="auto",
        store=False,
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto"},
        text={"verbosity": "low"},
    )
    assert re.fullmatch(r"resp_[0-9a-f]{27}", body["id"])
    assert [item["id"].partition("_")[0] for item in body["output"]] == ["rs", "msg", "fc"]
    assert body["status"] == "completed"
    assert body["completed_at"] >= body["created_at"]
    expected = {
        "object": "response",
        "error": None,
        "incomplete_details": None,
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 100,
        "max_tool_calls": None,
        "metadata": {"a": "b"},
        "tools": [WEATHER],
        "tool_choice": "auto",
        "user": "u",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "truncation": "auto",
        "store": False,
        "background": False,
        "previous_response_id": None,
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "top_logprobs": 0,
        "service_tier": "default",
    }
    assert {name: body[name] for name in expected} == expected


@every_model
async def test_P04_P05_streams_are_in_order_and_fold_to_the_whole_answer(vendor: Vendor, model: str) -> None:
    parts = (
        Thought("I should look.", "sig-1" if model == ANTHROPIC else None),
        "One moment.",
        Call("c1", "get_weather", {"city": "Rome"}, "sig-2" if model == GEMINI else None),
        Call("c2", "get_weather", {"city": "Oslo"}),
    )
    script(vendor, Saying(parts, "tools"))
    whole = await ask(vendor, model, tools=[WEATHER])
    events = await stream(vendor, model, tools=[WEATHER])
    assert without_ids(events[-1]["response"]) == without_ids(whole)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[2] == "output_item.added"
    assert kinds[4:6] == ["reasoning_summary_text.delta"] * 2
    message = kinds.index("output_item.added", 3)
    assert kinds[message : message + 7] == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert kinds[-1] == "completed"
    calls = [item for item in whole["output"] if item["type"] == "function_call"]
    assert [(call["call_id"], call["name"], json.loads(call["arguments"])) for call in calls] == [
        ("c1", "get_weather", {"city": "Rome"}),
        ("c2", "get_weather", {"city": "Oslo"}),
    ]
    assert len([kind for kind in kinds if kind == "function_call_arguments.done"]) == 2


# ---- Tools -----------------------------------------------------------------------------------------------------------


@every_model
async def test_P06_calls_and_results_of_text_images_and_files_reach_the_provider(vendor: Vendor, model: str) -> None:
    script(vendor, Saying())
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
    file = {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}
    seeing = model != OPENAI
    outputs: list[Any] = [{"type": "input_text", "text": "Sunny"}, *([image, file] if seeing else [])]
    items = [
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call", "call_id": "c2", "name": "get_weather", "arguments": "{}", "id": "fc_mine"},
        {"type": "function_call_output", "call_id": "c1", "output": outputs, "id": "fco_mine"},
        {"type": "function_call_output", "call_id": "c2", "output": "Rain"},
    ]
    await ask(vendor, model, tools=[WEATHER], input=items)
    told = json.dumps(sent(vendor))
    for text in ("Sunny", "Rain", "Rome"):
        assert text in told
    if seeing:
        assert PNG in told
        assert PDF in told


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
    ],
)
async def test_P06_a_tool_choice_reaches_the_provider(vendor: Vendor, choice: Any, expected: Any) -> None:
    body = await ask(vendor, tools=[WEATHER], tool_choice=choice)
    assert sent(vendor)["tool_choice"] == expected
    assert body["tool_choice"] == choice


async def test_P06_allowed_tools_are_the_ones_that_the_model_gets(vendor: Vendor) -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_weather"}]}
    other = {**WEATHER, "name": "other"}
    body = await ask(vendor, tools=[WEATHER, other], tool_choice=allowed)
    assert [tool["function"]["name"] for tool in sent(vendor)["tools"]] == ["get_weather"]
    assert sent(vendor)["tool_choice"] == "required"
    assert [tool["name"] for tool in body["tools"]] == ["get_weather", "other"]


async def test_a_result_without_its_call_is_refused(vendor: Vendor) -> None:
    items = [{"role": "user", "content": "Hi"}, {"type": "function_call_output", "call_id": "c9", "output": "x"}]
    await refused(vendor, field="input[1].call_id", input=items)


@pytest.mark.parametrize(
    ("tool", "strict"),
    [
        ({"strict": True}, True),
        ({"strict": False}, False),
        ({"strict": None, "parameters": {**WEATHER["parameters"], "additionalProperties": False}}, True),  # type: ignore[dict-item]
        ({"strict": None}, False),
    ],
    ids=["strict", "not", "closed", "open"],
)
async def test_a_function_is_strict_unless_it_says_otherwise_or_cannot_be(
    vendor: Vendor, tool: dict[str, Any], strict: bool
) -> None:
    body = await ask(vendor, tools=[{**WEATHER, **tool}])
    assert body["tools"][0]["strict"] is strict
    assert bool(sent(vendor)["tools"][0]["function"].get("strict")) is strict


@every_model
async def test_P07_a_custom_tool_is_a_function_of_one_string_and_called_as_itself(vendor: Vendor, model: str) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "begin"'}
    tool = {"type": "custom", "name": "apply_patch", "description": "Patches files", "format": grammar}
    script(vendor, Saying((Call("c1", "apply_patch", {"input": "*** Begin\n"}),), "tools"))
    whole = await ask(vendor, model, tools=[tool])
    told = json.dumps(sent(vendor))
    assert "Patches files" in told
    assert 'start: \\\\\\"begin\\\\\\"' in told or 'start: \\"begin\\"' in told
    (call,) = whole["output"]
    assert call == {
        "id": call["id"],
        "type": "custom_tool_call",
        "call_id": "c1",
        "name": "apply_patch",
        "input": "*** Begin\n",
    }
    assert call["id"].startswith("ctc_")
    events = await stream(vendor, model, tools=[tool])
    assert [event["input"] for event in events if event["type"].endswith("input.done")] == ["*** Begin\n"]
    script(vendor, Saying())
    result = {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"}
    await ask(vendor, model, tools=[tool], input=[{"role": "user", "content": "Patch"}, call, result])
    assert "*** Begin" in json.dumps(sent(vendor))
    assert "Done" in json.dumps(sent(vendor))


async def test_tools_of_a_namespace_are_flattened_and_called_with_it(vendor: Vendor) -> None:
    space = {"type": "namespace", "name": "mcp__files", "description": "Files", "tools": [WEATHER]}
    script(vendor, Saying((Call("c1", "mcp__files__get_weather", {"city": "Rome"}),), "tools"))
    body = await ask(vendor, tools=[space, {**WEATHER, "name": "plain"}])
    assert [tool["function"]["name"] for tool in sent(vendor)["tools"]] == ["mcp__files__get_weather", "plain"]
    (call,) = body["output"]
    assert (call["namespace"], call["name"]) == ("mcp__files", "get_weather")
    result = {"type": "function_call_output", "call_id": "c1", "output": "Sunny"}
    script(vendor, Saying())
    await ask(vendor, tools=[space], input=[{"role": "user", "content": "?"}, call, result])
    (made,) = sent(vendor)["messages"][1]["tool_calls"]
    assert made["function"]["name"] == "mcp__files__get_weather"


async def test_additional_tools_are_added_by_an_item(vendor: Vendor) -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [WEATHER]}
    await ask(vendor, input=[{"role": "user", "content": "Hi"}, item])
    assert [tool["function"]["name"] for tool in sent(vendor)["tools"]] == ["get_weather"]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "image_generation"},
        {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example", "authorization": "hidden"},
        {"type": "something_new"},
    ],
    ids=lambda tool: tool["type"],
)
@every_model
async def test_P08_a_vendors_own_tool_is_refused_elsewhere_by_name(
    vendor: Vendor, model: str, tool: dict[str, Any]
) -> None:
    message = await refused(vendor, "unsupported", "tools", model=model, tools=[tool])
    assert tool["type"] in message
    assert vendor.requests == []


async def test_P08_a_web_search_that_is_merely_offered_is_left_out_and_a_forced_one_refused(vendor: Vendor) -> None:
    body = await ask(vendor, tools=[{"type": "web_search"}, WEATHER])
    assert [tool["function"]["name"] for tool in sent(vendor)["tools"]] == ["get_weather"]
    assert body["tools"][0] == {"type": "web_search"}
    limited = {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}
    for search, field in (({"type": "web_search"}, None), (limited, "tools")):
        told = await vendor.client.post(RESPONSES, json={"model": OPENAI, "input": "Hi", "tools": [search]})
        assert told.headers["x-gateway-left-out"] == "web_search"
        await refused(vendor, "unsupported", field, tools=[search], tool_choice={"type": "web_search"})


async def test_P08_a_web_search_goes_to_a_vendor_that_has_one(vendor: Vendor) -> None:
    await ask(vendor, ANTHROPIC, tools=[{"type": "web_search", "search_context_size": "low"}])
    assert "web_search" in json.dumps(sent(vendor)["tools"])


async def test_P08_an_offered_web_search_is_left_out_where_it_cannot_be_with_other_tools(vendor: Vendor) -> None:
    script(vendor, Saying())
    await ask(vendor, GEMINI, tools=[{"type": "web_search"}, WEATHER])
    assert [*sent(vendor)["tools"][0]] == ["functionDeclarations"]
    assert len(sent(vendor)["tools"]) == 1
    await ask(vendor, GEMINI, tools=[{"type": "web_search"}])
    assert [*sent(vendor)["tools"][0]] != ["functionDeclarations"]


# ---- Reasoning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", [DEEPSEEK, ANTHROPIC, GEMINI])
async def test_P09_thoughts_and_signatures_survive_a_tool_round(vendor: Vendor, model: str, streamed: bool) -> None:
    parts = (
        Thought("I should look.", "sig-1" if model == ANTHROPIC else None),
        Call("c1", "get_weather", {"city": "Rome"}, "sig-2" if model == GEMINI else None),
    )
    script(vendor, Saying(parts, "tools"), Saying())
    asked = {"tools": [WEATHER], "store": False, "reasoning": {"effort": "high"}}
    if streamed:
        output = (await stream(vendor, model, **asked))[-1]["response"]["output"]
    else:
        output = (await ask(vendor, model, **asked))["output"]
    thought, call = output
    assert "sig-" not in json.dumps(output)
    assert thought["encrypted_content"]
    told = {**thought, "summary": [{"type": "summary_text", "text": "Forged."}], "content": []}
    result = {"type": "function_call_output", "call_id": "c1", "output": "Sunny"}
    await ask(vendor, model, **asked, input=[{"role": "user", "content": "Hello"}, told, call, result])
    request = sent(vendor)
    assert "Forged" not in json.dumps(request)
    if model == ANTHROPIC:
        assert request["messages"][1]["content"] == [
            {"type": "thinking", "thinking": "I should look.", "signature": "sig-1"},
            {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Rome"}},
        ]
    elif model == GEMINI:
        (made,) = [part for part in request["contents"][1]["parts"] if "functionCall" in part]
        assert made["thoughtSignature"] == "sig-2"
    else:
        assert request["messages"][1]["reasoning_content"] == "I should look."


@pytest.mark.parametrize("change", ["altered", "cut", "foreign"])
async def test_P09_an_altered_thought_is_not_used(vendor: Vendor, change: str) -> None:
    script(vendor, Saying((Thought("I should look.", "sig-1"), "Hello")), Saying())
    thought, message = (await ask(vendor, ANTHROPIC, reasoning={"effort": "high"}))["output"]
    token: str = thought["encrypted_content"]
    middle = len(token) // 2
    tokens = {
        "altered": token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :],
        "cut": token[:-4],
        "foreign": "gAAAAABpM0Yj",
    }
    items = [{"role": "user", "content": "Hi"}, {**thought, "encrypted_content": tokens[change]}, message]
    await ask(vendor, ANTHROPIC, reasoning={"effort": "high"}, input=[*items, {"role": "user", "content": "Go on"}])
    assert "sig-1" not in json.dumps(sent(vendor))
    assert "Hello" in json.dumps(sent(vendor))


@pytest.mark.parametrize("later", MODELS)
@pytest.mark.parametrize("earlier", MODELS)
async def test_P10_a_history_made_by_another_vendors_model_works(vendor: Vendor, earlier: str, later: str) -> None:
    parts = (
        Thought("I should look.", "sig-1" if earlier == ANTHROPIC else None),
        "One moment.",
        Call("c1", "get_weather", {"city": "Rome"}, "sig-2" if earlier == GEMINI else None),
    )
    script(vendor, Saying(parts, "tools"), Saying())
    output = (await ask(vendor, earlier, tools=[WEATHER]))["output"]
    result = {"type": "function_call_output", "call_id": "c1", "output": "Sunny"}
    history = [{"role": "user", "content": "Hello"}, *output, {"type": "web_search_call", "id": "ws_1"}, result]
    assert (await ask(vendor, later, tools=[WEATHER], input=history))["status"] == "completed"
    told = json.dumps(sent(vendor))
    assert "One moment." in told
    assert "Sunny" in told
    assert ("sig-1" in told, "sig-2" in told) == (earlier == later == ANTHROPIC, earlier == later == GEMINI)


# ---- Formats and media -----------------------------------------------------------------------------------------------


async def test_P11_formats_and_verbosity_reach_the_provider(vendor: Vendor) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "name": "thing", "schema": schema, "strict": True}
    body = await ask(vendor, ANTHROPIC, text={"format": wanted})
    assert "additionalProperties" in json.dumps(sent(vendor))
    assert body["text"]["format"] == wanted
    await ask(vendor, OPENAI, text={"format": {"type": "json_object"}})
    assert sent(vendor)["response_format"] == {"type": "json_object"}
    await ask(vendor, OPENAI, text={"format": {"type": "text"}, "verbosity": "low"})
    assert "response_format" not in sent(vendor)


@pytest.mark.parametrize("source", ["url", "data", "file"])
@pytest.mark.parametrize("kind", ["input_image", "input_file"])
async def test_P12_images_and_files_come_by_url_data_and_stored_file(vendor: Vendor, kind: str, source: str) -> None:
    is_image = kind == "input_image"
    encoded, media_type = (PNG, "image/png") if is_image else (PDF, "application/pdf")
    url = "https://media.example/a"
    data = f"data:{media_type};base64,{encoded}"
    match source:
        case "url":
            part = {"image_url" if is_image else "file_url": url}
        case "data":
            part = {"image_url": data} if is_image else {"file_data": data, "filename": "a.pdf"}
        case _:
            files = {"file": ("a.pdf", base64.b64decode(encoded), media_type)}
            stored = await vendor.client.post("/v1/files", data={"purpose": "user_data"}, files=files)
            part = {"file_id": stored.json()["id"]}
    content = [{"type": "input_text", "text": "What is this?"}, {"type": kind, **part}]
    await ask(vendor, ANTHROPIC, input=[{"role": "user", "content": content}])
    told = json.dumps(sent(vendor))
    assert (url if source == "url" else encoded) in told


@pytest.mark.parametrize("kind", ["input_image", "input_file"])
async def test_P12_urls_that_nobody_may_fetch_are_refused_for_every_vendor(vendor: Vendor, kind: str) -> None:
    name = "image_url" if kind == "input_image" else "file_url"
    content = [{"type": "input_text", "text": "What is this?"}, {"type": kind, name: "https://10.0.0.1:22/a"}]
    for model in ("gpt-5", ANTHROPIC):
        body = {"model": model, "input": [{"role": "user", "content": content}]}
        assert_error(await vendor.client.post(RESPONSES, json=body), "validation", field=f"input[0].content[1].{name}")
    assert vendor.requests == []


async def test_P12_a_file_of_text_is_read(vendor: Vendor) -> None:
    part = {"type": "input_file", "file_data": "data:text/plain;base64,SGVsbG8gd29ybGQ=", "filename": "a.txt"}
    await ask(vendor, input=[{"role": "user", "content": [part]}])
    assert "Hello world" in json.dumps(sent(vendor))


async def test_P12_a_file_of_text_in_a_tools_result_is_read(vendor: Vendor) -> None:
    part = {"type": "input_file", "file_data": "SGVsbG8gd29ybGQ=", "filename": "a.txt"}
    items = [
        {"role": "user", "content": "Read"},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [part]},
    ]
    await ask(vendor, input=items)
    assert sent(vendor)["messages"][-1]["content"] == "a.txt:\nHello world"


@pytest.mark.parametrize(
    ("items", "named"),
    [
        ([{"role": "user", "content": [{"type": "input_file", "file_data": "0M8R4KGxGuE="}]}], "input_file"),
        ([{"role": "user", "content": [{"type": "input_video", "video": "x"}]}], "input_video"),
        ([{"role": "user", "content": "Hi"}, {"type": "shell_call_output", "call_id": "c"}], "shell_call_output"),
        ([{"role": "user", "content": "Hi"}, {"type": "compaction", "encrypted_content": "x"}], "compaction"),
    ],
    ids=["file", "part", "output", "compaction"],
)
async def test_what_only_openai_understands_is_refused_elsewhere_by_name(
    vendor: Vendor, items: list[dict[str, Any]], named: str
) -> None:
    assert named in await refused(vendor, "unsupported", "tools", model=ANTHROPIC, input=items)


async def test_P12_a_file_that_is_not_stored_is_named(vendor: Vendor) -> None:
    part = {"type": "input_image", "file_id": "file-nothing"}
    await refused(vendor, field="input[0].content[0].file_id", input=[{"role": "user", "content": [part]}])


# ---- Usage and endings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        (OPENAI, {"cached": 4, "reasoning": 3}, (11, 4, 0, 5, 3)),
        (ANTHROPIC, {"cached": 4, "written": 2}, (17, 4, 2, 5, 0)),
        (GEMINI, {"cached": 4}, (11, 4, 0, 5, 0)),
    ],
)
async def test_P13_usage_has_cached_written_and_reasoning_tokens(
    vendor: Vendor, model: str, usage: dict[str, int], expected: tuple[int, ...]
) -> None:
    script(vendor, Saying(usage=usage))
    for told in ((await ask(vendor, model))["usage"], (await stream(vendor, model))[-1]["response"]["usage"]):
        assert (
            told["input_tokens"],
            told["input_tokens_details"]["cached_tokens"],
            told["input_tokens_details"]["cache_write_tokens"],
            told["output_tokens"],
            told["output_tokens_details"]["reasoning_tokens"],
        ) == expected
        assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"]


@pytest.mark.parametrize(("ending", "reason"), [("length", "max_output_tokens"), ("filter", "content_filter")])
@every_model
async def test_P14_an_answer_that_is_cut_is_incomplete(vendor: Vendor, model: str, ending: str, reason: str) -> None:
    script(vendor, Saying(ending=ending))
    body = await ask(vendor, model, max_output_tokens=20)
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert body["output"][-1]["status"] == "incomplete"
    events = await stream(vendor, model, max_output_tokens=20)
    assert events[-1]["type"] == "response.incomplete"


async def test_P14_max_output_tokens_above_the_models_maximum_are_lowered(vendor: Vendor) -> None:
    answer = await vendor.client.post(
        RESPONSES, json={"model": ANTHROPIC, "input": "Hello", "max_output_tokens": 9_000_000}
    )
    most = sent(vendor)["max_tokens"]
    assert most < 9_000_000
    assert answer.headers["x-gateway-max-tokens"] == str(most)


async def test_P15_a_failure_before_the_first_event_has_its_real_status(vendor: Vendor) -> None:
    vendor.answer = lambda request: httpx.Response(500)
    for streamed in (False, True):
        answer = await vendor.client.post(RESPONSES, json={"model": OPENAI, "input": "Hello", "stream": streamed})
        assert_error(answer, "upstream")
    vendor.answer = raising(httpx.ReadTimeout("late"))
    answer = await vendor.client.post(RESPONSES, json={"model": OPENAI, "input": "Hello", "stream": True})
    assert_error(answer, "timeout")
    unknown = await vendor.client.post(RESPONSES, json={"model": "nothing", "input": "Hello"})
    assert_error(unknown, "model_not_found")


async def test_P15_a_failure_after_the_first_event_is_told_in_the_stream(vendor: Vendor) -> None:
    vendor.answer = breaking(httpx.ReadError("gone"))
    events = await stream(vendor)
    error, failed = events[-2:]
    assert (error["type"], error["code"]) == ("error", "upstream_error")
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": error["message"]}
    assert failed["response"]["output"][0]["content"][0]["text"] == "Hello"


async def test_P15_a_failure_after_the_status_was_sent_is_a_whole_failed_stream(keys: KeyStore) -> None:
    released = asyncio.Event()

    async def late(request: httpx.Request) -> httpx.Response:
        await released.wait()
        return httpx.Response(500)

    async with every_vendor(keys, {"GATEWAY_FIRST_EVENT_WAIT": "0"}) as vendor:
        vendor.answer = late
        asyncio.get_running_loop().call_later(0.05, released.set)
        events = await stream(vendor)
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "error",
        "response.failed",
    ]


async def test_P20_input_tokens_are_counted(vendor: Vendor) -> None:
    counts = []
    for text in ("Hello", "Hello " * 300):
        answer = await vendor.client.post("/v1/responses/input_tokens", json={"model": OPENAI, "input": text})
        assert answer.status_code == 200
        assert answer.json()["object"] == "response.input_tokens"
        counts.append(answer.json()["input_tokens"])
    assert counts[0] > 0
    assert counts[1] > 100 * counts[0]
    assert vendor.requests == []


async def test_compaction_is_refused_where_the_vendor_has_none(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/responses/compact", json={"model": SANDBOX, "input": "Hello"})
    assert_error(answer, "unsupported", field="model")
