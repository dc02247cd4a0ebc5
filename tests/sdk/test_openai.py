"""OpenAI's own SDK, changed in nothing but base URL and key, against the gateway as `make run` starts it.

The tests hold for its newest major version and the one before: `test_openai_2.py` runs them again.
"""

import json
import os
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

MODEL = "sandbox/chat"
PROMPT = "Tell me about the river Spree, please."
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5"
    "ErkJggg=="
)
WEATHER_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"]


class Step(BaseModel):
    explanation: str
    output: str


class Solution(BaseModel):
    steps: list[Step]
    answer: int


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def extra(model: BaseModel, name: str) -> Any:
    """A field that OpenAI's types do not know."""
    return (model.model_extra or {})[name]


def test_the_sdk_is_the_one_that_this_run_is_about() -> None:
    assert openai.__version__.startswith(os.environ.get("TEST_OPENAI_VERSION", "3."))


# --- whole answers


def test_a_completion_is_the_sdks_object(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=user(PROMPT))
    ChatCompletion.model_validate(completion.to_dict(), strict=True)  # the SDK itself does not validate
    assert completion.id.startswith("chatcmpl-")
    assert completion.object == "chat.completion"
    assert completion.created > 1_700_000_000
    assert completion.model == MODEL
    assert [choice.index for choice in completion.choices] == [0]
    choice = completion.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert PROMPT in (choice.message.content or "")
    assert choice.message.refusal is None
    assert choice.message.tool_calls is None
    assert completion.usage
    assert completion.usage.prompt_tokens > 0
    assert completion.usage.completion_tokens > 0
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_a_conversation_of_all_roles_is_understood(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello to you."},
            {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
        ],
    )
    assert "And now?" in (completion.choices[0].message.content or "")


def test_max_tokens_end_an_answer_early(client: OpenAI) -> None:
    short = client.chat.completions.create(model=MODEL, messages=user(PROMPT), max_tokens=3)
    assert short.choices[0].finish_reason == "length"
    assert short.usage
    assert short.usage.completion_tokens == 3
    newer = client.chat.completions.create(model=MODEL, messages=user(PROMPT), max_completion_tokens=3)
    assert newer.choices[0].message.content == short.choices[0].message.content


def test_a_stop_sequence_ends_an_answer_before_it(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=user(PROMPT), stop=["Spree"])
    assert completion.choices[0].finish_reason == "stop"
    assert (completion.choices[0].message.content or "").endswith("the river ")


def test_several_candidates_differ(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=user(PROMPT), n=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert completion.choices[0].message.content != completion.choices[1].message.content


def test_logprobs_spell_the_answer(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=user(PROMPT), logprobs=True, top_logprobs=2)
    choice = completion.choices[0]
    assert choice.logprobs
    assert choice.logprobs.content
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    for token in choice.logprobs.content:
        assert token.logprob <= 0
        assert bytes(token.bytes or []).decode() == token.token
        assert len(token.top_logprobs) == 2


def test_an_image_in_a_data_uri_is_seen(client: OpenAI) -> None:
    parts = [
        {"type": "text", "text": "What is in this image?"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
    ]
    completion = client.chat.completions.create(model=MODEL, messages=user(parts))
    assert "image/png, 1x1 pixels" in (completion.choices[0].message.content or "")


def test_a_refusal_is_told_as_one(client: OpenAI) -> None:
    message = client.chat.completions.create(model=MODEL, messages=user("[sandbox:refuse]")).choices[0].message
    assert message.refusal
    assert not message.content


# --- streams


def test_a_stream_says_what_the_whole_answer_says(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=user(PROMPT))
    chunks = list(client.chat.completions.create(model=MODEL, messages=user(PROMPT), stream=True))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.to_dict(), strict=True)
    assert text_of(chunks) == whole.choices[0].message.content
    assert len(chunks) > 5
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {(chunks[0].id, chunks[0].created, MODEL)}
    assert all(len(chunk.choices) == 1 for chunk in chunks), "clients index choices[0] unguarded"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].choices[0].delta.content is None
    assert not any(chunk.usage for chunk in chunks)


def test_usage_comes_in_a_last_chunk_of_its_own_where_it_is_asked_for(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=user(PROMPT))
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=user(PROMPT), stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert not any(chunk.usage for chunk in chunks[:-1])


def test_candidates_are_streamed_apart(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=user(PROMPT), n=2)
    chunks = list(client.chat.completions.create(model=MODEL, messages=user(PROMPT), n=2, stream=True))
    assert [text_of(chunks, index) for index in (0, 1)] == [choice.message.content for choice in whole.choices]


def test_logprobs_are_streamed(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=user(PROMPT), logprobs=True) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.logprobs
    assert choice.logprobs.content
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content


def test_the_stream_helper_tells_of_text(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=user(PROMPT))
    deltas, done = [], []
    with client.chat.completions.stream(
        model=MODEL, messages=user(PROMPT), stream_options={"include_usage": True}
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                deltas.append(event.delta)
            elif event.type == "content.done":
                done.append(event.content)
        final = stream.get_final_completion()
    assert "".join(deltas) == whole.choices[0].message.content
    assert done == [whole.choices[0].message.content]
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"
    assert final.usage == whole.usage


def test_the_stream_helper_tells_of_tools(client: OpenAI) -> None:
    deltas, done = [], []
    with client.chat.completions.stream(
        model=MODEL,
        messages=user("What is the weather in Tokyo and Paris?"),
        tools=[pydantic_function_tool(GetWeather, name="get_weather")],
    ) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.delta":
                deltas.append(event)
            elif event.type == "tool_calls.function.arguments.done":
                done.append(event)
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert calls
    assert [call.function.name for call in calls] == ["get_weather"] * 2
    parsed = [call.function.parsed_arguments for call in calls]
    assert [weather.city for weather in parsed if isinstance(weather, GetWeather)] == ["Tokyo", "Paris"]
    assert len(deltas) > len(calls), "arguments come in fragments"
    assert [(event.index, event.arguments) for event in done] == [
        (index, call.function.arguments) for index, call in enumerate(calls)
    ]


def test_a_stream_that_is_left_early_harms_no_other(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=user(PROMPT * 50), stream=True) as stream:
        next(iter(stream))
    assert client.chat.completions.create(model=MODEL, messages=user(PROMPT)).choices


# --- tools


def test_parallel_tool_calls_are_made_and_their_results_taken(client: OpenAI) -> None:
    messages: list[Any] = user("What is the weather in Tokyo and Paris?")
    completion = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL])
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls: Any = choice.message.tool_calls
    assert [call.type for call in calls] == ["function", "function"]
    assert [call.function.name for call in calls] == ["get_weather", "get_weather"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Tokyo"}, {"city": "Paris"}]
    assert calls[0].id != calls[1].id

    messages.append(choice.message)
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": f"{degrees} degrees"}
        for call, degrees in zip(calls, (31, 17), strict=True)
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL]).choices[0]
    assert answer.finish_reason == "stop"
    assert "31 degrees" in (answer.message.content or "")
    assert "17 degrees" in (answer.message.content or "")


def test_parallel_tool_calls_can_be_forbidden(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL,
        messages=user("What is the weather in Tokyo and Paris?"),
        tools=[WEATHER_TOOL],
        parallel_tool_calls=False,
    )
    assert len(completion.choices[0].message.tool_calls or []) == 1


def test_a_tool_can_be_forced_or_forbidden(client: OpenAI) -> None:
    forced = client.chat.completions.create(
        model=MODEL,
        messages=user(PROMPT),
        tools=[WEATHER_TOOL],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    assert forced.choices[0].message.tool_calls
    free = client.chat.completions.create(model=MODEL, messages=user(PROMPT), tools=[WEATHER_TOOL], tool_choice="none")
    assert free.choices[0].message.tool_calls is None


def test_streamed_tool_calls_can_be_put_together_by_their_index(client: OpenAI) -> None:
    messages = user("What is the weather in Tokyo and Paris?")
    calls: dict[int, dict[str, str]] = {}
    stream = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL], stream=True)
    for chunk in stream:
        for fragment in chunk.choices[0].delta.tool_calls or []:
            assert fragment.function
            if fragment.index not in calls:
                assert fragment.id
                assert fragment.type == "function"
                assert fragment.function.name
                calls[fragment.index] = {"id": fragment.id, "name": fragment.function.name, "arguments": ""}
            calls[fragment.index]["arguments"] += fragment.function.arguments or ""
    whole: Any = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL]).choices[0]
    assert list(calls) == [0, 1]
    assert [(call["id"], call["name"], call["arguments"]) for call in calls.values()] == [
        (call.id, call.function.name, call.function.arguments) for call in whole.message.tool_calls
    ]


# --- structured output


def test_an_answer_is_parsed_into_a_pydantic_model(client: OpenAI) -> None:
    completion = client.chat.completions.parse(model=MODEL, messages=user("Solve 2 + 2."), response_format=Solution)
    parsed = completion.choices[0].message.parsed
    assert isinstance(parsed, Solution)
    assert parsed.steps


def test_a_stream_is_parsed_into_a_pydantic_model(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=user("Solve 2 + 2."), response_format=Solution) as stream:
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(parsed, Solution)


def test_tool_arguments_are_parsed_into_a_pydantic_model(client: OpenAI) -> None:
    completion = client.chat.completions.parse(
        model=MODEL, messages=user("How is the weather in Oslo?"), tools=[pydantic_function_tool(GetWeather)]
    )
    calls = completion.choices[0].message.tool_calls
    assert calls
    assert isinstance(calls[0].function.parsed_arguments, GetWeather)


def test_json_mode_answers_json(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=user("Answer in JSON."), response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(completion.choices[0].message.content or ""), dict)


def test_an_answer_cut_short_is_not_parsed(client: OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=MODEL, messages=user(PROMPT), response_format=Solution, max_tokens=2)


def test_a_filtered_answer_is_not_parsed(client: OpenAI) -> None:
    with pytest.raises(openai.ContentFilterFinishReasonError):
        client.chat.completions.parse(model=MODEL, messages=user("[sandbox:filter]"), response_format=Solution)


# --- reasoning


def test_reasoning_comes_back_unchanged_in_the_sdks_own_message(client: OpenAI) -> None:
    messages: list[Any] = user(PROMPT)
    completion = client.chat.completions.create(model=MODEL, messages=messages, reasoning_effort="high")
    message = completion.choices[0].message
    assert PROMPT in extra(message, "reasoning_content")
    assert completion.usage
    assert completion.usage.completion_tokens_details
    assert completion.usage.completion_tokens_details.reasoning_tokens
    messages += [message, {"role": "user", "content": "Go on."}]
    answer = client.chat.completions.create(model=MODEL, messages=messages).choices[0].message
    assert "My earlier reasoning came back unchanged." in (answer.content or "")


def test_streamed_reasoning_comes_back_unchanged_in_the_sdks_own_message(client: OpenAI) -> None:
    messages: list[Any] = user(PROMPT)
    with client.chat.completions.stream(model=MODEL, messages=messages, reasoning_effort="high") as stream:
        message = stream.get_final_completion().choices[0].message
    messages += [message, {"role": "user", "content": "Go on."}]
    answer = client.chat.completions.create(model=MODEL, messages=messages).choices[0].message
    assert "My earlier reasoning came back unchanged." in (answer.content or "")


def test_reasoning_comes_back_unchanged_with_tool_calls(client: OpenAI) -> None:
    messages: list[Any] = user("What is the weather in Oslo?")
    with client.chat.completions.stream(
        model=MODEL, messages=messages, tools=[WEATHER_TOOL], reasoning_effort="low"
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "4 degrees"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL]).choices[0].message
    assert "4 degrees" in (answer.content or "")
    assert "My earlier reasoning came back unchanged." in (answer.content or "")


# --- text completions and models


def test_a_text_completion_is_the_sdks_object(client: OpenAI) -> None:
    completion = client.completions.create(model=MODEL, prompt=PROMPT)
    assert completion.id.startswith("cmpl-")
    assert completion.object == "text_completion"
    assert completion.model == MODEL
    assert PROMPT in completion.choices[0].text
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_a_streamed_text_completion_says_what_the_whole_one_says(client: OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt=PROMPT)
    chunks = list(
        client.completions.create(model=MODEL, prompt=PROMPT, stream=True, stream_options={"include_usage": True})
    )
    assert len(chunks) > 5
    assert len({chunk.id for chunk in chunks}) == 1
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage


def test_the_models_are_listed_and_each_can_be_retrieved(client: OpenAI) -> None:
    listed = list(client.models.list())
    assert MODEL in [model.id for model in listed]
    for model in listed:
        assert model.object == "model"
        assert client.models.retrieve(model.id) == model


# --- errors


def test_a_wrong_key_is_an_authentication_error(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        client.with_options(api_key="sk-wrong").chat.completions.create(model=MODEL, messages=user(PROMPT))
    assert raised.value.code == "invalid_api_key"
    assert "sk-wrong" not in raised.value.message


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="nobody/nothing", messages=user(PROMPT))
    assert raised.value.code == "model_not_found"
    assert "nobody/nothing" in raised.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/nothing")


@pytest.mark.parametrize("stream", [False, True])
def test_a_rate_limit_says_how_long_to_wait(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        client.with_options(max_retries=0).chat.completions.create(
            model="sandbox/fail-429", messages=user(PROMPT), stream=stream
        )
    assert raised.value.code == "rate_limit_exceeded"
    assert int(raised.value.response.headers["retry-after"]) >= 1
    assert raised.value.request_id == raised.value.response.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_fails_is_an_internal_server_error(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        client.with_options(max_retries=0).chat.completions.create(
            model="sandbox/fail-500", messages=user(PROMPT), stream=stream
        )
    assert raised.value.status_code == 502


@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_field_is_a_bad_request_that_names_it(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model=MODEL, messages=user(PROMPT), temperature=2.5, stream=stream)
    assert raised.value.param == "temperature"
    assert raised.value.type == "invalid_request_error"


def test_a_failure_amid_a_stream_is_raised_after_what_came_before_it(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="sandbox/fail-midstream", messages=user(PROMPT), stream=True)
    received: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError) as raised:
        received.extend(stream)
    assert text_of(received)
    assert type(raised.value) is openai.APIError, "told in the stream, not a broken connection"
    assert raised.value.type == "server_error"


# --- headers


def test_the_request_id_is_the_sdks(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=user(PROMPT))
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=user(PROMPT), extra_headers={"X-Request-ID": "mine-1"}
    )
    assert completion._request_id
    assert raw.headers["x-request-id"] == raw.parse()._request_id == "mine-1"


def test_the_headers_tell_the_model_and_its_provider(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=user(PROMPT))
    assert raw.headers["x-gateway-model"] == MODEL
    assert raw.headers["x-gateway-backend"].startswith("sandbox/")
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=user(PROMPT), stream=True
    ) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.headers["x-gateway-model"] == MODEL
        assert streamed.headers["x-request-id"]
        lines = [line for line in streamed.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


# --- the asynchronous client


@pytest.mark.anyio
async def test_the_asynchronous_client_gets_whole_answers_and_streams(async_client: AsyncOpenAI) -> None:
    whole = await async_client.chat.completions.create(model=MODEL, messages=user(PROMPT))
    stream = await async_client.chat.completions.create(model=MODEL, messages=user(PROMPT), stream=True)
    chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == whole.choices[0].message.content
    assert whole._request_id


@pytest.mark.anyio
async def test_the_asynchronous_stream_helper_tells_of_tools(async_client: AsyncOpenAI) -> None:
    async with async_client.chat.completions.stream(
        model=MODEL,
        messages=user("What is the weather in Oslo?"),
        tools=[pydantic_function_tool(GetWeather, name="get_weather")],
    ) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls
    assert isinstance(calls[0].function.parsed_arguments, GetWeather)


@pytest.mark.anyio
async def test_the_asynchronous_client_lists_models_and_raises_errors(async_client: AsyncOpenAI) -> None:
    assert MODEL in [model.id async for model in async_client.models.list()]
    with pytest.raises(openai.NotFoundError):
        await async_client.models.retrieve("nobody/nothing")
    with pytest.raises(openai.RateLimitError):
        await async_client.with_options(max_retries=0).chat.completions.create(
            model="sandbox/fail-429", messages=user(PROMPT)
        )
    with pytest.raises(openai.APIError):
        async for _ in await async_client.chat.completions.create(
            model="sandbox/fail-midstream", messages=user(PROMPT), stream=True
        ):
            pass
