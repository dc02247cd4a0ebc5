"""What is peculiar to OpenAI and to each vendor that is nearly compatible with it."""

import json
from typing import Any

import httpx
import pytest

from shared.errors import (
    ContentFiltered,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    UnsupportedFeature,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from shared.providers.openai.chat import adapter
from shared.schemas.chat import ChatRequest, ChatResponse, JsonSchemaFormat, NamedTool, Tool
from shared.schemas.content import Image, Inline, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from shared.schemas.events import (
    ChatEvent,
    Finished,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.model import Capability, Model
from shared.schemas.usage import FinishReason, Usage
from tests.providers.reading import collected, split, streamed
from tests.providers.reading import whole as read_whole
from tests.providers.wires.openai import wire

HELLO = Message(role="user", parts=(Text(text="Hello"),))
TOOL = Tool(name="now", parameters={"type": "object", "properties": {}})
PIXEL = Image(source=Inline(media_type="image/png", data="iVBORw0KGgo="))
PIXEL_JSON = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def sent(*quirks: str, messages: tuple[Message, ...] = (HELLO,), **fields: Any) -> Any:
    """The JSON that a model with these quirks gets."""
    model = Model(
        id="m",
        provider="p",
        upstream="vendor-m",
        owned_by="p",
        capabilities=frozenset({Capability.REASONING}),
        quirks=frozenset(quirks),
    )
    return adapter.call(ChatRequest(model="m", messages=messages, **fields), model).json


def sent_message(*quirks: str, parts: tuple[Part, ...]) -> Any:
    """The JSON of an assistant message with these parts."""
    return sent(*quirks, messages=(HELLO, Message(role="assistant", parts=parts)))["messages"][1]


def sent_schema(schema: Any, *quirks: str) -> Any:
    """What becomes of a schema in strict mode."""
    response_format = JsonSchemaFormat(name="answer", json_schema=schema, strict=True)
    return sent(*quirks, response_format=response_format)["response_format"]["json_schema"]["schema"]


ASKED = ChatRequest(model="m", messages=(HELLO,))


def events(*frames: Any) -> list[ChatEvent]:
    """The events of a stream of these frames; bytes stand for themselves."""
    chunks = (
        frame if isinstance(frame, bytes) else b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames
    )
    return streamed(adapter, ASKED, chunks)


def folded(*frames: Any) -> ChatResponse:
    return collected(events(*frames))


def answered(body: Any) -> ChatResponse:
    """The response to a whole body."""
    return collected(read_whole(adapter, ASKED, json.dumps(body).encode()))


def delta(reason: str | None = None, **fields: Any) -> Any:
    return {"id": "x", "choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


def whole(reason: str | None = "stop", **message: Any) -> ChatResponse:
    """The response to a body with this message."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return answered({"id": "x", "choices": [choice]})


def failure(status: int, body: Any) -> GatewayError:
    return adapter.vendor.error(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


DONE = b"data: [DONE]\n\n"


# --- quirks ---


def test_max_tokens_goes_by_the_name_that_the_model_takes() -> None:
    assert sent(max_tokens=5)["max_tokens"] == 5
    renamed = sent("max_completion_tokens", max_tokens=5)
    assert renamed["max_completion_tokens"] == 5
    assert "max_tokens" not in renamed


@pytest.mark.parametrize(
    ("quirk", "fields"),
    [
        ("default_temperature_only", {"temperature": 0.0, "top_p": 0.5, "presence_penalty": 1.0, "logit_bias": {}}),
        ("no_penalties", {"presence_penalty": 1.0, "frequency_penalty": 1.0}),
        ("no_stop", {"stop": ("x",)}),
        ("no_user", {"user": "u"}),
        ("no_verbosity", {"verbosity": "low"}),
        ("no_logit_bias", {"logit_bias": {"1": 1.0}}),
    ],
)
def test_a_knob_that_the_model_refuses_is_left_out(quirk: str, fields: dict[str, Any]) -> None:
    assert sent(**fields).keys() >= fields.keys()
    assert not sent(quirk, **fields).keys() & fields.keys()


def test_a_model_that_does_not_reason_gets_no_effort() -> None:
    model = Model(id="m", provider="p", upstream="m", owned_by="p")
    request = ChatRequest(model="m", messages=(HELLO,), reasoning_effort="low")
    assert "reasoning_effort" not in adapter.call(request, model).json


def test_usage_is_asked_for_in_every_stream_unless_the_vendor_refuses() -> None:
    assert sent(stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent("no_stream_usage", stream=True)
    assert "stream_options" not in sent()


def test_mistral_calls_the_seed_random_seed() -> None:
    renamed = sent("random_seed", seed=3)
    assert renamed["random_seed"] == 3
    assert "seed" not in renamed


def test_parallel_tool_calls_are_left_out_without_tools() -> None:
    assert sent(tools=(TOOL,), parallel_tool_calls=False)["parallel_tool_calls"] is False
    assert not {"parallel_tool_calls", "tool_choice"} & sent(parallel_tool_calls=False, tool_choice="auto").keys()


@pytest.mark.parametrize(("quirks", "fields"), [(("no_logprobs",), {}), (("default_temperature_only",), {})])
def test_logprobs_are_a_feature_and_not_ignored(quirks: tuple[str, ...], fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeature, match="'m' does not support logprobs"):
        sent(*quirks, logprobs=True, **fields)


def test_top_logprobs_go_out_with_logprobs_only() -> None:
    assert not {"logprobs", "top_logprobs"} & sent(top_logprobs=0).keys()
    assert "top_logprobs" not in sent("no_logprobs", top_logprobs=2)
    both = sent(logprobs=True, top_logprobs=0)
    assert (both["logprobs"], both["top_logprobs"]) == (True, 0)


@pytest.mark.parametrize("choice", ["required", NamedTool(name="now")])
def test_a_forced_tool_call_is_refused_where_the_model_has_none(choice: Any) -> None:
    with pytest.raises(UnsupportedFeature, match="tool_choice"):
        sent("no_forced_tool_choice", tools=(TOOL,), tool_choice=choice)
    assert sent("no_forced_tool_choice", tools=(TOOL,), tool_choice="none")["tool_choice"] == "none"


def test_image_output_needs_a_model_that_has_it() -> None:
    with pytest.raises(UnsupportedFeature, match="image output"):
        sent(image_output=True)
    model = Model(id="m", provider="p", upstream="m", owned_by="p", capabilities=frozenset({Capability.IMAGE_OUTPUT}))
    request = ChatRequest(model="m", messages=(HELLO,), image_output=True)
    assert adapter.call(request, model).json["modalities"] == ["image", "text"]


# --- reasoning effort ---


def test_an_id_that_did_not_reason_goes_on_not_reasoning_until_asked_to() -> None:
    assert sent("reasoning_opt_in")["reasoning_effort"] == "none"
    assert sent("reasoning_opt_in", reasoning_effort="low")["reasoning_effort"] == "low"


def test_deepseek_switches_thinking_off_by_another_field() -> None:
    off = sent("thinking_switch", "reasoning_opt_in")
    assert off["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in off
    on = sent("thinking_switch", "reasoning_opt_in", reasoning_effort="high")
    assert on["reasoning_effort"] == "high"
    assert "thinking" not in on


@pytest.mark.parametrize(
    ("quirk", "asked", "given"),
    [
        ("always_thinks", "none", "low"),
        ("no_minimal_effort", "minimal", "low"),
        ("no_max_effort", "max", "xhigh"),
    ],
)
def test_an_effort_that_a_model_refuses_becomes_the_nearest(quirk: str, asked: Any, given: str) -> None:
    assert sent(quirk, reasoning_effort=asked)["reasoning_effort"] == given
    assert sent(reasoning_effort=asked)["reasoning_effort"] == asked


# --- messages ---


def test_system_text_is_sent_as_system() -> None:
    assert sent(system="Be brief.")["messages"][0] == {"role": "system", "content": "Be brief."}


def test_images_of_tool_results_follow_in_a_user_message_after_all_results() -> None:
    calls = tuple(ToolCall(id=f"c{n}", name="draw", arguments="{}") for n in (1, 2))
    results = (
        Message(role="tool", parts=(ToolResult(call_id="c1", name="draw", content=(PIXEL,)),)),
        Message(role="tool", parts=(ToolResult(call_id="c2", name="draw", content=(Text(text="done"), PIXEL)),)),
    )
    messages = sent(messages=(HELLO, Message(role="assistant", parts=calls), *results, HELLO))["messages"]
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "See the next user message."},
        {"role": "tool", "tool_call_id": "c2", "content": "done"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Result of tool call c1:"},
                PIXEL_JSON,
                {"type": "text", "text": "Result of tool call c2:"},
                PIXEL_JSON,
            ],
        },
        {"role": "user", "content": "Hello"},
    ]


def test_an_image_of_the_assistant_follows_in_a_user_message() -> None:
    messages = sent(messages=(HELLO, Message(role="assistant", parts=(Text(text="Here."), PIXEL))))["messages"]
    assert messages[1] == {"role": "assistant", "content": "Here."}
    assert messages[2]["content"][1:] == [PIXEL_JSON]


def test_a_refusal_goes_back_as_a_refusal() -> None:
    assert sent_message(parts=(Refusal(text="No."),)) == {"role": "assistant", "content": "", "refusal": "No."}


def test_a_call_without_arguments_goes_back_as_an_empty_object() -> None:
    message = sent_message(parts=(ToolCall(id="c", name="now", arguments=""),))
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "now", "arguments": "{}"}


def test_mistral_gets_call_ids_of_nine_letters_and_digits_on_both_sides() -> None:
    call = ToolCall(id="call_abc_1", name="now", arguments="{}")
    messages = (
        HELLO,
        Message(role="assistant", parts=(call, ToolCall(id="a1B2c3D4e", name="now", arguments="{}"))),
        Message(role="tool", parts=(ToolResult(call_id="call_abc_1", name="now", content=(Text(text="1"),)),)),
    )
    _, assistant, result = sent("short_call_ids", messages=messages)["messages"]
    short = assistant["tool_calls"][0]["id"]
    assert len(short) == 9
    assert short.isalnum()
    assert result["tool_call_id"] == short
    assert assistant["tool_calls"][1]["id"] == "a1B2c3D4e"


# --- reasoning that goes back ---

THOUGHT = Reasoning(text="Hm.", issuer="openai")
CALL = ToolCall(id="c", name="now", arguments="{}")


def test_reasoning_stays_here_unless_the_vendor_wants_it() -> None:
    message = sent_message(parts=(THOUGHT, Text(text="4")))
    assert message == {"role": "assistant", "content": "4"}


def test_deepseek_gets_its_reasoning_content_back() -> None:
    assert sent_message("reasoning_content", parts=(THOUGHT, Text(text="4")))["reasoning_content"] == "Hm."


def test_deepseek_refuses_a_tool_call_without_reasoning_content() -> None:
    message = sent_message("reasoning_content", parts=(CALL,))
    assert message["reasoning_content"].isspace()
    assert message["content"] == ""
    assert "reasoning_content" not in sent_message("reasoning_content", parts=(Text(text="4"),))


def test_deepseek_takes_reasoning_from_elsewhere_without_its_signature() -> None:
    foreign = Reasoning(text="Hm.", signature="sig", issuer="anthropic")
    message = sent_message("reasoning_content", parts=(foreign, CALL))
    assert message["reasoning_content"] == "Hm."
    assert "sig" not in json.dumps(message)


def test_ollama_gets_reasoning_back_in_the_field_it_came_in() -> None:
    assert sent_message("reasoning_field", parts=(THOUGHT, Text(text="4")))["reasoning"] == "Hm."


def test_mistral_gets_thinking_back_as_a_content_part() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    message = sent_message("thinking_parts", parts=(THOUGHT, Text(text="4")))
    assert message["content"] == [thinking, {"type": "text", "text": "4"}]
    assert sent_message("thinking_parts", parts=(THOUGHT, CALL))["content"] == [thinking]


DETAILS: list[Any] = [
    {"type": "reasoning.summary", "summary": "Short.", "id": "r1", "format": "openai-responses-v1", "index": 0},
    {
        "type": "reasoning.text",
        "text": "Let me think.",
        "signature": "sig==",
        "id": None,
        "format": "anthropic-claude-v1",
        "index": 1,
    },
    {"type": "reasoning.encrypted", "data": "gAAA", "id": "r2", "format": "openai-responses-v1", "index": 2},
]


def test_openrouter_gets_reasoning_details_back_unchanged() -> None:
    response = whole("stop", content="4", reasoning="Short.Let me think.", reasoning_details=DETAILS)
    parts = response.candidates[0].parts
    assert [part.kind for part in parts] == ["reasoning", "reasoning", "reasoning", "text"]
    assert isinstance(parts[2], Reasoning)
    assert parts[2].redacted
    assert sent_message("reasoning_details", parts=parts)["reasoning_details"] == DETAILS


def test_streamed_reasoning_details_are_put_together_again() -> None:
    pieces = [
        delta(reasoning="Short.", reasoning_details=[DETAILS[0]]),
        delta(reasoning="Let me", reasoning_details=[{**DETAILS[1], "text": "Let me", "signature": None}]),
        delta(reasoning=" think.", reasoning_details=[{**DETAILS[1], "text": " think.", "signature": None}]),
        delta(reasoning_details=[{**DETAILS[1], "text": ""}]),
        delta(reasoning_details=[DETAILS[2]]),
        delta(content="4"),
        delta("stop", content=""),
    ]
    expected = whole("stop", content="4", reasoning_details=DETAILS)
    assert folded(b": OPENROUTER PROCESSING\n\n", *pieces, DONE) == expected


def test_details_without_a_signature_end_where_the_answer_begins_or_ends() -> None:
    plain = {"type": "reasoning.text", "text": "Hm.", "format": "unknown", "index": 0}
    for rest in ({"content": "4"}, {}):
        expected = whole("stop", reasoning_details=[plain], **rest)
        assert folded(delta(reasoning_details=[plain]), delta(**rest), delta("stop"), DONE) == expected
        assert sent_message("reasoning_details", parts=expected.candidates[0].parts)["reasoning_details"] == [plain]


@pytest.mark.parametrize(
    "part",
    [
        THOUGHT,
        Reasoning(text="Hm.", signature='{"type":"reasoning.text"}', issuer="anthropic"),
        Reasoning(text="Hm.", signature="no JSON", issuer="openai"),
        Reasoning(signature="[1]", redacted=True, issuer="openai"),
    ],
)
def test_openrouter_gets_no_details_that_are_not_its_own(part: Reasoning) -> None:
    assert "reasoning_details" not in sent_message("reasoning_details", parts=(part, Text(text="4")))


def test_a_signature_on_a_tool_call_is_read_and_not_sent_back() -> None:
    extra = {"google": {"thought_signature": "abc+/="}}
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}, "extra_content": extra}
    response = whole("tool_calls", tool_calls=[call])
    assert folded(delta("tool_calls", tool_calls=[{**call, "index": 0}]), DONE) == response
    assert "extra_content" not in json.dumps(sent_message(parts=response.candidates[0].parts))


# --- JSON schema in strict mode ---


def test_strict_mode_gets_no_keyword_that_it_refuses() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "default": {"type": "string", "default": "x", "description": "A property called default."},
            "list": {"type": "array", "uniqueItems": True, "minItems": 1, "items": {"type": "integer", "not": {}}},
            "either": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {}}]},
        },
        "required": ["default", "list", "either"],
        "if": {"properties": {}},
        "then": {},
        "dependentRequired": {},
    }
    assert sent_schema(schema) == {
        "type": "object",
        "properties": {
            "default": {"type": "string", "default": "x", "description": "A property called default."},
            "list": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
            "either": {
                "anyOf": [{"type": "null"}, {"type": "object", "properties": {}, "additionalProperties": False}]
            },
        },
        "required": ["default", "list", "either"],
        "additionalProperties": False,
    }


def test_strict_mode_keeps_defaults_other_than_null() -> None:
    properties = {"a": {"type": "integer", "default": 0}, "b": {"type": "boolean", "default": False}}
    nothing = {"c": {"type": ["string", "null"], "default": None}}
    sent = sent_schema({"type": "object", "properties": properties | nothing})["properties"]
    assert sent == properties | {"c": {"type": ["string", "null"]}}


NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": ["string", "integer"], "default": "x"}, {"type": ["string", "integer", "null"], "default": "x"}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}, NULL]},
        ),
        ({"oneOf": [{"type": "string"}, NULL]}, {"anyOf": [{"type": "string"}, NULL]}),
        (
            {"type": "string", "enum": ["a", "b", None], "description": "A letter."},
            {"description": "A letter.", "anyOf": [{"type": "string", "enum": ["a", "b"]}, NULL]},
        ),
        ({"const": 1}, {"anyOf": [{"const": 1}, NULL]}),
        (
            {"$ref": "#/$defs/City", "description": "Where."},
            {"description": "Where.", "anyOf": [{"$ref": "#/$defs/City"}, NULL]},
        ),
        ({"allOf": [{"$ref": "#/$defs/City"}]}, {"anyOf": [{"$ref": "#/$defs/City"}, NULL]}),
        (
            {"type": "object", "properties": {}},
            {"type": ["object", "null"], "properties": {}, "additionalProperties": False},
        ),
    ],
)
def test_nullable_becomes_json_schemas_null(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    defs = {"City": {"type": "string"}}
    properties = {"nullable": {**schema, "nullable": True}, "never": {"type": "string", "nullable": False}}
    sent = sent_schema({"type": "object", "properties": properties, "$defs": defs, "nullable": True})
    assert sent["properties"] == {"nullable": expected, "never": {"type": "string"}}
    assert "nullable" not in sent
    assert sent["type"] == "object"


def test_nullable_survives_inside_all_of() -> None:
    schema = {"allOf": [{"type": "string", "nullable": True}, {"description": "A word."}]}
    sent = sent_schema({"type": "object", "properties": {"a": schema}})
    assert sent["properties"] == {"a": {"type": ["string", "null"], "description": "A word."}}


def test_a_schema_without_strict_is_sent_as_it_is() -> None:
    schema = {"type": "object", "oneOf": [{"required": ["a"]}], "default": {}}
    response_format = JsonSchemaFormat(name="answer", json_schema=schema)
    assert sent(response_format=response_format)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema},
    }


def test_cleaning_leaves_the_callers_schema_alone() -> None:
    schema = {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}], "default": ""}}}
    before = json.dumps(schema)
    sent_schema(schema)
    assert json.dumps(schema) == before


def test_a_reference_with_company_is_inlined_and_a_lone_one_kept() -> None:
    schema = {
        "type": "object",
        "properties": {
            "first": {"$ref": "#/$defs/City", "description": "Where from."},
            "second": {"$ref": "#/$defs/City"},
            "third": {"allOf": [{"$ref": "#/$defs/City"}], "default": None},
        },
        "$defs": {"City": {"type": "string", "description": "A city."}},
    }
    assert sent_schema(schema)["properties"] == {
        "first": {"type": "string", "description": "Where from."},
        "second": {"$ref": "#/$defs/City"},
        "third": {"$ref": "#/$defs/City"},
    }


def test_all_of_becomes_one_object() -> None:
    schema = {
        "allOf": [
            {"$ref": "#/$defs/Base"},
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ],
        "$defs": {"Base": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
    }
    cleaned = sent_schema(schema)
    assert cleaned["properties"] == {"a": {"type": "string"}, "b": {"type": "integer"}}
    assert cleaned["required"] == ["a", "b"]
    assert cleaned["additionalProperties"] is False
    assert "allOf" not in cleaned


def test_a_recursive_schema_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node", "description": "More."}}}
    cleaned = sent_schema({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert cleaned["properties"]["next"] == {"$ref": "#/$defs/Node"}


def test_a_schema_that_grows_without_bound_is_refused() -> None:
    definitions: dict[str, Any] = {"D30": {"type": "string"}}
    for level in range(30):
        reference = {"$ref": f"#/$defs/D{level + 1}", "description": "x"}
        definitions[f"D{level}"] = {"type": "object", "properties": {"a": reference, "b": reference}}
    with pytest.raises(InvalidRequest, match="too intricate"):
        sent_schema({"$ref": "#/$defs/D0", "$defs": definitions})


LARGE = {"type": "string", "enum": [f"value {number}" for number in range(5000)]}


def referring(times: int, large: dict[str, Any], **beside: Any) -> dict[str, Any]:
    properties = {f"p{number}": {"$ref": "#/$defs/Large", **beside} for number in range(times)}
    return {"type": "object", "properties": properties, "$defs": {"Large": large}}


@pytest.mark.parametrize(
    "large",
    [
        LARGE,
        {"description": "x" * 50_000},
        {"type": "array", "items": [LARGE]},
        {"type": "array", "prefixItems": [LARGE]},
    ],
)
def test_a_large_definition_may_not_be_inlined_often(large: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="too intricate"):
        sent_schema(referring(50, large, title="x"))


def test_lone_references_to_a_large_definition_cost_nothing() -> None:
    assert sent_schema(referring(50, LARGE))["properties"]["p0"] == {"$ref": "#/$defs/Large"}


def test_a_merge_of_very_many_parts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too intricate"):
        sent_schema({"allOf": [{"properties": {f"p{number}": {}}} for number in range(3000)]})


def test_all_schemas_of_a_request_share_a_budget() -> None:
    tool = Tool(name="t", parameters=referring(4, LARGE, title="x"), strict=True)
    sent(tools=(tool,))
    with pytest.raises(InvalidRequest, match="too intricate"):
        sent(tools=(tool,) * 5)


def test_a_schema_nested_too_deeply_is_refused() -> None:
    schema: Any = {"type": "string"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        sent_schema(schema)


@pytest.mark.parametrize(
    "node",
    [{"allOf": 3}, {"allOf": [True], "title": "x"}, {"$ref": [1], "title": "x"}, {"properties": 3}, {"anyOf": 3}],
)
def test_what_is_no_schema_is_refused(node: Any) -> None:
    with pytest.raises(InvalidRequest, match="is invalid"):
        sent_schema({"type": "object", "properties": {"a": node}})


def test_a_schema_that_contains_itself_is_refused() -> None:
    node = {"type": "object", "properties": {"next": {"allOf": [{"$ref": "#/$defs/Node"}, {"title": "More."}]}}}
    with pytest.raises(InvalidRequest, match="recursive through allOf"):
        sent_schema({"properties": {"a": {"$ref": "#/$defs/Node", "title": "x"}}, "$defs": {"Node": node}})


def test_a_reference_to_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        sent_schema({"properties": {"a": {"$ref": "#/$defs/None", "title": "x"}}})


# --- answers, whole and streamed ---


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_streamed_where_the_request_is(stream: bool) -> None:
    model = Model(id="m", provider="p", upstream="m", owned_by="p")
    assert adapter.call(ASKED.model_copy(update={"stream": stream}), model).streamed is stream


@pytest.mark.parametrize("answer", wire.answers)
def test_both_forms_of_an_answer_start_once_and_mean_the_same(answer: str) -> None:
    data = wire.answers[answer]
    for read in (read_whole(adapter, ASKED, data.body), streamed(adapter, ASKED, split(data.stream, 7))):
        assert [isinstance(event, Started) for event in read] == [True, *[False] * (len(read) - 1)]
        assert collected(read) == data.means


# --- answers of nearly compatible vendors ---


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_text_is_read_under_either_name(name: str) -> None:
    expected = whole(content="4", **{name: "Hm."})
    assert expected.candidates[0].parts == (THOUGHT, Text(text="4"))
    assert folded(delta(**{name: "H"}), delta(**{name: "m."}), delta(content="4"), delta("stop"), DONE) == expected


def test_mistral_thinks_in_content_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True}
    reference = {"type": "reference", "reference_ids": [1]}
    expected = whole(content=[thinking, reference, {"type": "text", "text": "4"}])
    assert expected.candidates[0].parts == (THOUGHT, Text(text="4"))
    pieces = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]} for text in ("H", "m.")]
    assert folded(*(delta(content=[piece]) for piece in pieces), delta("stop", content="4")) == expected


def test_generated_images_become_image_parts() -> None:
    expected = whole(content="Here.", images=[PIXEL_JSON])
    assert expected.candidates[0].parts == (Text(text="Here."), PIXEL)
    assert folded(delta(content="Here."), delta(images=[{**PIXEL_JSON, "index": 0}]), delta("stop"), DONE) == expected


def test_an_image_that_is_not_inline_is_not_passed_over_in_silence() -> None:
    with pytest.raises(ValueError, match="not inline"):
        whole(images=[{"type": "image_url", "image_url": {"url": "https://images.test/1.png"}}])


def call(name: str | None = "now", arguments: Any = "{}", **fields: Any) -> Any:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


@pytest.mark.parametrize(
    "calls",
    [
        [call(id="a"), call("then", '{"x":1}', id="b")],
        [call(id="a", index=0), call("then", '{"x":1}', id="b", index=0)],
        [call(id="a", index=0), call("then", {"x": 1}, id="b", index=1)],
    ],
    ids=["without index", "all at one index", "arguments as an object"],
)
def test_whole_calls_in_one_chunk_stay_apart(calls: Any) -> None:
    expected = (ToolCall(id="a", name="now", arguments="{}"), ToolCall(id="b", name="then", arguments='{"x":1}'))
    assert whole(tool_calls=calls).candidates[0].parts == expected
    assert folded(delta("stop", tool_calls=calls), DONE).candidates[0].parts == expected
    assert folded(*(delta(tool_calls=[each]) for each in calls), DONE).candidates[0].parts == expected


def test_calls_without_ids_get_some_that_are_the_same_in_both_forms() -> None:
    calls = [call(), call("then")]
    response = whole(tool_calls=calls)
    first, second = response.candidates[0].parts
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id.startswith("call_")
    assert first.id != second.id
    assert folded(delta("tool_calls", tool_calls=calls), DONE) == response


def test_fragments_find_their_call_without_an_index_or_with_the_id_repeated() -> None:
    pieces = [call("now", '{"a"', id="a"), call(None, ":1}", id=""), call("then", '{"b"', id="b"), call(None, ":2}")]
    for piece in (pieces, [{**piece, "id": "ab"[n // 2]} for n, piece in enumerate(pieces)]):
        parts = folded(*(delta(tool_calls=[each]) for each in piece), DONE).candidates[0].parts
        assert parts == (
            ToolCall(id="a", name="now", arguments='{"a":1}'),
            ToolCall(id="b", name="then", arguments='{"b":2}'),
        )


def test_fragments_of_parallel_calls_may_interleave() -> None:
    parts = [
        call(id="a", index=0, arguments=""),
        call("then", "", id="b", index=1),
        call(None, '{"b":2}', index=1),
        call(None, '{"a":1}', index=0),
    ]
    assert folded(*(delta(tool_calls=[part]) for part in parts), DONE).candidates[0].parts == (
        ToolCall(id="a", name="now", arguments='{"a":1}'),
        ToolCall(id="b", name="then", arguments='{"b":2}'),
    )


def test_a_call_begins_once_its_name_is_known() -> None:
    pieces = [call(None, '{"a"', id="a", index=0), call("now", ":1}", index=0)]
    assert events(*(delta(tool_calls=[piece]) for piece in pieces), DONE)[1:3] == [
        ToolCallStarted(0, id="a", name="now"),
        ToolCallDelta(0, '{"a":1}'),
    ]


def test_an_empty_call_is_none() -> None:
    response = folded(delta(content="4", tool_calls=[{}, {"function": None}]), delta("stop"), DONE)
    assert response.candidates[0].parts == (Text(text="4"),)
    assert response.candidates[0].finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    ("reason", "means"),
    [
        ("stop", FinishReason.STOP),
        ("eos", FinishReason.STOP),
        ("", FinishReason.STOP),
        (None, FinishReason.STOP),
        ("something_new", FinishReason.STOP),
        ("tool_calls", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
    ],
)
def test_every_finish_reason_becomes_one_of_ours(reason: str | None, means: FinishReason) -> None:
    assert whole(reason, content="4").candidates[0].finish_reason is means
    assert folded(delta(content="4"), delta(reason), DONE).candidates[0].finish_reason is means


@pytest.mark.parametrize("reason", ["stop", "eos", "function_call", "tool_calls", None])
def test_a_candidate_with_calls_finishes_with_tool_calls(reason: str | None) -> None:
    assert whole(reason, tool_calls=[call(id="a")]).candidates[0].finish_reason is FinishReason.TOOL_CALLS


def test_a_call_cut_off_is_not_offered_as_complete() -> None:
    assert whole("length", tool_calls=[call(id="a")]).candidates[0].finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("usage", "means"),
    [
        (None, Usage()),
        ({"prompt_tokens": 3, "completion_tokens": None}, Usage(input_tokens=3)),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_cache_hit_tokens": 8},
            Usage(input_tokens=9, output_tokens=4, cached_read_tokens=8),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "total_tokens": 43,
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
            Usage(input_tokens=9, output_tokens=34, reasoning_tokens=30),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 1300,
                "total_tokens": 1309,
                "completion_tokens_details": {"image_tokens": 1290, "reasoning_tokens": None, "audio_tokens": 2},
                "prompt_tokens_details": None,
            },
            Usage(input_tokens=9, output_tokens=1300, output_image_tokens=1290, output_audio_tokens=2),
        ),
    ],
    ids=["missing", "null", "deepseek", "xai counts reasoning apart", "images"],
)
def test_usage_has_one_meaning(usage: Any, means: Usage) -> None:
    body = {"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}], "usage": usage}
    assert answered(body).usage == means


@pytest.mark.parametrize(
    "frames",
    [
        [{**delta("stop", content="4"), "usage": {"prompt_tokens": 1}}],
        [delta("stop", content="4"), {"choices": [], "usage": {"prompt_tokens": 1}}],
        [{**delta("stop", content="4"), "x_groq": {"id": "r", "usage": {"prompt_tokens": 1}}}],
        [{**delta(content="4"), "usage": {"prompt_tokens": 9}}, {**delta("stop"), "usage": {"prompt_tokens": 1}}],
    ],
    ids=["last content chunk", "chunk without choices", "x_groq", "running totals"],
)
@pytest.mark.parametrize("end", [DONE, b""], ids=["done", "no done"])
def test_usage_is_found_wherever_it_comes(frames: list[Any], end: bytes) -> None:
    assert folded(*frames, end).usage == Usage(input_tokens=1)


def test_usage_is_on_the_last_of_several_candidates() -> None:
    choices = [{"index": n, "delta": {"content": "x"}, "finish_reason": "stop"} for n in (1, 0)]
    last = events({"choices": choices}, {"choices": [], "usage": {"prompt_tokens": 1}}, DONE)[-2:]
    assert last == [
        Finished(FinishReason.STOP, index=0),
        Finished(FinishReason.STOP, Usage(input_tokens=1), index=1),
    ]


def test_what_hosts_leave_out_or_repeat_is_read() -> None:
    assert events(
        {"choices": [], "prompt_filter_results": []},
        {"choices": [{"index": 0}]},
        {"choices": [{"delta": None, "finish_reason": None}]},
        delta(role="assistant", content=None, tool_calls=None),
        delta(role="assistant", content="4"),
        {"type": "ping"},
        b"data: 7\n\n",
        b"event: x\nid: 3\n\n",
        DONE,
    ) == [Started(), TextDelta("4"), Finished(FinishReason.STOP)]


# --- ends and errors of streams ---


def test_a_stream_that_just_ends_is_truncated() -> None:
    for frames in ([delta(content="4")], [], [DONE]):
        with pytest.raises(UpstreamError, match="before it was complete"):
            events(*frames)


def test_a_stream_is_not_complete_before_all_candidates_are() -> None:
    first = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}, {"index": 1, "delta": {"content": "x"}}]}
    with pytest.raises(UpstreamError, match="before it was complete"):
        events(first)


def test_nothing_is_read_after_done() -> None:
    last = Finished(FinishReason.STOP)
    assert events(delta("stop", content="4"), DONE + b'data: {"error": "late"}\n\n')[-1] == last
    after = iter([b"data: " + json.dumps(delta("stop", content="4")).encode() + b"\n\n", DONE, b"more"])
    assert streamed(adapter, ASKED, after)[-1] == last
    assert list(after) == [b"more"]


def test_an_error_before_anything_else_comes_before_started() -> None:
    with pytest.raises(UpstreamRateLimited):
        events({"error": {"message": "Slow down.", "code": 429}})


@pytest.mark.parametrize(
    ("error", "raises"),
    [
        ({"message": "Sorry.", "type": "server_error", "code": None}, UpstreamError),
        ({"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}, UpstreamRateLimited),
        ({"message": "Too long.", "type": "invalid_request_error"}, UpstreamRejected),
        ({"message": "Provider disconnected", "code": 502, "metadata": {"provider_name": "x"}}, UpstreamError),
        ({"message": "Timed out", "code": "408"}, UpstreamTimeout),
        ({"message": "Flagged", "type": "invalid_request_error", "code": "content_filter"}, ContentFiltered),
        ("out of memory", UpstreamError),
    ],
)
def test_an_error_in_the_stream_is_the_error_it_says(error: Any, raises: type[GatewayError]) -> None:
    broken = {"id": "x", "error": error, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}
    for frame in (broken, b"event: error\ndata: " + json.dumps({"error": error}).encode() + b"\n\n"):
        with pytest.raises(raises) as caught:
            events(delta(content="Once"), frame)
        assert type(caught.value) is raises


def test_errors_are_found_in_other_places_of_a_stream() -> None:
    choice = {"index": 0, "finish_reason": "error", "error": {"message": "No.", "code": 429}}
    for frame, raises in (
        ({"choices": [choice]}, UpstreamRateLimited),
        ({"object": "error", "message": "No.", "type": "BadRequestError", "code": 400}, UpstreamRejected),
        (b'event: error\ndata: {"message":"No."}\n\n', UpstreamError),
        (delta("error"), UpstreamError),
        (delta("insufficient_system_resource"), UpstreamOverloaded),
    ):
        with pytest.raises(raises):
            events(delta(content="Once"), frame)


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(UpstreamRateLimited):
        answered({"error": {"message": "Slow down.", "code": 429}})
    with pytest.raises(UpstreamError):
        whole("error", content="Once")


@pytest.mark.parametrize("body", [{"choices": []}, {}, {"choices": None}, {"choices": [7]}, {"id": "x"}])
def test_a_body_of_another_format_is_unreadable(body: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        answered(body)


# --- error bodies ---


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "bad thing", "type": "invalid_request_error"}},
        {"error": "bad thing"},
        {"error": {"message": {"detail": "bad thing"}}},
        {"detail": "bad thing"},
        {"detail": {"error": "bad thing"}},
        {"detail": [{"loc": ["body", "n"], "msg": "bad thing", "type": "int_type"}]},
        {"object": "error", "message": "bad thing", "type": "invalid_request_error", "code": "3280"},
        {"object": "error", "message": {"detail": [{"msg": "bad thing"}]}},
        [{"error": {"code": 400, "message": "bad thing", "status": "INVALID_ARGUMENT"}}],
    ],
)
def test_the_message_of_a_bad_request_is_found_wherever_it_is(body: Any) -> None:
    for status in (400, 422):
        error = failure(status, body)
        assert type(error) is UpstreamRejected
        assert error.message == "bad thing"


@pytest.mark.parametrize("body", [b"", b"null", b"<html>", b"[]", b'"x', {"error": None}, {"error": {"code": 3}}])
def test_an_error_without_a_message_still_says_something(body: Any) -> None:
    assert failure(400, body).message == "The provider refused the request."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Flagged.", "type": "invalid_request_error", "code": "content_policy_violation"}}),
        (400, {"error": {"message": "Flagged.", "code": "content_filter", "innererror": {}}}),
        (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}}),
        (403, {"code": "permission-denied", "error": "Content violates usage guidelines. Failed check: BIO"}),
        (403, {"error": {"code": 403, "message": "Flagged.", "metadata": {"reasons": ["x"], "flagged_input": "y"}}}),
    ],
    ids=["openai", "azure", "deepseek", "xai", "openrouter"],
)
def test_a_moderated_prompt_is_the_callers_affair(status: int, body: Any) -> None:
    error = failure(status, body)
    assert type(error) is ContentFiltered
    assert error.status == 400


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: sk***gA."}),
        (400, {"error": {"message": "Invalid API Key", "type": "invalid_request_error", "code": "invalid_api_key"}}),
        (400, {"error": {"message": "No.", "type": "authentication_error"}}),
        (401, {"error": {"message": "Incorrect API key provided: sk-1"}}),
        (403, {"error": {"message": "Your key sk-1 is blocked."}}),
    ],
)
def test_the_operators_trouble_is_a_502_that_tells_nothing(status: int, body: Any) -> None:
    error = failure(status, body)
    assert error.status == 502
    assert not {"sk", "key", "balance"} & set(error.message.lower().replace("-", " ").split())


def test_an_unknown_model_is_a_404() -> None:
    assert type(failure(404, {"error": {"message": "model 'x' not found", "type": "not_found_error"}})) is ModelNotFound


@pytest.mark.parametrize("status", [500, 502, 503, 520])
def test_a_vendor_in_trouble_may_be_asked_again(status: int) -> None:
    error = failure(status, {"error": {"message": "Failed at 10.0.0.1", "type": "server_error"}})
    assert error.status == 502
    assert error.retryable
    assert "10.0.0.1" not in error.message


def test_a_key_goes_into_the_authorization_header() -> None:
    auth = adapter.vendor.auth("test-key")
    assert auth is not None
    request = next(auth.sync_auth_flow(httpx.Request("POST", "https://vendor.test/chat/completions")))
    assert request.headers["authorization"] == "Bearer test-key"
    assert "test-key" not in repr(auth)


@pytest.mark.parametrize("key", ["", None])
def test_no_key_means_no_header(key: str | None) -> None:
    assert adapter.vendor.auth(key) is None
