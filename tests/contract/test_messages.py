"""The messages dialect over HTTP: M01 to M22 of the contract, but for the SDK (M20) and agents (M21)."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from anthropic.types import ModelInfo
from pydantic import TypeAdapter

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import TOKEN, gateway_client
from tests.contract import messages as wire
from tests.contract.accounts import account
from tests.contract.all_vendors import CONTENT, MESSAGE, answering, hello, streaming
from tests.contract.messages import CLAUDE, DEEPSEEK, ENVIRONMENT, GEMINI, GPT, HOST, PATH, WEATHER, asking, turn
from tests.contract.vendor import HEAD, USAGE, Vendor

pytestmark = pytest.mark.anyio

EVERY_VENDOR = [CLAUDE, DEEPSEEK, GPT, GEMINI]


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    """All vendors in one, with the gateway in front of them as its `client`."""
    vendor = Vendor(says(text("Hello there")))
    async with gateway_client(keys, {**ENVIRONMENT, "GATEWAY_SANDBOX": "on"}, vendor) as vendor.client:
        yield vendor


# ---- What the vendors say, in each of their wires --------------------------------------------------------------------


def text(value: str) -> dict[str, Any]:
    return {"text": value}


def thought(value: str) -> dict[str, Any]:
    return {"thought": value}


def call(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"call": call_id, "name": name, "arguments": arguments}


def says(*parts: dict[str, Any]) -> Callable[[httpx.Request], httpx.Response]:
    """A vendor of any wire that answers with these parts, whole or streamed as it is asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        match request.url.path.split("/")[1]:
            case "anthropic":
                body, stream = claude(parts)
                return (streaming(*stream) if asked.get("stream") else answering(body))(request)
            case "gemini":
                body, stream = gemini(parts)
                return (streaming(*stream) if "stream" in request.url.path else answering(body))(request)
            case _:
                body, stream = openai(parts)
                return (streaming(*stream, done=True) if asked.get("stream") else answering(body))(request)

    return answer


def claude(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    content: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**MESSAGE, "content": []}}]
    for at, part in enumerate(parts):
        match part:
            case {"text": value}:
                block = {"type": "text", "text": value}
                begun, delta = {**block, "text": ""}, {"type": "text_delta", "text": value}
            case {"thought": value}:
                block = {"type": "thinking", "thinking": value, "signature": ""}
                begun, delta = {**block, "thinking": ""}, {"type": "thinking_delta", "thinking": value}
            case {"call": call_id, "name": name, "arguments": arguments}:
                block = {"type": "tool_use", "id": call_id, "name": name, "input": arguments}
                begun, delta = (
                    {**block, "input": {}},
                    {"type": "input_json_delta", "partial_json": json.dumps(arguments)},
                )
        content.append(block)
        events += [
            {"type": "content_block_start", "index": at, "content_block": begun},
            {"type": "content_block_delta", "index": at, "delta": delta},
            {"type": "content_block_stop", "index": at},
        ]
    reason = "tool_use" if "call" in parts[-1] else "end_turn"
    events += [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]
    return {**MESSAGE, "content": content, "stop_reason": reason}, [(event["type"], event) for event in events]


def openai(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], list[Any]]:
    deltas: list[dict[str, Any]] = []
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for part in parts:
        match part:
            case {"text": value}:
                message["content"] += value
                deltas += [{"content": piece} for piece in (value[:2], value[2:])]
            case {"thought": value}:
                message["reasoning_content"] = value
                deltas.append({"reasoning_content": value})
            case {"call": call_id, "name": name, "arguments": arguments}:
                calls = message.setdefault("tool_calls", [])
                function = {"name": name, "arguments": json.dumps(arguments)}
                calls.append({"id": call_id, "type": "function", "function": function})
                deltas.append({"tool_calls": [{"index": len(calls) - 1, **calls[-1]}]})
    reason = "tool_calls" if "tool_calls" in message else "stop"
    body = {
        **HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": USAGE,
    }
    chunk = {**HEAD, "object": "chat.completion.chunk"}
    chunks = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return body, [*chunks, last, {**chunk, "choices": [], "usage": USAGE}]


def gemini(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], list[Any]]:
    pieces: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case {"text": value}:
                pieces.append({"text": value})
            case {"thought": value}:
                pieces.append({"text": value, "thought": True})
            case {"call": call_id, "name": name, "arguments": arguments}:
                called = {"id": call_id, "name": name, "args": arguments}
                pieces.append({"functionCall": called, "thoughtSignature": "c2lnbmVk"})
    finished = {"content": {"role": "model", "parts": pieces}, "finishReason": "STOP"}
    frames = [{"candidates": [{"content": {"role": "model", "parts": [piece]}}]} for piece in pieces[:-1]]
    last = {"content": {"role": "model", "parts": pieces[-1:]}, "finishReason": "STOP"}
    return {**CONTENT, "candidates": [finished]}, [*frames, {**CONTENT, "candidates": [last]}]


ANSWERS = {
    "text": (text("Hello there"),),
    "thought": (thought("Let me see."), text("Hello there")),
    "calls": (text("I look."), call("call_1", "get_weather", city="Paris"), call("call_2", "get_weather", city="Rome")),
    "thought and call": (thought("I must look."), call("call_1", "get_weather", city="Paris")),
}


def assert_error(response: httpx.Response, status: int, kind: str, words: str = "") -> str:
    """That an answer is this error in Anthropic's shape and nothing more; gives its message."""
    assert response.status_code == status, response.text
    body = response.json()
    message: str = body["error"]["message"]
    request_id = response.headers["request-id"]
    assert request_id == response.headers["x-request-id"]
    assert body == {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    assert words in message
    return message


# ---- Answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["sandbox/chat", *EVERY_VENDOR])
async def test_M01_M04_M05_every_model_answers_whole_and_streamed_alike(vendor: Vendor, model: str) -> None:
    answer = wire.whole(await vendor.client.post(PATH, json=asking(model)))
    events = wire.bodies(await vendor.client.post(PATH, json=asking(model, stream=True)))
    assert wire.folded(events) == answer
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", model)
    assert answer["stop_reason"] == "end_turn"


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("model", EVERY_VENDOR)
async def test_M05_a_folded_stream_is_the_whole_answer(vendor: Vendor, model: str, answer: str) -> None:
    vendor.answer = says(*ANSWERS[answer])
    body = asking(model, tools=[WEATHER])
    events = wire.bodies(await vendor.client.post(PATH, json={**body, "stream": True}))
    unsealed = [
        without_seals(found) for found in (wire.folded(events), wire.whole(await vendor.client.post(PATH, json=body)))
    ]
    assert unsealed[0] == unsealed[1]
    blocks = [block["type"] for block in unsealed[0]["content"] if block["type"] != "redacted_thinking"]
    kinds = {"text": "text", "thought": "thinking", "call": "tool_use"}
    assert blocks == [kinds[next(iter(part))] for part in ANSWERS[answer]]


def without_seals(message: dict[str, Any]) -> dict[str, Any]:
    """The message with each seal as what it is: no two seals of the same are alike."""
    for block in message["content"]:
        for field in ("signature", "data"):
            if block.get(field, "").startswith("gw1_"):
                block[field] = "sealed"
    return message


@pytest.mark.parametrize("model", EVERY_VENDOR)
async def test_M04_events_come_in_their_order(vendor: Vendor, model: str) -> None:
    vendor.answer = says(*ANSWERS["calls"])
    response = await vendor.client.post(PATH, json=asking(model, stream=True, tools=[WEATHER]))
    names = [event.event for event in wire.named_events(response)]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    open_block, blocks = None, 0
    for body in wire.bodies(response)[1:-2]:
        match body["type"]:
            case "content_block_start":
                assert open_block is None
                assert body["index"] == blocks
                open_block = body["index"]
            case "content_block_delta":
                assert body["index"] == open_block
            case "content_block_stop":
                assert body["index"] == open_block
                open_block, blocks = None, blocks + 1
    assert open_block is None
    assert blocks >= 3
    if model != CLAUDE:
        assert names[2] == "ping"


async def test_M06_a_stream_tells_the_input_tokens_at_its_start_where_the_vendor_does(vendor: Vendor) -> None:
    for model, tokens in ((CLAUDE, 11), (GPT, 0)):
        (start, *_, last, _) = wire.bodies(await vendor.client.post(PATH, json=asking(model, stream=True)))
        assert start["message"]["usage"]["input_tokens"] == tokens
        assert last["usage"]["output_tokens"] == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_M12_usage_keeps_cache_reads_and_writes_apart(vendor: Vendor, stream: bool) -> None:
    usage = {**USAGE, "prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 50}}
    body, chunks = openai((text("Hi"),))
    whole, streamed = {**body, "usage": usage}, [*chunks[:-1], {**chunks[-1], "usage": usage}]
    vendor.answer = streaming(*streamed, done=True) if stream else answering(whole)
    response = await vendor.client.post(PATH, json=asking(GPT, stream=stream))
    told = wire.folded(wire.bodies(response))["usage"] if stream else wire.whole(response)["usage"]
    assert told["input_tokens"] == 20
    assert told["cache_read_input_tokens"] == 30
    assert told["cache_creation_input_tokens"] == 50


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")]
)
async def test_M11_the_answer_says_why_it_ends(vendor: Vendor, finish: str, reason: str, stream: bool) -> None:
    body, chunks = openai((text("Hi"),))
    body["choices"][0]["finish_reason"] = chunks[-2]["choices"][0]["finish_reason"] = finish
    vendor.answer = streaming(*chunks, done=True) if stream else answering(body)
    response = await vendor.client.post(PATH, json=asking(DEEPSEEK, stream=stream))
    message = wire.folded(wire.bodies(response)) if stream else wire.whole(response)
    assert message["stop_reason"] == reason
    assert ("stop_details" in message) == (reason == "refusal")


@pytest.mark.parametrize("stream", [False, True])
async def test_M11_the_answer_says_at_which_stop_sequence_it_ends(vendor: Vendor, stream: bool) -> None:
    # This model refuses stop sequences, so that the gateway cuts the text itself.
    vendor.answer = says(text("One END two"))
    body = asking("gpt-6-sol", stop_sequences=["STOP", "END"], stream=stream)
    response = await vendor.client.post(PATH, json=body)
    message = wire.folded(wire.bodies(response)) if stream else wire.whole(response)
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    assert message["content"] == [{"type": "text", "text": "One "}]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_text_and_the_reason_of_the_end(vendor: Vendor, stream: bool) -> None:
    body, chunks = openai((text(""),))
    body["choices"][0]["message"] |= {"content": None, "refusal": "I cannot."}
    chunks[0]["choices"][0]["delta"] = {"refusal": "I cannot."}
    vendor.answer = streaming(*chunks, done=True) if stream else answering(body)
    response = await vendor.client.post(PATH, json=asking(GPT, stream=stream))
    message = wire.folded(wire.bodies(response)) if stream else wire.whole(response)
    assert message["content"] == [{"type": "text", "text": "I cannot."}]
    assert message["stop_reason"] == "refusal"
    assert message["stop_details"]["explanation"] == "I cannot."


async def test_parallel_calls_whose_fragments_interleave_become_blocks_one_after_the_other(vendor: Vendor) -> None:
    def fragment(index: int, **fields: Any) -> dict[str, Any]:
        delta = {"tool_calls": [{"index": index, **fields}]}
        return {**HEAD, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}

    def begun(index: int) -> dict[str, Any]:
        return fragment(index, id=f"c{index}", type="function", function={"name": "get_weather", "arguments": ""})

    _, chunks = openai((call("x", "y"),))
    vendor.answer = streaming(
        begun(0),
        begun(1),
        fragment(1, function={"arguments": '{"city":'}),
        fragment(0, function={"arguments": '{"city": "Paris"}'}),
        begun(2),
        fragment(1, function={"arguments": ' "Rome"}'}),
        *chunks[1:],
        done=True,
    )
    message = wire.folded(wire.bodies(await vendor.client.post(PATH, json=asking(GPT, stream=True, tools=[WEATHER]))))
    assert [(block["id"], block["input"]) for block in message["content"]] == [
        ("c0", {"city": "Paris"}),
        ("c1", {"city": "Rome"}),
        ("c2", {}),
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_sources_are_citations_of_the_text(vendor: Vendor, stream: bool) -> None:
    body, chunks = openai((text("It is so."),))
    cited = {"start_index": 0, "end_index": 5, "url": "https://a.example/", "title": "A"}
    annotation = {"type": "url_citation", "url_citation": cited}
    body["choices"][0]["message"]["annotations"] = [annotation]
    chunks[1]["choices"][0]["delta"]["annotations"] = [annotation]
    vendor.answer = streaming(*chunks, done=True) if stream else answering(body)
    response = await vendor.client.post(PATH, json=asking(DEEPSEEK, stream=stream))
    (block,) = (wire.folded(wire.bodies(response)) if stream else wire.whole(response))["content"]
    (citation,) = block["citations"]
    assert (citation["url"], citation["title"]) == ("https://a.example/", "A")
    # An Anthropic model could not find the source by it, and would refuse the request.
    vendor.answer = says(text("Yes"))
    history = [{"role": "user", "content": "So?"}, turn(block), {"role": "user", "content": "Sure?"}]
    await sent(vendor, asking(CLAUDE, messages=history))
    assert vendor.sent["messages"][1] == turn({"type": "text", "text": "It is so."})


async def sent(vendor: Vendor, body: dict[str, Any], **headers: str) -> Any:
    """What reaches the vendor of a request that is answered."""
    vendor.requests.clear()
    response = await vendor.client.post(PATH, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return vendor.sent


# ---- Requests to other vendors' models -------------------------------------------------------------------------------

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
CACHED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


async def test_M07_system_is_a_string_or_blocks_and_turns_among_the_messages(vendor: Vendor) -> None:
    user = {"role": "user", "content": "Hello"}
    blocks = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", **CACHED}]
    for system, expected in (("Be brief.", "Be brief."), (blocks, "Be brief.\n\nBe kind.")):
        body = await sent(vendor, asking(DEEPSEEK, system=system))
        assert body["messages"][0] == {"role": "system", "content": expected}
    late = [{"role": "system", "content": "First."}, user, {"role": "system", "content": [blocks[0]]}, user]
    body = await sent(vendor, asking(DEEPSEEK, messages=late))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "system", "user"]
    assert body["messages"][0]["content"] == "First."


async def test_M08_tools_their_calls_and_their_results_reach_every_vendor(vendor: Vendor) -> None:
    result = [
        {"type": "text", "text": "22 degrees"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "tool_reference", "tool_name": "get_time"},
    ]
    messages = [
        {"role": "user", "content": "Weather in Paris and Rome?"},
        turn(
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}},
            {"type": "tool_use", "id": "call_2", "name": "get_weather", "input": {"city": "Rome"}},
        ),
        turn(
            {"type": "tool_result", "tool_use_id": "call_1", "content": result},
            {"type": "tool_result", "tool_use_id": "call_2", "content": "no such city", "is_error": True},
            {"type": "text", "text": "And now?"},
            role="user",
        ),
    ]
    choice = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
    asked = asking(messages=messages, tools=[{**WEATHER, "defer_loading": True}], tool_choice=choice)
    body = await sent(vendor, {**asked, "model": GPT})
    assert body["tools"][0]["function"]["parameters"]["properties"] == WEATHER["input_schema"]["properties"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert body["parallel_tool_calls"] is False
    first, second = [message for message in body["messages"] if message["role"] == "tool"]
    assert first == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "22 degrees\nThe tool get_time is available.",
    }
    assert "no such city" in second["content"]
    assert "fail" in second["content"]
    assert "image_url" in json.dumps(body["messages"][-1])
    body = await sent(vendor, {**asked, "model": GEMINI})
    parts = [part for each in body["contents"] for part in each["parts"]]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    assert [result["name"] for result in results] == ["get_weather", "get_weather"]
    assert results[0]["response"] == {"output": "22 degrees\nThe tool get_time is available."}
    assert results[1]["response"] == {"error": "no such city"}


async def test_M10_images_and_documents_in_every_form_reach_other_vendors(vendor: Vendor) -> None:
    documents = [
        {"type": "image", "source": {"type": "url", "url": "https://a.example/cat.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}, "title": "a"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Plain"}, "title": 'B"&<'},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Pieces"}]}},
        {"type": "document", "source": {"type": "content", "content": "Whole"}, "context": "from a book"},
        {
            "type": "search_result",
            "source": "https://a.example/",
            "title": "Found",
            "content": [{"type": "text", "text": "There it is."}],
        },
    ]
    body = await sent(vendor, asking(GPT, documents))
    content = body["messages"][0]["content"]
    assert content[0]["image_url"]["url"] == "https://a.example/cat.png"
    assert content[1]["file"] == {"filename": "a", "file_data": f"data:application/pdf;base64,{PDF}"}
    assert [part["text"] for part in content[2:]] == [
        '<document title="B&quot;&amp;&lt;">\nPlain\n</document>',
        "<document>\nPieces\n</document>",
        '<document context="from a book">\nWhole\n</document>',
        '<search_result source="https://a.example/" title="Found">\nThere it is.\n</search_result>',
    ]


@pytest.mark.parametrize("field", ["data", "url"])
async def test_M10_media_that_is_not_what_it_should_be_is_refused(vendor: Vendor, field: str) -> None:
    source = {
        "data": {"type": "base64", "media_type": "image/png", "data": PDF},
        "url": {"type": "url", "url": "ftp:x"},
    }
    response = await vendor.client.post(PATH, json=asking(GPT, [{"type": "image", "source": source[field]}]))
    assert_error(response, 400, "invalid_request_error", f"messages[0].content[0].source.{field}: ")


async def test_M22_cache_points_reach_the_vendors_that_have_them(vendor: Vendor) -> None:
    body = asking("openrouter/some-model", [{"type": "text", "text": "Long", **CACHED}])
    assert (await sent(vendor, body))["messages"][0]["content"][0]["cache_control"] == {
        "type": "ephemeral",
        "ttl": "1h",
    }
    # And from OpenAI's dialect to Anthropic, where a cache key is a cache point at the end.
    chat = {"model": CLAUDE, "messages": [{"role": "user", "content": "Hello"}], "prompt_cache_key": "k"}
    vendor.requests.clear()
    await vendor.client.post("/v1/chat/completions", json=chat)
    assert vendor.sent["cache_control"] == {"type": "ephemeral"}


async def test_M17_knobs_that_a_vendor_lacks_are_left_out_and_others_reach_it(vendor: Vendor) -> None:
    knobs = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u" * 200},
        "service_tier": "auto",
        "speed": "fast",
        "context_management": {"edits": [{"type": "compact_20260112"}]},
        "diagnostics": {"previous_message_id": None},
        "thread": {"type": "create"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": WEATHER["input_schema"]}},
        "thinking": {"type": "adaptive", "display": "summarized"},
        "fallbacks": [{"model": "claude-haiku-4-5"}],
        "something_new": True,
    }
    body = await sent(vendor, asking(DEEPSEEK, **knobs))
    assert body.keys() == {
        *("model", "messages", "max_tokens", "temperature", "top_p", "stop", "user", "response_format"),
    }
    assert (body["temperature"], body["top_p"], body["stop"]) == (0.5, 0.9, ["END"])
    assert len(body["user"]) == 64
    assert body["response_format"]["json_schema"]["schema"]["properties"] == {"city": {"type": "string"}}
    for thinking, effort in (
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "xhigh"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1500}}, "minimal"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
        ({"output_config": {"effort": "high"}}, "high"),
    ):
        assert (await sent(vendor, asking("gpt-6-sol", **thinking)))["reasoning"]["effort"] in (effort, "low")
    body = await sent(vendor, asking(GEMINI, top_k=40))
    assert body["generationConfig"]["topK"] == 40


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
            "tools: 'web_fetch_20250910' is not supported",
        ),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools: 'bash_20250124'"),
        ({"mcp_servers": [{"type": "url", "url": "https://a.example/", "name": "a"}]}, "mcp_servers: "),
        ({"container": "c_1"}, "container: "),
        ({"inference_geo": "us"}, "inference_geo: "),
        ({"max_tokens": 0}, "max_tokens: '0"),
        ({"compaction": {}}, "compaction: "),
        ({"content": [{"type": "container_upload", "file_id": "f"}]}, "messages[0].content[0]: 'container_upload'"),
        (
            {"content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]},
            "messages[0].content[0].source: ",
        ),
        (
            {
                "content": [
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                        "citations": {"enabled": True},
                    }
                ]
            },
            "messages[0].content[0].citations: ",
        ),
        (
            {
                "tools": [{"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]}],
                "tool_choice": {"type": "tool", "name": "web_search"},
            },
            "tools: 'web_search_20250305 with a list of domains'",
        ),
    ],
)
@pytest.mark.parametrize("model", [DEEPSEEK, GPT, GEMINI])
async def test_M17_features_that_only_anthropic_has_are_refused_elsewhere(
    vendor: Vendor, model: str, fields: dict[str, Any], message: str
) -> None:
    response = await vendor.client.post(PATH, json=asking(model, **fields))
    assert_error(response, 400, "invalid_request_error", message)
    assert not vendor.requests


async def test_M17_Auto_chooses_among_the_models_that_have_the_feature(keys: KeyStore) -> None:
    vendor = Vendor(says(text("Hi")))
    container = asking("Auto", container="c")
    threaded = asking("Auto", messages=[], thread={"type": "continue", "previous_message_id": "msg_1"})
    elsewhere = {"STABILITY_API_KEY": "k", "DEEPINFRA_API_KEY": "k", "DEEPINFRA_BASE_URL": f"https://{HOST}/deepinfra"}
    async with gateway_client(keys, elsewhere, vendor) as client:
        response = await client.post(PATH, json=container)
        assert_error(response, 400, "invalid_request_error", "container: 'container' is not supported by any")
        # Anthropic's own tool runner then sends the whole conversation.
        response = await client.post(PATH, json=threaded)
        assert response.json()["error"]["details"] == {"error_code": "thread_not_found"}
        assert not vendor.requests
    async with gateway_client(keys, {**elsewhere, **ENVIRONMENT}, vendor) as client:
        response = await client.post(PATH, json=container)
        assert response.status_code == 200
        assert response.headers["x-gateway-backend"].startswith("anthropic/")


async def test_a_search_that_is_only_offered_is_left_out_where_there_is_none(vendor: Vendor) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    limited = {**search, "blocked_domains": ["a.example"]}
    finder = {"type": "tool_search_tool_regex_20251119", "name": "find"}
    for offered in ([search], [limited], [finder]):
        body = await sent(vendor, asking(DEEPSEEK, tools=[WEATHER, *offered], tool_choice={"type": "auto"}))
        assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather"]
        body = await sent(vendor, asking(GEMINI, tools=[WEATHER, *offered]))
        assert [tool.keys() for tool in body["tools"]] == [{"functionDeclarations"}]
    assert (await sent(vendor, asking(GEMINI, tools=[search])))["tools"] == [{"googleSearch": {}}]
    forced = asking(DEEPSEEK, tools=[search], tool_choice={"type": "any"})
    assert_error(await vendor.client.post(PATH, json=forced), 400, "invalid_request_error", "web search")


async def test_what_a_vendors_own_tools_have_made_is_left_out_of_the_history_elsewhere(vendor: Vendor) -> None:
    messages = [
        {"role": "user", "content": "Search"},
        turn(
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {"type": "text", "text": "Found.", "citations": [{"type": "web_search_result_location"}]},
        ),
        turn({"type": "compaction", "content": "We searched."}),
        {"role": "user", "content": "And?"},
    ]
    body = await sent(vendor, asking(DEEPSEEK, messages=messages))
    assert [message["content"] for message in body["messages"]] == ["Search", "Found.", "We searched.", "And?"]


async def test_max_tokens_above_the_models_maximum_is_lowered_and_told(vendor: Vendor) -> None:
    for stream in (False, True):
        response = await vendor.client.post(PATH, json=asking(GEMINI, max_tokens=128_000, stream=stream))
        assert response.headers["x-gateway-max-tokens"] == "65536"
    vendor.requests.clear()
    response = await vendor.client.post(
        PATH,
        json=asking("claude-haiku-4-5", max_tokens=128_000, thinking={"type": "enabled", "budget_tokens": 100_000}),
    )
    assert response.headers["x-gateway-max-tokens"] == "64000"
    assert vendor.sent["max_tokens"] == 64_000
    assert vendor.sent["thinking"] == {"type": "enabled", "budget_tokens": 63_999}
    assert "x-gateway-max-tokens" not in (await vendor.client.post(PATH, json=asking(GEMINI))).headers


# ---- Thoughts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("display", ["summarized", "omitted"])
@pytest.mark.parametrize("model", [GEMINI, DEEPSEEK])
async def test_M09_thoughts_of_any_vendor_survive_a_tool_round_sealed(
    vendor: Vendor, model: str, display: str, stream: bool
) -> None:
    vendor.answer = says(*ANSWERS["thought and call"])
    asked = asking(model, "Weather?", tools=[WEATHER], thinking={"type": "adaptive", "display": display})
    response = await vendor.client.post(PATH, json={**asked, "stream": stream})
    content = (wire.folded(wire.bodies(response)) if stream else wire.whole(response))["content"]
    assert content[0]["thinking"] == ("I must look." if display == "summarized" else "")
    assert content[0]["signature"].startswith("gw1_")
    assert "c2lnbmVk" not in json.dumps(content), "a caller cannot read a signature"
    result = turn({"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "22"}, role="user")
    history = [*asked["messages"], turn(*content), result]
    vendor.answer = says(text("22 degrees"))
    body = await sent(vendor, {**asked, "messages": history})
    if model == GEMINI:
        parts = body["contents"][1]["parts"]
        assert parts[0] == {"text": "I must look.", "thought": True}
        assert parts[1]["thoughtSignature"] == "c2lnbmVk"
    # Another vendor's model goes on without, Anthropic's too.
    body = await sent(vendor, {**asked, "model": GPT, "messages": history})
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
    body = await sent(vendor, {**asked, "model": CLAUDE, "messages": history})
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    # What has been altered is no thought of the model's.
    altered = json.loads(json.dumps(history).replace("gw1_", "gw1_A"))
    body = await sent(vendor, {**asked, "messages": altered})
    assert "I must look." not in json.dumps(body)


async def test_M09_a_text_that_the_client_has_altered_is_no_thought_of_the_models(vendor: Vendor) -> None:
    vendor.answer = says(*ANSWERS["thought"])
    answer = wire.whole(await vendor.client.post(PATH, json=asking(GEMINI)))
    answer["content"][0]["thinking"] = "Do something else."
    history = [{"role": "user", "content": "Hi"}, turn(*answer["content"]), {"role": "user", "content": "Go on"}]
    body = await sent(vendor, asking(GEMINI, messages=history))
    assert "Do something else." not in json.dumps(body)


async def test_M09_thinking_of_anthropics_reaches_its_models_as_it_came(vendor: Vendor) -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCgIYAhIM"},
        {"type": "redacted_thinking", "data": "EmwKAhgBEgy3"},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
    ]
    result = turn({"type": "tool_result", "tool_use_id": "toolu_1", "content": "22"}, role="user")
    messages = [{"role": "user", "content": "Weather?"}, turn(*blocks), result]
    body = await sent(vendor, asking(CLAUDE, messages=messages, tools=[WEATHER]))
    assert body["messages"] == messages
    body = await sent(vendor, asking(DEEPSEEK, messages=messages, tools=[WEATHER]))
    assert "EqQBCgIYAhIM" not in json.dumps(body)
    assert "EmwKAhgBEgy3" not in json.dumps(body)


# ---- The same wire ---------------------------------------------------------------------------------------------------


async def test_M16_a_request_reaches_an_anthropic_model_as_it_came(vendor: Vendor) -> None:
    body = asking(
        CLAUDE,
        [
            {"type": "block_of_tomorrow", "anything": [1, {"deep": None}], "cache_control": {"type": "ephemeral"}},
            {"type": "container_upload", "file_id": "file_1"},
            {"type": "image", "source": {"type": "file", "file_id": "file_2"}, "transformations": {"crop": True}},
            {"type": "text", "text": "Hello", **CACHED, "field_of_tomorrow": 1},
        ],
        system=[{"type": "text", "text": "Be brief.", **CACHED}],
        tools=[
            {**WEATHER, **CACHED, "defer_loading": True, "input_examples": [{"city": "Rome"}]},
            {"type": "tool_of_tomorrow_20270101", "name": "later", "depth": 3},
            {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]},
        ],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "high", "budget_of_tomorrow": 9},
        context_management={"edits": [{"type": "edit_of_tomorrow"}]},
        metadata={"user_id": "u" * 200},
        container={"id": "c_1", "skills": []},
        mcp_servers=[{"type": "url", "url": "https://a.example/", "name": "a"}],
        service_tier="auto",
        speed="fast",
        stop_sequences=["END"],
        thread={"type": "continue", "previous_message_id": "msg_1"},
        cache_control={"type": "ephemeral"},
        field_of_tomorrow={"a": [None]},
    )
    betas = {"anthropic-beta": "beta-of-tomorrow-2027-01-01,another", "anthropic-version": "2026-10-21"}
    assert await sent(vendor, body, **betas) == body
    (request,) = vendor.requests
    assert request.url.path == "/anthropic/v1/messages"
    assert {name: request.headers[name] for name in betas} == betas
    assert request.headers["x-api-key"] != TOKEN
    await sent(vendor, asking(CLAUDE))
    assert vendor.requests[0].headers["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in vendor.requests[0].headers


@pytest.mark.parametrize("stream", [False, True])
async def test_M16_what_an_anthropic_model_answers_comes_back_as_it_was(vendor: Vendor, stream: bool) -> None:
    block = {"type": "block_of_tomorrow", "anything": {"deep": [None]}}
    message = {**MESSAGE, "content": [block], "stop_reason": "reason_of_tomorrow", "field_of_tomorrow": 1}
    events = [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "field_of_tomorrow": 1}},
        {"type": "event_of_tomorrow", "anything": {"deep": [None]}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "delta_of_tomorrow", "x": 1}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2, "new": 1}},
        {"type": "message_stop"},
    ]
    vendor.answer = streaming(*[(event["type"], event) for event in events]) if stream else answering(message)
    response = await vendor.client.post(PATH, json=asking(CLAUDE, stream=stream))
    if not stream:
        assert response.json() == {**message, "model": CLAUDE}
        return
    events[0]["message"]["model"] = CLAUDE
    assert [json.loads(event.data) for event in wire.named_events(response)] == events
    assert [event.event for event in wire.named_events(response)] == [event["type"] for event in events]


async def test_M16_the_rules_of_the_model_behind_a_public_id_are_absorbed(vendor: Vendor) -> None:
    knobs = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    body = await sent(vendor, asking(CLAUDE, **knobs, thinking={"type": "enabled", "budget_tokens": 2000}))
    assert body == {**asking(CLAUDE), "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    haiku = asking("claude-haiku-4-5", max_tokens=4000, **knobs)
    assert await sent(vendor, haiku) == {name: value for name, value in haiku.items() if name != "top_p"}
    body = await sent(vendor, haiku, **{"anthropic-version": "2026-10-21"})
    assert body.keys().isdisjoint(knobs)
    thinking = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    body = await sent(vendor, {**haiku, **thinking})
    assert (body["thinking"], body["output_config"]) == ({"type": "enabled", "budget_tokens": 3000}, {})
    body = await sent(vendor, asking("claude-sonnet-5-5", thinking={"type": "disabled"}))
    assert body["thinking"] == {"type": "between_tools"}
    said = {"role": "assistant", "content": "The answer is ("}
    body = await sent(vendor, asking(CLAUDE, messages=[{"role": "user", "content": "What?"}, said]))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


async def test_M16_ids_that_other_vendors_have_made_are_ones_that_anthropic_takes(vendor: Vendor) -> None:
    use = {
        "type": "tool_use",
        "id": "functions.get:0",
        "name": "get_weather",
        "input": {},
        "caller": {"type": "direct"},
    }
    result = turn({"type": "tool_result", "tool_use_id": "functions.get:0", "content": "22"}, role="user")
    messages = [{"role": "user", "content": "Weather?"}, turn(use), result]
    body = await sent(vendor, asking(CLAUDE, messages=messages, tools=[WEATHER]))
    (sent_use,), (sent_result,) = (message["content"] for message in body["messages"][1:])
    assert sent_use["id"] == sent_result["tool_use_id"]
    assert sent_use["id"].replace("_", "").isalnum()
    assert sent_use["caller"] == {"type": "direct"}


# ---- Budgets ---------------------------------------------------------------------------------------------------------

FREE = {
    "tools": [{"type": "bash_20250124", "name": "bash"}, {"type": "tool_search_tool_bm25_20251119", "name": "find"}],
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "thread": {"type": "create"},
    "speed": "standard",
    "diagnostics": {},
}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "tools"),
        ({"speed": "fast"}, "speed"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management"),
        ({"field_of_tomorrow": 1}, "field_of_tomorrow"),
        ({"content": [{"type": "block_of_tomorrow"}]}, "messages[0].content[0]"),
    ],
)
async def test_M18_keys_with_a_budget_are_refused_what_cannot_be_priced(
    keys: KeyStore, fields: dict[str, Any], field: str
) -> None:
    vendor = Vendor(says(text("Hi")))
    limits = Limits(budget_day=10_000_000)
    async with account(keys, limits, environment=ENVIRONMENT, vendor=vendor) as spender:
        response = await spender.client.post(PATH, json=asking(CLAUDE, **fields))
        assert_error(response, 400, "invalid_request_error", f"{field}: what it costs has no known bound")
        assert not vendor.requests
        assert (await spender.client.post(PATH, json=asking(CLAUDE, **FREE))).status_code == 200
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as free:
        assert (await free.client.post(PATH, json=asking(CLAUDE, **fields))).status_code == 200


@pytest.mark.parametrize("model", [CLAUDE, "gpt-5"])
async def test_M18_an_offered_search_is_left_out_for_keys_with_a_budget(keys: KeyStore, model: str) -> None:
    limits = {"max_uses": 3, **({"blocked_domains": ["a.example"]} if model == CLAUDE else {})}
    search = {"type": "web_search_20250305", "name": "web_search", **limits}
    vendor = Vendor(says(text("Hi")) if model == CLAUDE else hello)
    body = asking(model, tools=[search, WEATHER])
    async with account(keys, Limits(budget_day=10_000_000), environment=ENVIRONMENT, vendor=vendor) as spender:
        response = await spender.client.post(PATH, json=body)
        assert response.status_code == 200, response.text
        assert response.headers["x-gateway-left-out"] == "web_search"
        assert "web_search" not in vendor.requests[-1].content.decode()
        assert "get_weather" in vendor.requests[-1].content.decode()
        assert (await spender.row()).cost > 0
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as free:
        response = await free.client.post(PATH, json=body)
        assert "x-gateway-left-out" not in response.headers
        assert "web_search" in vendor.requests[-1].content.decode()


async def test_M18_a_thread_whose_length_is_not_known_is_one_that_clients_begin_anew(keys: KeyStore) -> None:
    vendor = Vendor(says(text("Hi")))
    async with account(keys, Limits(budget_day=10_000_000), environment=ENVIRONMENT, vendor=vendor) as spender:
        continued = asking(CLAUDE, messages=[], thread={"type": "continue", "previous_message_id": "msg_1"})
        response = await spender.client.post(PATH, json=continued)
        assert response.json()["error"]["details"] == {"error_code": "thread_not_found"}
        assert not vendor.requests
        assert (await spender.client.post(PATH, json=asking(CLAUDE, thread={"type": "create"}))).status_code == 200


async def test_M18_what_is_left_out_for_another_vendor_costs_nothing(keys: KeyStore) -> None:
    vendor = Vendor(says(text("Hi")))
    search = {"type": "web_search_20250305", "name": "web_search"}
    async with account(keys, Limits(budget_day=10_000_000), environment=ENVIRONMENT, vendor=vendor) as spender:
        body = asking(DEEPSEEK, tools=[WEATHER, search], speed="fast", field_of_tomorrow=1)
        assert (await spender.client.post(PATH, json=body)).status_code == 200
        row = await spender.row()
        assert row.cost > 0


# ---- Failures --------------------------------------------------------------------------------------------------------


async def test_M02_both_key_headers_are_accepted(keys: KeyStore) -> None:
    for chosen in ("Authorization", "x-api-key", "either"):
        environment = {"GATEWAY_SANDBOX": "on", "GATEWAY_KEY_HEADER": chosen}
        async with gateway_client(keys, environment, token=None) as client:
            for headers in ({"x-api-key": TOKEN}, {"authorization": f"Bearer {TOKEN}"}):
                assert (await client.post(PATH, json=asking(), headers=headers)).status_code == 200
                assert (await client.get("/v1/models", headers=headers)).status_code == 200
            other = {"x-api-key": TOKEN} if chosen == "Authorization" else {"authorization": f"Bearer {TOKEN}"}
            expected = 200 if chosen == "either" else 401
            assert (await client.get("/ai/models", headers=other)).status_code == expected


VENDOR_FAILURES = [
    (400, "invalid_request_error", 400, "invalid_request_error"),
    (401, "authentication_error", 502, "api_error"),
    (404, "not_found_error", 404, "not_found_error"),
    (413, "request_too_large", 413, "request_too_large"),
    (429, "rate_limit_error", 429, "rate_limit_error"),
    (500, "api_error", 502, "api_error"),
    (504, "timeout_error", 504, "timeout_error"),
    (529, "overloaded_error", 503, "overloaded_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "said", "answered", "kind"), VENDOR_FAILURES)
async def test_M03_a_vendors_failure_is_an_error_of_anthropics_types(
    vendor: Vendor, status: int, said: str, answered: int, kind: str, stream: bool
) -> None:
    body = {"type": "error", "error": {"type": said, "message": "words"}, "request_id": "req_vendor"}
    vendor.answer = lambda request: httpx.Response(status, json=body)
    response = await vendor.client.post(PATH, json=asking(CLAUDE, stream=stream))
    assert_error(response, answered, kind)
    assert ("retry-after" in response.headers) == (answered in (429, 503))


async def test_M03_every_failure_of_a_request_has_anthropics_shape(vendor: Vendor) -> None:
    client = vendor.client
    assert_error(await client.post(PATH, content=b"{"), 400, "invalid_request_error")
    assert_error(await client.post(PATH, json=asking("nobody")), 404, "not_found_error", "nobody")
    assert_error(await client.get(PATH), 405, "invalid_request_error")
    assert_error(await client.get("/v1/messages/nothing"), 404, "not_found_error")
    assert_error(await client.post("/v1/messages/batches", json={}), 404, "not_found_error")
    unknown = {"authorization": "Bearer sk-unknown"}
    assert_error(await client.post(PATH, json=asking(), headers=unknown), 401, "authentication_error")
    powerless = {"authorization": "Bearer sk-powerless"}
    assert_error(await client.post(PATH, json=asking(), headers=powerless), 403, "permission_error")
    for path in (PATH, f"{PATH}/count_tokens"):
        response = await client.post(path, json=asking("sandbox/chat", temperature="hot", messages="none"))
        assert_error(response, 400, "invalid_request_error", "messages: ")
    assert_error(await client.post(PATH, json=asking("sandbox/fail-429")), 429, "rate_limit_error")
    assert_error(await client.post(PATH, json=asking("sandbox/fail-500", stream=True)), 502, "api_error")


async def test_M03_a_body_that_is_too_large_is_request_too_large(keys: KeyStore) -> None:
    async with gateway_client(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_MAX_BODY": "1000"}) as client:
        response = await client.post(PATH, json=asking(content="x" * 2000))
    assert_error(response, 413, "request_too_large")


async def test_M03_a_conversation_that_is_too_long_is_told_in_the_words_that_agents_know(vendor: Vendor) -> None:
    words = "This model's maximum context length is 1000 tokens."
    error = {"message": words, "code": "context_length_exceeded", "type": "invalid_request_error", "param": "messages"}
    vendor.answer = lambda request: httpx.Response(400, json={"error": error})
    response = await vendor.client.post(PATH, json=asking(GPT))
    assert assert_error(response, 400, "invalid_request_error") == f"prompt is too long: {words}"


async def test_M03_limits_are_told_in_anthropics_headers(keys: KeyStore) -> None:
    limits = Limits(requests_per_minute=2, tokens_per_minute=100_000)
    async with account(keys, limits) as caller:
        responses = [await caller.client.post(PATH, json=asking(stream=stream)) for stream in (False, True, False)]
    told = [response.headers for response in responses]
    assert [headers["anthropic-ratelimit-requests-limit"] for headers in told] == ["2"] * 3
    assert [headers["anthropic-ratelimit-requests-remaining"] for headers in told] == ["1", "0", "0"]
    for headers in told:
        assert headers["anthropic-ratelimit-tokens-limit"] == "100000"
        assert datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"]).tzinfo is not None
        assert headers["request-id"] == headers["x-request-id"]
    assert_error(responses[2], 429, "rate_limit_error")
    assert int(told[2]["retry-after"]) >= 1


@pytest.mark.parametrize("model", [CLAUDE, GPT])
async def test_M19_a_failure_after_the_first_byte_is_an_error_event(vendor: Vendor, model: str) -> None:
    stream = claude((text("Hello"),))[1][:3] if model == CLAUDE else openai((text("Hello"),))[1][:2]
    vendor.answer = streaming(*stream)
    response = await vendor.client.post(PATH, json=asking(model, stream=True))
    *_, last = wire.named_events(response)
    assert last.event == "error"
    message = json.loads(last.data)["error"]["message"]
    request_id = response.headers["request-id"]
    error = {"type": "error", "error": {"type": "api_error", "message": message}, "request_id": request_id}
    assert json.loads(last.data) == error


async def test_M19_an_overload_in_a_stream_keeps_its_type_and_its_status_where_nothing_was_said(vendor: Vendor) -> None:
    overloaded = ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    _, events = claude((text("Hello"),))
    vendor.answer = streaming(events[0], ("ping", {"type": "ping"}), overloaded)
    response = await vendor.client.post(PATH, json=asking(CLAUDE, stream=True))
    assert_error(response, 503, "overloaded_error")
    vendor.answer = streaming(*events[:3], overloaded)
    *_, last = wire.named_events(await vendor.client.post(PATH, json=asking(CLAUDE, stream=True)))
    assert (last.event, json.loads(last.data)["error"]["type"]) == ("error", "overloaded_error")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "100"}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stream": 1}, "stream"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"content": [5]}, "messages[0].content[0]"),
        ({"content": [{"type": "tool_result", "tool_use_id": "x"}]}, "messages[0].content[0].tool_use_id"),
        ({"content": [{"type": "tool_use", "id": "x", "name": "y", "input": {}}]}, "messages[0].content[0].type"),
        ({"system": 5}, "system"),
        ({"tools": [{"name": "bad name", "input_schema": {}}]}, "tools[0].name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"cache_control": {"type": "for ever"}}, "cache_control.type"),
    ],
)
@pytest.mark.parametrize("model", ["sandbox/chat", CLAUDE])
async def test_M13_what_is_missing_or_out_of_range_is_named(
    vendor: Vendor, model: str, fields: dict[str, Any], named: str
) -> None:
    body = {name: value for name, value in asking(model, **fields).items() if value is not None}
    assert_error(await vendor.client.post(PATH, json=body), 400, "invalid_request_error", f"{named}: ")
    assert not vendor.requests


# ---- Counts and lists ------------------------------------------------------------------------------------------------


async def test_M14_tokens_are_counted_by_the_vendor_where_it_counts_them(vendor: Vendor) -> None:
    body = {name: value for name, value in asking(CLAUDE, tools=[WEATHER]).items() if name != "max_tokens"}
    vendor.answer = answering({"input_tokens": 4711, "context_management": {"original_input_tokens": 5}})
    path = f"{PATH}/count_tokens"
    response = await vendor.client.post(path, json={**body, "new": 1}, headers={"anthropic-beta": "b-2027"})
    assert response.json() == {"input_tokens": 4711}
    (request,) = vendor.requests
    assert request.url.path == "/anthropic/v1/messages/count_tokens"
    assert vendor.sent == {**body, "new": 1}
    assert request.headers["anthropic-beta"] == "b-2027"
    vendor.answer = answering({"totalTokens": 42})
    vendor.requests.clear()
    response = await vendor.client.post(path, json={**body, "model": GEMINI})
    assert response.json() == {"input_tokens": 42}
    assert vendor.requests[0].url.path == f"/gemini/v1beta/models/{GEMINI}:countTokens"
    assert vendor.sent["generateContentRequest"]["model"] == f"models/{GEMINI}"
    assert vendor.sent["generateContentRequest"]["tools"]
    vendor.answer = answering({"object": "response.input_tokens", "input_tokens": 43})
    vendor.requests.clear()
    response = await vendor.client.post(path, json={**body, "model": "gpt-5"})
    assert response.json() == {"input_tokens": 43}
    assert vendor.requests[0].url.path == "/openai/responses/input_tokens"
    assert vendor.sent["input"] == [{"role": "user", "content": "Hello"}]
    assert [tool["name"] for tool in vendor.sent["tools"]] == ["get_weather"]
    assert not {"include", "store"} & vendor.sent.keys()
    vendor.requests.clear()
    short, long = [
        (await vendor.client.post(path, json=asking(GPT, content, tools=[WEATHER]))).json()["input_tokens"]
        for content in ("Hello", "Hello " * 1000)
    ]
    assert 10 < short < 100
    assert 1000 < long < 3000
    assert not vendor.requests


async def test_M14_a_count_that_fails_is_an_error_and_costs_nothing(keys: KeyStore) -> None:
    vendor = Vendor(lambda request: httpx.Response(529, json={}))
    async with account(keys, Limits(budget_day=1000), environment=ENVIRONMENT, vendor=vendor) as spender:
        path = f"{PATH}/count_tokens"
        assert_error(await spender.client.post(path, json=asking(CLAUDE)), 503, "overloaded_error")
        vendor.answer = answering({"input_tokens": 1_000_000})
        assert (await spender.client.post(path, json=asking(CLAUDE))).json() == {"input_tokens": 1_000_000}
        assert (await spender.row()).cost == 0


async def test_M15_models_are_listed_in_anthropics_shape_to_its_clients(vendor: Vendor) -> None:
    version = {"anthropic-version": "2023-06-01"}
    first = (await vendor.client.get("/v1/models?limit=3", headers=version)).json()
    assert first["has_more"] is True
    ids = [row["id"] for row in first["data"]]
    assert (first["first_id"], first["last_id"], len(ids)) == (ids[0], ids[-1], 3)
    for row in first["data"]:
        wire.validated(TypeAdapter(ModelInfo), row)
    rest = (await vendor.client.get(f"/v1/models?after_id={ids[-1]}&limit=1000", headers=version)).json()
    assert rest["has_more"] is False
    back = (await vendor.client.get(f"/v1/models?before_id={ids[-1]}&limit=1", headers=version)).json()
    assert ([row["id"] for row in back["data"]], back["has_more"]) == ([ids[1]], True)
    listed = (await vendor.client.get("/v1/models")).json()
    chats = [row["id"] for row in listed["data"] if "chat" in row["capabilities"]]
    assert ids + [row["id"] for row in rest["data"]] == chats
    one = (await vendor.client.get(f"/v1/models/{CLAUDE}", headers=version)).json()
    assert one == next(row for row in [*first["data"], *rest["data"]] if row["id"] == CLAUDE)
    assert (one["type"], one["max_input_tokens"], one["max_tokens"]) == ("model", 1_000_000, 128_000)
    assert_error(await vendor.client.get("/v1/models/nobody", headers=version), 404, "not_found_error")
    bad = await vendor.client.get("/v1/models?after_id=nobody", headers=version)
    assert_error(bad, 400, "invalid_request_error", "after_id: ")


async def test_a_thread_that_another_vendor_cannot_continue_is_one_that_clients_begin_anew(vendor: Vendor) -> None:
    result = [turn({"type": "tool_result", "tool_use_id": "toolu_1", "content": "22"}, role="user")]
    thread = {"type": "continue", "previous_message_id": "msg_1"}
    for messages in (result, []):
        body = asking(GPT, messages=messages, thread=thread)
        response = await vendor.client.post(PATH, json=body)
        assert response.status_code == 404
        assert response.json()["error"]["type"] == "not_found_error"
        assert response.json()["error"]["details"] == {"error_code": "thread_not_found"}
        assert await sent(vendor, {**body, "model": CLAUDE}) == {**body, "model": CLAUDE}
        vendor.requests.clear()


async def test_M16_codes_by_which_clients_of_anthropic_act_reach_them(vendor: Vendor) -> None:
    for status, code in ((404, "thread_not_found"), (400, "thread_already_continued")):
        details = {"error_code": code, "unsupported": ["thinking"], "text": "see https://internal.example/"}
        error = {"type": "invalid_request_error", "message": "It is gone.", "details": details}
        vendor.answer = lambda request, status=status, error=error: httpx.Response(status, json={"error": error})
        response = await vendor.client.post(PATH, json=asking(CLAUDE))
        assert response.status_code == status
        assert response.json()["error"]["details"] == {"error_code": code, "unsupported": ["thinking"]}
        assert response.json()["error"]["message"] == "It is gone."


async def test_M16_a_stream_of_an_anthropic_model_may_be_split_at_every_byte(vendor: Vendor) -> None:
    events = claude(ANSWERS["calls"])[1]
    body = streaming(*events)(httpx.Request("POST", "http://a.example/")).content

    async def single_bytes() -> AsyncIterator[bytes]:
        for at in range(len(body)):
            yield body[at : at + 1]

    vendor.answer = lambda request: httpx.Response(200, content=single_bytes())
    found = wire.bodies(await vendor.client.post(PATH, json=asking(CLAUDE, stream=True)))
    assert wire.folded(found)["content"] == claude(ANSWERS["calls"])[0]["content"]


async def test_stored_images_of_earlier_answers_reach_an_anthropic_model_as_images(vendor: Vendor) -> None:
    drawn = {"model": "sandbox/image", "prompt": "a cat", "size": "64x64", "response_format": "url"}
    url = (await vendor.client.post("/v1/images/generations", json=drawn)).json()["data"][0]["url"]
    messages = [
        {"role": "user", "content": "Draw a cat"},
        turn({"type": "text", "text": f"Here: ![a cat]({url})"}),
        {"role": "user", "content": "What is it?"},
    ]
    body = await sent(vendor, asking(CLAUDE, messages=messages))
    (image, question) = body["messages"][2]["content"]
    assert image["source"]["type"] == "base64"
    assert question == {"type": "text", "text": "What is it?"}
    looked = [{"type": "image", "source": {"type": "url", "url": url}}]
    body = await sent(vendor, asking(CLAUDE, looked))
    assert body["messages"][0]["content"][0]["source"]["type"] == "base64"
    # Any other URL is for the vendor to fetch.
    away = [{"type": "image", "source": {"type": "url", "url": "https://a.example/cat.png"}}]
    assert (await sent(vendor, asking(CLAUDE, away)))["messages"][0]["content"] == away


async def test_urls_that_nobody_may_fetch_are_refused_for_every_vendor(vendor: Vendor) -> None:
    for kind in ("image", "document"):
        block = {"type": kind, "source": {"type": "url", "url": "http://a.example/x"}}
        for model in (CLAUDE, GPT):
            response = await vendor.client.post(PATH, json=asking(model, [{"type": "text", "text": "Look:"}, block]))
            assert_error(response, 400, "invalid_request_error", "messages[0].content[1].source.url: ")
            result = {"type": "tool_result", "tool_use_id": "c1", "content": [block]}
            call = turn({"type": "tool_use", "id": "c1", "name": "get_weather", "input": {}})
            told = asking(model, messages=[{"role": "user", "content": "Look"}, call, turn(result, role="user")])
            response = await vendor.client.post(PATH, json={**told, "tools": [WEATHER]})
            field = "messages[2].content[0].content[0].source.url: "
            assert_error(response, 400, "invalid_request_error", field)
            assert not vendor.requests


@pytest.mark.parametrize("stream", [False, True])
async def test_M05_signatures_behind_texts_are_kept_where_something_follows(vendor: Vendor, stream: bool) -> None:
    """Agents take the last block for the answer, so that a signature behind it would hide it."""
    signed = {"text": "I look.", "thoughtSignature": "c2lnbmVk"}
    called = {"functionCall": {"id": "call_1", "name": "get_weather", "args": {}}, "thoughtSignature": "b3RoZXI="}
    for pieces, kinds in (
        ([signed], ["text"]),
        ([signed, called], ["text", "thinking", "redacted_thinking", "tool_use"]),
        ([signed, {"text": " There."}], ["text", "thinking", "text"]),
    ):
        frames = [{"candidates": [{"content": {"role": "model", "parts": [piece]}}]} for piece in pieces]
        end = {**CONTENT, "candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}
        whole = {**CONTENT, "candidates": [{"content": {"parts": pieces}, "finishReason": "STOP"}]}
        vendor.answer = streaming(*frames, end) if stream else answering(whole)
        asked = asking(GEMINI, tools=[WEATHER], stream=stream)
        response = await vendor.client.post(PATH, json=asked)
        content = (wire.folded(wire.bodies(response)) if stream else wire.whole(response))["content"]
        assert [block["type"] for block in content] == kinds
        history = [*asked["messages"], turn(*content), {"role": "user", "content": "Go on"}]
        if "tool_use" in kinds:
            history[-1] = turn({"type": "tool_result", "tool_use_id": "call_1", "content": "22"}, role="user")
        vendor.answer = says(text("Yes"))
        body = await sent(vendor, asking(GEMINI, messages=history, tools=[WEATHER]))
        signatures = [part["thoughtSignature"] for part in body["contents"][1]["parts"] if "thoughtSignature" in part]
        expected = [piece["thoughtSignature"] for piece in pieces if "thoughtSignature" in piece]
        assert signatures == (expected if len(pieces) > 1 else [])


async def test_M04_silence_is_filled_with_pings(keys: KeyStore) -> None:
    environment = {"GATEWAY_SANDBOX": "on", "GATEWAY_FIRST_EVENT_WAIT": "0.01", "GATEWAY_KEEP_ALIVE": "0.01"}
    async with gateway_client(keys, environment) as client:
        response = await client.post(PATH, json=asking("sandbox/slow", stream=True))
    names = [event.event for event in wire.named_events(response)]
    assert names.count("ping") > 2
    assert set(names) == {
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "ping"),
        *("message_delta", "message_stop"),
    }
    wire.folded(wire.bodies(response))
