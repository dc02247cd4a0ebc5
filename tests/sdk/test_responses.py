"""The Responses API of OpenAI's own SDK, changed in nothing but base URL and key, against `make run`."""

import time
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.types.responses import Response, ResponseTextDeltaEvent
from pydantic import BaseModel

MODEL = "sandbox/chat"
PROMPT = "Tell me about the river Spree, please."
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"]


class Solution(BaseModel):
    explanation: str
    answer: int


def test_P22_a_response_is_the_sdks_object(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=PROMPT, instructions="Be brief.", metadata={"a": "b"})
    Response.model_validate(response.to_dict(), strict=True)  # the SDK itself does not validate
    assert response.id.startswith("resp_")
    assert response.status == "completed"
    assert PROMPT in response.output_text
    assert response.instructions == "Be brief."
    assert response.metadata == {"a": "b"}
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_P22_a_stream_has_events_and_a_final_response(client: OpenAI) -> None:
    events = list(client.responses.create(model=MODEL, input=PROMPT, stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent))
    assert text == events[-1].response.output_text
    with client.responses.stream(model=MODEL, input=PROMPT) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text
    assert PROMPT in final.output_text


@pytest.mark.anyio
async def test_P22_an_asynchronous_stream_comes_as_well(async_client: AsyncOpenAI) -> None:
    stream = await async_client.responses.create(model=MODEL, input=PROMPT, stream=True)
    kinds = [event.type async for event in stream]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_P22_a_tool_is_called_and_its_result_taken(client: OpenAI, streamed: bool) -> None:
    question: Any = [{"role": "user", "content": "What is the weather in Rome and Oslo?"}]
    if streamed:
        with client.responses.stream(model=MODEL, input=question, tools=[WEATHER]) as stream:
            response: Any = stream.until_done().get_final_response()
    else:
        response = client.responses.create(model=MODEL, input=question, tools=[WEATHER])
    calls = [item for item in response.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_weather"]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"} for call in calls]
    history = [*question, *(item.to_dict() for item in response.output), *results]
    assert "Sunny" in client.responses.create(model=MODEL, input=history, tools=[WEATHER]).output_text


def test_P22_an_answer_is_parsed_by_a_schema(client: OpenAI) -> None:
    parsed = client.responses.parse(model=MODEL, input="What is 7 plus 5?", text_format=Solution)
    assert isinstance(parsed.output_parsed, Solution)
    tool: Any = pydantic_function_tool(GetWeather)
    called = client.responses.parse(
        model=MODEL,
        input="What is the weather in Rome?",
        tools=[{"type": "function", **tool["function"]}],
        tool_choice="required",
    )
    (call,) = [item for item in called.output if item.type == "function_call"]
    assert isinstance(GetWeather.model_validate(call.parsed_arguments), GetWeather)
    with client.responses.stream(model=MODEL, input="What is 7 plus 5?", text_format=Solution) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Solution)


def test_P22_a_response_is_continued_retrieved_listed_and_deleted(client: OpenAI) -> None:
    first = client.responses.create(model=MODEL, input=PROMPT)
    second = client.responses.create(model=MODEL, input="And the Elbe?", previous_response_id=first.id)
    assert "turn 2" in second.output_text
    assert client.responses.retrieve(second.id).to_dict() == second.to_dict()
    streamed = list(client.responses.retrieve(second.id, stream=True))
    assert streamed[-1].type == "response.completed"
    assert streamed[-1].response.to_dict() == second.to_dict()
    items = list(client.responses.input_items.list(second.id, limit=1, order="asc"))  # the SDK asks for three pages
    assert [item.type for item in items] == ["message", "message", "message"]
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="Hi", previous_response_id=second.id)
    assert refused.value.code == "previous_response_not_found"


def test_a_response_in_the_background_is_polled_and_another_cancelled(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=PROMPT, background=True)
    assert response.status == "queued"
    until = time.monotonic() + 30
    while response.status in ("queued", "in_progress"):
        assert time.monotonic() < until
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    assert response.status == "completed"
    assert PROMPT in response.output_text
    cancelled = client.responses.cancel(client.responses.create(model=MODEL, input=PROMPT, background=True).id)
    assert cancelled.status in ("cancelled", "completed")


def test_input_tokens_are_counted(client: OpenAI) -> None:
    short, long = (client.responses.input_tokens.count(model=MODEL, input=PROMPT * times) for times in (1, 100))
    assert 0 < short.input_tokens < long.input_tokens


def test_a_stored_file_is_read(client: OpenAI) -> None:
    stored = client.files.create(file=("notes.txt", b"The Spree is 400 km long."), purpose="user_data")
    part: Any = {"type": "input_file", "file_id": stored.id}
    question: Any = {"type": "input_text", "text": "How long is it?"}
    response = client.responses.create(model=MODEL, input=[{"role": "user", "content": [part, question]}])
    assert "400 km" in response.output_text


def test_errors_are_the_sdks(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.responses.create(model="no/such-model", input=PROMPT)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input=PROMPT, temperature=3)
    assert refused.value.param == "temperature"
    events = list(client.responses.create(model="sandbox/fail-midstream", input=PROMPT, stream=True))
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
