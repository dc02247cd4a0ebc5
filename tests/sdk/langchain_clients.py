"""LangChain's clients, changed in nothing but base URL and key, against `make run`: test_langchain.py runs this."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.sdk.server import TOKEN

HELLO = [SystemMessage("Be brief."), HumanMessage("Hello")]
QUESTION = HumanMessage("What is the weather in Rome and Oslo?")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def responses(url: str, **fields: Any) -> BaseChatModel:
    return ChatOpenAI(
        model="Auto", use_responses_api=True, base_url=f"{url}/v1", api_key=TOKEN, max_retries=0, **fields
    )


def stored_responses(url: str) -> BaseChatModel:
    return responses(url, use_previous_response_id=True)


def sent_responses(url: str) -> BaseChatModel:
    return responses(url, output_version="responses/v1", store=False, include=["reasoning.encrypted_content"])


def messages(url: str) -> BaseChatModel:
    return ChatAnthropic(model="Auto", base_url=url, api_key=TOKEN, max_retries=0, max_tokens=1000)


@pytest.fixture(params=[stored_responses, sent_responses, messages], ids=lambda make: make.__name__)
def model(request: pytest.FixtureRequest, sandbox_url: str) -> BaseChatModel:
    make: Callable[[str], BaseChatModel] = request.param
    return make(sandbox_url)


class Solution(BaseModel):
    """A solution of a problem."""

    explanation: str
    answer: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"Sunny in {city}"


def streamed(model: Any, conversation: list[Any]) -> AIMessageChunk:
    first, *rest = model.stream(conversation)
    assert rest
    for chunk in rest:
        first += chunk
    whole: AIMessageChunk = first
    return whole


def invoked(model: Any, conversation: list[Any]) -> AIMessage:
    answer: AIMessage = model.invoke(conversation)
    return answer


def test_a_streamed_answer_is_the_whole_one(model: BaseChatModel) -> None:
    whole, parts = invoked(model, HELLO), streamed(model, HELLO)
    assert "Hello" in whole.text
    assert parts.text == whole.text
    for answer in (whole, parts):
        usage = answer.usage_metadata
        assert usage is not None
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


@pytest.mark.parametrize("ask", [invoked, streamed])
def test_tools_are_called_and_their_results_told(model: BaseChatModel, ask: Callable[..., AIMessage]) -> None:
    with_tools = model.bind_tools([get_weather])
    called = ask(with_tools, [QUESTION])
    assert [call["name"] for call in called.tool_calls] == ["get_weather", "get_weather"]
    results = [get_weather.invoke(call) for call in called.tool_calls]
    told = ask(with_tools, [QUESTION, called, *results])
    assert all(result.content in told.text for result in results)


def test_a_conversation_goes_on(model: BaseChatModel) -> None:
    first = invoked(model, HELLO)
    assert "turn 2" in invoked(model, [*HELLO, first, HumanMessage("And now?")]).text


def test_an_answer_has_the_type_that_was_asked_for(model: BaseChatModel) -> None:
    assert isinstance(model.with_structured_output(Solution).invoke("What is 7 plus 5?"), Solution)


def test_an_image_is_seen(model: BaseChatModel) -> None:
    image = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    assert "image/png" in invoked(model, [HumanMessage([{"type": "text", "text": "What is it?"}, image])]).text
