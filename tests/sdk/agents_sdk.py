"""OpenAI's Agents SDK, changed in nothing but base URL and key, against `make run`: test_agents_sdk.py runs this."""

import pytest
from agents import (
    Agent,
    ModelSettings,
    Runner,
    ToolCallItem,
    ToolCallOutputItem,
    function_tool,
    set_default_openai_client,
)
from agents.models.openai_provider import OpenAIProvider
from agents.models.openai_responses import OpenAIResponsesModel
from agents.result import RunResultBase
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

pytestmark = pytest.mark.anyio

MODEL = "Auto"
PROMPT = "Tell me about the river Spree, please."
QUESTION = "What is the weather in Rome and Oslo?"


@pytest.fixture(autouse=True)
async def _client(async_client: AsyncOpenAI) -> None:
    """A client for each test: the SDK's own is one for the whole process, and lives in the first test's event loop."""
    set_default_openai_client(async_client, use_for_tracing=False)


class Solution(BaseModel):
    explanation: str
    answer: int


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"Sunny in {city}"


def forecaster() -> Agent[None]:
    return Agent(name="Forecaster", instructions="Be brief.", model=MODEL, tools=[get_weather])


def assert_tools_were_used(result: RunResultBase) -> None:
    """That both calls were made and answered, and that the model then told their results."""
    calls = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
    outputs = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
    assert [getattr(call, "name", None) for call in calls] == ["get_weather", "get_weather"]
    assert len(outputs) == 2
    assert all(output.startswith("Sunny in ") for output in outputs)
    assert len(result.raw_responses) == 2
    assert "Sunny in " in result.final_output
    usage = result.context_wrapper.usage
    assert usage.requests == 2
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0


async def test_the_sdk_takes_the_responses_api_unless_told() -> None:
    assert isinstance(OpenAIProvider().get_model(MODEL), OpenAIResponsesModel)


async def test_an_agent_uses_its_tools() -> None:
    assert_tools_were_used(await Runner.run(forecaster(), QUESTION))


async def test_an_agent_uses_its_tools_while_it_streams() -> None:
    run = Runner.run_streamed(forecaster(), QUESTION)
    events = [event async for event in run.stream_events()]
    assert_tools_were_used(run)
    raw = [event.data for event in events if event.type == "raw_response_event"]
    assert [event.type for event in raw].count("response.completed") == 2
    assert "".join(event.delta for event in raw if isinstance(event, ResponseTextDeltaEvent)) == run.final_output
    names = [event.name for event in events if event.type == "run_item_stream_event"]
    assert names == ["tool_called", "tool_called", "tool_output", "tool_output", "message_output_created"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_run_goes_on_from_a_previous_response(streamed: bool) -> None:
    agent = Agent(name="Geographer", model=MODEL)
    first = await Runner.run(agent, PROMPT)
    assert PROMPT in first.final_output
    assert first.last_response_id
    if streamed:
        run = Runner.run_streamed(agent, "And the Elbe?", previous_response_id=first.last_response_id)
        async for _ in run.stream_events():
            pass
        second: RunResultBase = run
    else:
        second = await Runner.run(agent, "And the Elbe?", previous_response_id=first.last_response_id)
    assert "turn 2" in second.final_output


async def test_a_tool_round_may_live_on_the_gateway_alone() -> None:
    """The SDK then sends only each tool's result, and the id of the response that called it."""
    assert_tools_were_used(await Runner.run(forecaster(), QUESTION, auto_previous_response_id=True))


async def test_an_agent_hands_over_to_another() -> None:
    other = Agent(name="Other", model=MODEL)
    settings = ModelSettings(tool_choice="required")
    result = await Runner.run(Agent(name="First", model=MODEL, handoffs=[other], model_settings=settings), PROMPT)
    assert result.last_agent is other
    assert isinstance(result.final_output, str)


async def test_an_answer_has_the_type_that_was_asked_for() -> None:
    result = await Runner.run(Agent(name="Solver", model=MODEL, output_type=Solution), "What is 7 plus 5?")
    assert isinstance(result.final_output, Solution)
