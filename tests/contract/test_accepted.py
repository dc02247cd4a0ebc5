"""Requests that deviate from OpenAI's format, or that only some providers accept, as the provider gets them."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.client import frames, gateway_client
from tests.contract.image_vendors import gemini_content
from tests.contract.vendor import HOST, KEY, Handler, Vendor, answering, frame, hello
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
_COMPATIBLE = ("OPENAI", "GROQ", "DEEPSEEK", "CEREBRAS", "OPENROUTER", "MISTRAL")
ENVIRONMENT = {
    "ANTHROPIC_API_KEY": KEY,
    "ANTHROPIC_BASE_URL": f"https://{HOST}",
    "GEMINI_API_KEY": KEY,
    "GEMINI_BASE_URL": f"https://{HOST}",
    **{f"{name}_API_KEY": KEY for name in _COMPATIBLE},
    **{f"{name}_BASE_URL": f"https://{HOST}/v1" for name in _COMPATIBLE},
}
OPENAI, OPENROUTER, GROQ = "openai/gpt-5.6-luna", "openrouter/some/model", "groq/qwen/qwen3.8-27b"
OVER_RESPONSES = "gpt-4o-mini"
CLAUDE, GEMINI, DRAWER = "claude-sonnet-4-5", "gemini-3.8-flash", "gemini-3-pro-image"
SIGNATURE = base64.b64encode(b"what the model thought").decode()
PDF = base64.b64encode(b"%PDF-1.7\n%%EOF").decode()
PDF_URL = "https://93.184.215.14/report.pdf"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()
COUNTS = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}


def any_wire(request: httpx.Request) -> httpx.Response:
    """A chat completion "Hello there" in the wire format that the path belongs to."""
    if request.url.path.endswith("/messages"):
        return httpx.Response(200, json=message_body({"type": "text", "text": "Hello there"}))
    if "models/gemini" in request.url.path:
        content = gemini_content({"text": "Hello there"})
        streamed = request.url.path.endswith(":streamGenerateContent")
        return httpx.Response(200, content=frame(content)) if streamed else httpx.Response(200, json=content)
    answer = hello(request)
    assert isinstance(answer, httpx.Response)
    return answer


def message_body(*content: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    vendor = Vendor(any_wire)
    async with gateway_client(keys, ENVIRONMENT, vendor) as vendor.client:
        yield vendor


async def ask(vendor: Vendor, model: str, messages: Any = "Hello", **fields: Any) -> httpx.Response:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return await vendor.client.post(CHAT, json={"model": model, "messages": messages, **fields})


async def upstream_request(vendor: Vendor, model: str, messages: Any = "Hello", **fields: Any) -> Any:
    """The provider's request for a request that succeeds."""
    response = await ask(vendor, model, messages, **fields)
    assert response.status_code == 200, response.text
    return vendor.sent


# --- tools

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


async def test_tool_and_named_tool_choice_need_no_type(vendor: Vendor) -> None:
    choice = {"function": {"name": "weather"}}
    sent = await upstream_request(vendor, OPENAI, tools=[{"function": WEATHER}], tool_choice=choice)
    assert sent["tools"] == [{"type": "function", "function": WEATHER}]
    assert sent["tool_choice"] == {"type": "function", **choice}


async def test_allowed_tools_need_no_type(vendor: Vendor) -> None:
    allowed = {"mode": "required", "tools": [{"function": {"name": "weather"}}]}
    other = {"function": {"name": "time"}}
    sent = await upstream_request(
        vendor, OPENAI, tools=[{"function": WEATHER}, other], tool_choice={"allowed_tools": allowed}
    )
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather"]
    assert sent["tool_choice"] == "required"


@pytest.mark.parametrize("choice", [{}, {"type": "function"}, {"type": "custom", "custom": {"name": "weather"}}])
async def test_tool_choice_without_a_tool_is_refused(vendor: Vendor, choice: Any) -> None:
    response = await ask(vendor, OPENAI, tools=[{"function": WEATHER}], tool_choice=choice)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("tool_choice")
    assert vendor.requests == []


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
@pytest.mark.parametrize("effort", [None, "high"])
async def test_forced_tool_choice_turns_thinking_off_for_deepseek(
    vendor: Vendor, choice: Any, effort: str | None
) -> None:
    tools = [{"type": "function", "function": WEATHER}]
    sent = await upstream_request(vendor, "deepseek-flash", tools=tools, tool_choice=choice, reasoning_effort=effort)
    assert sent["tool_choice"] == choice
    assert sent["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in sent


async def test_tool_choice_auto_keeps_deepseek_thinking(vendor: Vendor) -> None:
    tools = [{"type": "function", "function": WEATHER}]
    sent = await upstream_request(vendor, "deepseek-flash", tools=tools, tool_choice="auto", reasoning_effort="high")
    assert "thinking" not in sent
    assert sent["reasoning_effort"] == "high"


# --- reasoning


@pytest.mark.parametrize("model", [GROQ, "gpt-6-sol", "claude-sonnet-5-5"])
async def test_reasoning_effort_default_is_not_sent(vendor: Vendor, model: str) -> None:
    sent = await upstream_request(vendor, model, reasoning_effort="default")
    assert sent.keys().isdisjoint({"reasoning_effort", "reasoning", "thinking"})


async def test_unknown_reasoning_effort_is_refused(vendor: Vendor) -> None:
    assert_error(await ask(vendor, OPENAI, reasoning_effort="lots"), "validation", field="reasoning_effort")


async def test_reasoning_is_sent_back_to_cerebras(vendor: Vendor) -> None:
    turn = {"role": "assistant", "content": "Hi", "reasoning_content": "They greet me."}
    conversation = [{"role": "user", "content": "Hello"}, turn, {"role": "user", "content": "Again"}]
    sent = await upstream_request(vendor, "cerebras/gpt-oss-120b", conversation)
    assert sent["messages"][1] == {"role": "assistant", "content": "Hi", "reasoning": "They greet me."}


# --- images and documents


async def test_image_url_may_be_a_string(vendor: Vendor) -> None:
    url = f"data:image/png;base64,{PNG}"
    sent = await upstream_request(
        vendor, OPENAI, [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
    )
    assert sent["messages"][0]["content"] == [{"type": "image_url", "image_url": {"url": url}}]


def document(data: str, **more: Any) -> Any:
    return {"type": "file", "file": {"file_data": data, **more}}


async def test_file_url_is_sent_to_anthropic(vendor: Vendor) -> None:
    content = [document(PDF_URL, filename="report.pdf")]
    sent = await upstream_request(vendor, CLAUDE, [{"role": "user", "content": content}])
    assert sent["messages"][0]["content"] == [
        {"type": "document", "source": {"type": "url", "url": PDF_URL}, "title": "report.pdf"}
    ]


async def test_file_url_is_sent_to_gemini(vendor: Vendor) -> None:
    sent = await upstream_request(vendor, GEMINI, [{"role": "user", "content": [document(PDF_URL)]}])
    assert sent["contents"][0]["parts"] == [{"fileData": {"fileUri": PDF_URL, "mimeType": "application/pdf"}}]


async def test_file_url_is_sent_to_openrouter(vendor: Vendor) -> None:
    sent = await upstream_request(
        vendor, OPENROUTER, [{"role": "user", "content": [document(PDF_URL, filename="a.pdf")]}]
    )
    assert sent["messages"][0]["content"] == [document(PDF_URL, filename="a.pdf")]


async def test_file_url_is_sent_to_openais_responses_api(vendor: Vendor) -> None:
    content = [document(PDF_URL, filename="a.pdf")]
    sent = await upstream_request(vendor, OVER_RESPONSES, [{"role": "user", "content": content}])
    assert sent["input"][0]["content"] == [{"type": "input_file", "file_url": PDF_URL}]


async def test_file_url_is_refused_where_the_provider_does_not_fetch(vendor: Vendor) -> None:
    response = await ask(vendor, OPENAI, [{"role": "user", "content": [document(PDF_URL)]}])
    assert "base64" in assert_error(response, "unsupported", field="messages[0].content[0].file.file_data")
    assert vendor.requests == []


@pytest.mark.parametrize("host", ["user:password@vendor.test", "vendor.test:22", "vendor.test\\@x.test"])
@pytest.mark.parametrize("role", ["user", "tool"])
async def test_file_url_that_the_gateway_would_not_fetch_is_refused(vendor: Vendor, host: str, role: str) -> None:
    content = [document(f"https://{host}/secret.pdf")]
    conversation = [{"role": "user", "content": content}] if role == "user" else result(content)
    field = f"messages[{len(conversation) - 1}].content[0].file.file_data"
    assert_error(await ask(vendor, CLAUDE, conversation), "validation", field=field)
    assert vendor.requests == []


def result(content: Any) -> list[Any]:
    """A conversation whose last message is a tool's result."""
    call = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    return [
        {"role": "user", "content": "Read it."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": content},
    ]


READ = [{"type": "text", "text": "Here."}, document(f"data:application/pdf;base64,{PDF}", filename="r.pdf")]


async def test_file_in_a_tool_result_is_sent_to_anthropic(vendor: Vendor) -> None:
    sent = await upstream_request(vendor, CLAUDE, result(READ))
    (block,) = sent["messages"][-1]["content"]
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    assert block["content"] == [
        {"type": "text", "text": "Here."},
        {"type": "document", "source": source, "title": "r.pdf"},
    ]


async def test_file_in_a_tool_result_is_sent_to_gemini(vendor: Vendor) -> None:
    sent = await upstream_request(vendor, GEMINI, result(READ))
    (part,) = sent["contents"][-1]["parts"]
    assert part["functionResponse"]["response"] == {"output": "Here."}
    assert part["functionResponse"]["parts"] == [{"inlineData": {"mimeType": "application/pdf", "data": PDF}}]


async def test_file_url_in_a_tool_result_is_refused_for_gemini(vendor: Vendor) -> None:
    response = await ask(vendor, GEMINI, result([document(PDF_URL)]))
    assert "base64" in assert_error(response, "unsupported", field="messages[2].content[0].file.file_data")


async def test_file_in_a_tool_result_is_sent_to_openais_responses_api(vendor: Vendor) -> None:
    sent = await upstream_request(vendor, OVER_RESPONSES, result(READ))
    assert sent["input"][-1] == {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": [
            {"type": "input_text", "text": "Here."},
            {"type": "input_file", "filename": "r.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        ],
    }


async def test_file_in_a_tool_result_follows_it_as_a_user_message_for_chat_completions(vendor: Vendor) -> None:
    sent = await upstream_request(vendor, OPENAI, result(READ))
    tool, shown = sent["messages"][-2:]
    assert tool == {"role": "tool", "tool_call_id": "call_1", "content": "Here."}
    assert shown["role"] == "user"
    assert shown["content"][-1] == document(f"data:application/pdf;base64,{PDF}", filename="r.pdf")


async def test_file_in_a_tool_result_needs_a_model_with_file_input(vendor: Vendor) -> None:
    assert_error(await ask(vendor, "deepseek-flash", result(READ)), "unsupported")
    assert vendor.requests == []


# --- Gemini's signatures and calls


def gemini(*parts: Any, reason: str = "STOP") -> Handler:
    """Gemini's answer of these parts; a stream has a frame for each."""

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith(":streamGenerateContent"):
            content = {"role": "model", "parts": list(parts)}
            body = {"candidates": [{"content": content, "finishReason": reason}], "usageMetadata": COUNTS}
            return httpx.Response(200, json=body)
        pieces = [{"candidates": [{"content": {"role": "model", "parts": [part]}}]} for part in parts]
        ending = {"candidates": [{"finishReason": reason}], "usageMetadata": COUNTS}
        return httpx.Response(200, content=b"".join(map(frame, [*pieces, ending])))

    return answer


def joined(chunks: list[Any]) -> dict[str, Any]:
    """The message that a client assembles from a stream: text deltas joined, reasoning details merged by index."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    details: dict[int, dict[str, Any]] = {}
    for delta in (choice["delta"] for piece in chunks[:-1] for choice in piece["choices"]):
        message["content"] += delta.get("content") or ""
        for name in ("images", "tool_calls"):
            if name in delta:
                message.setdefault(name, []).extend(delta[name])
        for detail in delta.get("reasoning_details", ()):
            known = details.setdefault(detail["index"], {})
            text = known.get("text", "") + (detail.get("text") or "")
            known.update({name: value for name, value in detail.items() if value is not None}, text=text)
    return {**message, "reasoning_details": list(details.values())}


TEXT = {"text": "Hello", "thoughtSignature": SIGNATURE}
THOUGHT = {"text": "They greet me.", "thought": True}
DRAWN = {"inlineData": {"mimeType": "image/png", "data": PNG}, "thoughtSignature": SIGNATURE[::-1].strip("=") + "AA"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "parts"),
    [(GEMINI, [TEXT]), (GEMINI, [THOUGHT, TEXT]), (DRAWER, [TEXT, DRAWN]), (DRAWER, [DRAWN])],
    ids=["text", "thought", "text-and-image", "image"],
)
async def test_signature_is_sent_back_in_its_part(vendor: Vendor, model: str, parts: list[Any], stream: bool) -> None:
    vendor.answer = gemini(*parts)
    response = await ask(vendor, model, stream=stream)
    assert response.status_code == 200, response.text
    message = joined(frames(response.content)) if stream else response.json()["choices"][0]["message"]
    images = [{"type": "image_url", "image_url": image["image_url"]} for image in message.pop("images", [])]
    if images:
        texts = [{"type": "text", "text": message["content"]}] if message["content"] else []
        message["content"] = [*texts, *images]
    vendor.requests.clear()
    vendor.answer = any_wire
    greeting = {"role": "user", "content": "Hello"}
    sent = await upstream_request(vendor, model, [greeting, message, {"role": "user", "content": "Again"}])
    assert sent["contents"][1] == {"role": "model", "parts": parts}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_unexpected_tool_call_is_returned(vendor: Vendor, stream: bool) -> None:
    call = {"functionCall": {"id": "c1", "name": "search", "args": {"q": "cats"}}, "thoughtSignature": SIGNATURE}
    vendor.answer = gemini(call, reason="UNEXPECTED_TOOL_CALL")
    response = await ask(vendor, GEMINI, stream=stream)
    assert response.status_code == 200, response.text
    if stream:
        choices = [choice for piece in frames(response.content)[:-1] for choice in piece["choices"]]
        assert choices[-1]["finish_reason"] == "tool_calls"
        assert "search" in json.dumps(choices)
    else:
        (choice,) = response.json()["choices"]
        assert choice["finish_reason"] == "tool_calls"
        (made,) = choice["message"]["tool_calls"]
        assert (made["function"]["name"], made["function"]["arguments"]) == ("search", '{"q":"cats"}')


async def test_unexpected_tool_call_without_the_call_is_an_upstream_error(vendor: Vendor) -> None:
    vendor.answer = gemini({"text": ""}, reason="UNEXPECTED_TOOL_CALL")
    assert_error(await ask(vendor, GEMINI), "upstream")


# --- Anthropic's streams


def claude_events(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\n%b" % (event["type"].encode(), frame(event)) for event in events)


BEGIN = {"type": "message_start", "message": {**message_body(), "stop_reason": None}}
SAY = (
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
)
END = (
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)


@pytest.mark.parametrize("before", [(), SAY], ids=["at-once", "amid-the-text"])
async def test_second_message_start_is_an_upstream_error(vendor: Vendor, before: tuple[Any, ...]) -> None:
    vendor.answer = answering(200, claude_events(BEGIN, *before, BEGIN, *SAY, *END))
    response = await ask(vendor, CLAUDE, stream=True)
    if not before:
        assert_error(response, "upstream")
        return
    last = frames(response.content)[-1]
    assert last["error"]["type"] == "server_error"
    assert "[DONE]" not in response.text


# --- schemas


async def test_strict_schema_keeps_default_and_nullable(vendor: Vendor) -> None:
    city = {"type": "string", "default": "Bern"}
    schema = {"type": "object", "properties": {"city": city, "unit": {"type": "string", "nullable": True}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": schema}}
    sent = await upstream_request(vendor, OPENAI, response_format=wanted)
    assert sent["response_format"]["json_schema"]["schema"]["properties"] == {
        "city": city,
        "unit": {"type": ["string", "null"]},
    }
