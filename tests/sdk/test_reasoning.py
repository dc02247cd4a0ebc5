"""OpenAI's SDK over chat completions, with a model behind it that is asked by the Responses API."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.providers.wires import openai_responses as wire
from tests.sdk.server import TOKEN
from tests.sdk.vendor import Vendor

TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture
def client(vendor_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{vendor_url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_P21_the_models_reasoning_survives_a_tool_round(client: OpenAI, vendor: Vendor, stream: bool) -> None:
    """The SDK sends an answer's message back as it came, fields that it does not know included."""
    messages: list[object] = [{"role": "user", "content": "The weather in Oslo?"}]
    asked = {"model": "gpt-6-sol", "tools": [{"type": "function", "function": TOOL}]}
    answer = wire.ANSWERS["reasoning"]
    vendor.say(answer.body, [answer.stream])
    if stream:
        with client.chat.completions.stream(messages=messages, **asked) as streamed:  # type: ignore[arg-type]
            message = streamed.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=messages, **asked).choices[0].message  # type: ignore[call-overload]
    (call,) = message.tool_calls or ()
    assert call.function.arguments == '{"city":"Oslo"}'
    vendor.say(wire.ANSWERS["text"].body)
    result = {"role": "tool", "tool_call_id": call.id, "content": "4 °C"}
    again = client.chat.completions.create(messages=[*messages, message, result], **asked)
    assert again.choices[0].message.content == "Hello, Zoë! 👋"
    (seen,) = vendor.seen
    assert seen.path == "/v1/responses"
    wire.validate_request(seen.json)
    kept = [item["encrypted_content"] for item in seen.json["input"] if item.get("type") == "reasoning"]
    assert kept == [wire.ENCRYPTED, "gAAAAABrest"]
