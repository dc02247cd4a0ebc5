"""Anthropic's SDK, unmodified but for base URL and key, against the gateway in a process of its own."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from anthropic.types import MessageParam, ToolParam

from tests.sdk.server import TOKEN
from tests.sdk.vendor import Vendor

MODEL = "sandbox/chat"
HELLO: list[MessageParam] = [{"role": "user", "content": "Hello"}]
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def claude(sandbox_url: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=sandbox_url, api_key=TOKEN, max_retries=0) as client:
        yield client


def test_M20_a_message(claude: Anthropic) -> None:
    message = claude.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    (block,) = message.content
    assert block.type == "text"
    assert block.text
    assert (message.model, message.stop_reason) == (MODEL, "end_turn")
    assert message.usage.output_tokens > 0


def test_M20_a_key_as_bearer_token(sandbox_url: str) -> None:
    with Anthropic(base_url=sandbox_url, auth_token=TOKEN, max_retries=0) as client:
        assert client.messages.create(model=MODEL, max_tokens=100, messages=HELLO).content


def test_M20_the_stream_helper_gives_the_message_that_is_answered_whole(claude: Anthropic) -> None:
    with claude.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        streamed = stream.get_final_message()
    whole = claude.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    assert len(pieces) > 1
    assert streamed.content[0].to_dict() == whole.content[0].to_dict()
    assert streamed.usage.to_dict(exclude_none=True) == whole.usage.to_dict(exclude_none=True)
    assert streamed.stop_reason == whole.stop_reason


@pytest.mark.anyio
async def test_M20_the_asynchronous_client(sandbox_url: str) -> None:
    async with AsyncAnthropic(base_url=sandbox_url, api_key=TOKEN, max_retries=0) as client:
        stream = await client.messages.create(model=MODEL, max_tokens=100, messages=HELLO, stream=True)
        kinds = [event.type async for event in stream]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


@pytest.mark.parametrize("stream", [False, True])
def test_M20_the_tool_runner_calls_tools_until_there_is_an_answer(claude: Anthropic, stream: bool) -> None:
    asked = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        asked.append(city)
        return f"22 degrees in {city}"

    question: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    runner: Any = claude.beta.messages.tool_runner(
        model=MODEL, max_tokens=500, tools=[get_weather], messages=question, stream=stream
    )
    last = runner.until_done()
    assert asked == ["Paris"]
    assert last.stop_reason == "end_turn"
    assert "22 degrees" in last.content[0].text


def test_M20_tool_calls_and_their_thoughts_are_sent_back_as_they_came(claude: Anthropic) -> None:
    question: list[MessageParam] = [{"role": "user", "content": "What is the weather in Paris?"}]
    options: dict[str, Any] = {"model": MODEL, "max_tokens": 500, "tools": [WEATHER], "thinking": {"type": "adaptive"}}
    first = claude.messages.create(messages=question, **options)
    thinking, call = first.content
    assert (thinking.type, call.type, first.stop_reason) == ("thinking", "tool_use", "tool_use")
    assert call.input == {"city": "Paris"}
    result: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "22"}]}],
    }
    answer = claude.messages.create(messages=[*question, first.to_param(), result], **options)
    assert answer.stop_reason == "end_turn"


def test_M20_tokens_are_counted(claude: Anthropic) -> None:
    short, long = (
        claude.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": text}], tools=[WEATHER])
        for text in ("Hello", "Hello " * 500)
    )
    assert 0 < short.input_tokens < long.input_tokens
    assert claude.beta.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Hi"}]).input_tokens > 0


def test_models_are_listed_page_by_page(claude: Anthropic) -> None:
    models = list(claude.models.list(limit=2))
    assert MODEL in [model.id for model in models]
    assert len(models) > 2
    one = claude.models.retrieve(MODEL)
    assert (one.id, one.type, one.lifecycle) == (MODEL, "model", "active")
    assert one.created_at.tzinfo is not None


def test_errors_are_the_sdks_own(claude: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        claude.messages.create(model="nobody", max_tokens=10, messages=HELLO)
    assert missing.value.type == "not_found_error"
    assert missing.value.request_id
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        claude.messages.create(model=MODEL, max_tokens=-1, messages=HELLO)
    with pytest.raises(anthropic.RateLimitError):
        claude.messages.create(model="sandbox/fail-429", max_tokens=10, messages=HELLO)
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="sk-nobody").messages.create(model=MODEL, max_tokens=10, messages=HELLO)


def test_M19_a_failure_in_a_stream_is_raised(claude: Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError) as failed,
        claude.messages.stream(model="sandbox/fail-midstream", max_tokens=100, messages=HELLO) as stream,
    ):
        list(stream.text_stream)
    assert failed.value.type == "api_error"


def test_M16_beta_features_reach_an_anthropic_model(vendor: Vendor, vendor_url: str) -> None:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "compaction", "content": "All so far."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    vendor.say(json.dumps(body).encode())
    with Anthropic(base_url=vendor_url, api_key=TOKEN, max_retries=0) as client:
        answer = client.beta.messages.create(
            model="claude-sonnet-5",
            max_tokens=100,
            messages=[{"role": "user", "content": "Hello"}],
            betas=["compact-2026-01-12"],
            context_management={"edits": [{"type": "compact_20260112"}]},
        )
    assert answer.content[0].type == "compaction"
    (seen,) = vendor.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert headers["anthropic-beta"] == "compact-2026-01-12"
    assert seen.json["context_management"] == {"edits": [{"type": "compact_20260112"}]}
