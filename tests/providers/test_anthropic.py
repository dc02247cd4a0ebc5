"""What is peculiar to Anthropic's Messages API and not asked of every provider."""

import json
from typing import Any

import httpx
import pytest

from shared.errors import (
    CredentialsRefused,
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    UnsupportedFeature,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
)
from shared.providers import load, load_vendor
from shared.providers.anthropic.chat import adapter
from shared.schemas.chat import ChatRequest, ChatResponse, JsonObjectFormat, JsonSchemaFormat, NamedTool, Tool
from shared.schemas.content import (
    Audio,
    File,
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from shared.schemas.events import ChatEvent, Finished, Started
from shared.schemas.model import Model
from shared.schemas.usage import FinishReason, Usage
from tests.providers import reading
from tests.providers.canonical import assistant, result, user
from tests.providers.wires.anthropic import (
    PDF,
    PNG,
    SIGNATURE,
    TEXT,
    TOOLS,
    block,
    body,
    counts,
    ended,
    error,
    sse,
    started,
    text,
    text_block,
    tool_block,
    validate_request,
    wire,
)
from tests.test_architecture import loaded_by

HAIKU_4_5 = ("temperature_or_top_p", "budget_thinking")
SONNET_5 = ("no_sampling", "adaptive_thinking", "no_prefill")
SONNET_5_5 = (*SONNET_5, "thinking_between_tools", "no_forced_tool_choice")
OPUS_5_5 = (*SONNET_5, "always_thinks", "no_forced_tool_choice")

ROOM = 64_000
CALL = ToolCall(id="toolu_1", name="get_weather", arguments="{}")
THOUGHT = Reasoning(text="Hm.", signature=SIGNATURE, issuer="anthropic")
WEATHER = Tool(name="get_weather", parameters={"type": "object", "properties": {}})


def model(*quirks: str, max_output_tokens: int | None = ROOM) -> Model:
    return Model(
        id="claude",
        provider="anthropic",
        upstream="claude-upstream",
        owned_by="anthropic",
        max_output_tokens=max_output_tokens,
        quirks=frozenset(quirks),
    )


def sent(*messages: Message, quirks: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """The body of a request that the SDK's types accept."""
    request = ChatRequest(model="claude", messages=messages or (user("Hello"),), **more)
    value: dict[str, Any] = adapter.call(request, model(*quirks)).json
    validate_request(value)
    return value


def turns(*messages: Message, quirks: tuple[str, ...] = (), **more: Any) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = sent(*messages, quirks=quirks, **more)["messages"]
    return value


def schema_sent(schema: dict[str, Any]) -> dict[str, Any]:
    response_format = JsonSchemaFormat(name="x", json_schema=schema)
    value: dict[str, Any] = sent(response_format=response_format)["output_config"]["format"]["schema"]
    return value


def tool_schema_sent(schema: dict[str, Any] | None, *, strict: bool | None = None) -> dict[str, Any]:
    value: dict[str, Any] = sent(tools=(Tool(name="t", parameters=schema, strict=strict),))["tools"][0]["input_schema"]
    return value


ASKED = ChatRequest(model="claude", messages=(user("Hello"),))


def events(stream: bytes, size: int = 10**9) -> list[ChatEvent]:
    return reading.streamed(adapter, ASKED, reading.split(stream, size))


def streamed(stream: bytes, size: int = 10**9) -> ChatResponse:
    return reading.collected(events(stream, size))


def answered(content: list[dict[str, Any]], stop_reason: str, **more: Any) -> ChatResponse:
    return reading.collected(reading.whole(adapter, ASKED, body(content, stop_reason, counts(1, 1), **more)))


def failure(status: int, content: bytes) -> GatewayError:
    return adapter.vendor.error(status, {}, content)


def test_chat_is_the_vendors_only_operation() -> None:
    assert load("anthropic", "chat") is adapter
    assert adapter.vendor is load_vendor("anthropic")
    assert adapter.vendor.name == "anthropic"
    with pytest.raises(InvalidRequest, match="'anthropic' does not support embeddings"):
        load("anthropic", "embeddings")


def test_loading_the_adapter_loads_no_http_client() -> None:
    assert "httpx" not in loaded_by("from shared.providers import load\nload('anthropic', 'chat')")


def test_a_key_goes_into_its_header() -> None:
    auth = adapter.vendor.auth("test-key")
    assert auth is not None
    request = next(auth.sync_auth_flow(httpx.Request("POST", "https://vendor.test/v1/messages")))
    assert request.headers["x-api-key"] == "test-key"
    assert "test-key" not in repr(auth)
    assert adapter.vendor.auth(None) is None


def test_the_version_in_which_older_models_still_obey_temperature_is_sent() -> None:
    assert adapter.call(ASKED, model()).headers == {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_streamed_where_the_request_is(stream: bool) -> None:
    assert adapter.call(ASKED.model_copy(update={"stream": stream}), model()).streamed is stream


# --- limits and sampling ----------------------------------------------------------------------------------------------


def test_max_tokens_is_the_callers_else_the_models_else_a_default() -> None:
    limited = ASKED.model_copy(update={"max_tokens": 7})
    assert adapter.call(limited, model()).json["max_tokens"] == 7
    assert adapter.call(ASKED, model()).json["max_tokens"] == ROOM
    assert adapter.call(ASKED, model(max_output_tokens=None)).json["max_tokens"] == 8192


def test_temperature_and_top_p_are_dropped_where_the_model_refuses_them() -> None:
    assert sent(quirks=("no_sampling",), temperature=1.5, top_p=0.5).keys() == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("temperature", "top_p", "kept"),
    [
        (0.0, 0.95, {"temperature": 0.0}),
        (1, 0.5, {"top_p": 0.5}),
        (0.3, None, {"temperature": 0.3}),
        (None, 0.5, {"top_p": 0.5}),
    ],
)
def test_only_one_of_temperature_and_top_p_goes_to_a_model_that_refuses_both(
    temperature: float | None, top_p: float | None, kept: dict[str, float]
) -> None:
    value = sent(quirks=HAIKU_4_5, temperature=temperature, top_p=top_p)
    assert {name: value[name] for name in ("temperature", "top_p") if name in value} == kept


def test_both_temperature_and_top_p_go_to_a_model_that_takes_both() -> None:
    value = sent(temperature=0.2, top_p=0.9)
    assert (value["temperature"], value["top_p"]) == (0.2, 0.9)


def test_a_temperature_above_one_is_refused_and_not_clamped() -> None:
    with pytest.raises(InvalidRequest) as raised:
        sent(quirks=HAIKU_4_5, temperature=1.2)
    assert raised.value.param == "temperature"


def test_temperature_is_dropped_while_the_model_thinks() -> None:
    assert "temperature" not in sent(quirks=HAIKU_4_5, temperature=0.2, reasoning_effort="low")
    assert "temperature" not in sent(quirks=("adaptive_thinking",), temperature=0.2, reasoning_effort="low")
    assert sent(quirks=("adaptive_thinking",), temperature=0.2, reasoning_effort="none")["temperature"] == 0.2


def test_blank_stop_sequences_are_left_out() -> None:
    assert sent(stop=("\n", " ", "END"))["stop_sequences"] == ["END"]
    assert "stop_sequences" not in sent(stop=("\n\n",))


# --- reasoning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quirks", "effort", "thinking", "vendor_effort"),
    [
        (SONNET_5, None, None, None),
        (SONNET_5, "none", {"type": "disabled"}, None),
        (SONNET_5, "minimal", {"type": "adaptive", "display": "summarized"}, "low"),
        (SONNET_5, "medium", {"type": "adaptive", "display": "summarized"}, "medium"),
        (SONNET_5, "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        (SONNET_5, "max", {"type": "adaptive", "display": "summarized"}, "max"),
        ((*SONNET_5, "reasoning_opt_in"), None, {"type": "disabled"}, None),
        (SONNET_5_5, "none", {"type": "between_tools"}, None),
        (OPUS_5_5, "none", None, "low"),
        (HAIKU_4_5, "none", None, None),
        (HAIKU_4_5, "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
        (HAIKU_4_5, "high", {"type": "enabled", "budget_tokens": 16384}, None),
        ((), "high", None, None),
    ],
)
def test_effort_becomes_what_the_model_takes(
    quirks: tuple[str, ...], effort: Any, thinking: dict[str, Any] | None, vendor_effort: str | None
) -> None:
    value = sent(quirks=quirks, reasoning_effort=effort)
    assert value.get("thinking") == thinking
    assert value.get("output_config", {}).get("effort") == vendor_effort


def test_a_thinking_budget_leaves_room_for_the_answer() -> None:
    value = sent(quirks=HAIKU_4_5, reasoning_effort="high", max_tokens=4000)
    assert value["thinking"]["budget_tokens"] == 3000
    assert "thinking" not in sent(quirks=HAIKU_4_5, reasoning_effort="high", max_tokens=1024)


@pytest.mark.parametrize("choice", ["required", NamedTool(name="get_weather")])
def test_thinking_by_budget_is_left_off_when_a_tool_is_forced(choice: Any) -> None:
    asked = {"tools": (WEATHER,), "tool_choice": choice, "reasoning_effort": "low"}
    assert "thinking" not in sent(quirks=HAIKU_4_5, **asked)
    assert "thinking" in sent(quirks=SONNET_5, **asked)


def test_thinking_by_budget_is_left_off_in_a_turn_that_began_without_it() -> None:
    bare = (user("Hi"), assistant(CALL), result("toolu_1", "get_weather", Text(text="Sunny")))
    assert "thinking" not in sent(*bare, quirks=HAIKU_4_5, tools=(WEATHER,), reasoning_effort="low")
    assert "thinking" in sent(*bare, quirks=SONNET_5, tools=(WEATHER,), reasoning_effort="low")
    assert "thinking" not in sent(user("Hi"), assistant("Well"), quirks=HAIKU_4_5, reasoning_effort="low")


def test_thinking_by_budget_goes_on_in_a_turn_that_began_with_it() -> None:
    second = ToolCall(id="toolu_2", name="get_weather", arguments="{}")
    loop = (
        user("Hi"),
        assistant(THOUGHT, CALL),
        result("toolu_1", "get_weather", Text(text="Sunny")),
        assistant(second),
        result("toolu_2", "get_weather", Text(text="Rainy")),
    )
    assert "thinking" in sent(*loop, quirks=HAIKU_4_5, tools=(WEATHER,), reasoning_effort="low")
    later = (*loop, assistant("It rains."), user("Thanks"))
    assert "thinking" in sent(*later, quirks=HAIKU_4_5, tools=(WEATHER,), reasoning_effort="low")


@pytest.mark.parametrize(
    "foreign",
    [
        Reasoning(text="Hm.", signature="abc", issuer="gemini"),
        Reasoning(text="Hm."),
        Reasoning(text="Hm.", issuer="anthropic"),
    ],
)
def test_reasoning_that_this_vendor_has_not_signed_is_dropped(foreign: Reasoning) -> None:
    assert turns(user("Hi"), assistant(foreign, "Well"), user("So?"))[1]["content"] == [text("Well")]


def test_thinking_with_omitted_text_goes_back_unchanged() -> None:
    part = Reasoning(signature=SIGNATURE, issuer="anthropic")
    thinking = {"type": "thinking", "thinking": "", "signature": SIGNATURE}
    assert turns(user("Hi"), assistant(part, "Well"), user("So?"))[1]["content"] == [thinking, text("Well")]


def test_thinking_bound_to_its_conversation_is_dropped_by_the_vendor_instead_of_refused() -> None:
    conversation = (user("Hi"), assistant(THOUGHT, "Well"), user("So?"))
    bound = model(*SONNET_5, "bound_thinking")
    call = adapter.call(ChatRequest(model="claude", messages=conversation), bound)
    assert call.headers["anthropic-beta"] == "thinking-binding-controls-2026-08-01"
    assert call.json["thinking"] == {
        "type": "adaptive",
        "block_binding": {"prefix_mismatch_behavior": "drop_block"},
    }
    fresh = adapter.call(ChatRequest(model="claude", messages=(user("Hi"),)), bound)
    assert "anthropic-beta" not in fresh.headers
    assert "thinking" not in fresh.json


# --- turns ------------------------------------------------------------------------------------------------------------


def test_blank_text_and_empty_turns_are_left_out() -> None:
    conversation = (user("Hi", " \n"), assistant(""), user(""), user("Still there?"))
    assert turns(*conversation) == [{"role": "user", "content": [text("Hi"), text("Still there?")]}]


@pytest.mark.parametrize("more", [{}, {"system": " "}, {"response_format": JsonObjectFormat()}])
def test_a_conversation_without_text_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="messages: must not be empty or blank"):
        adapter.call(ChatRequest(model="claude", messages=(user(" \n"), user("")), **more), model())


def test_a_system_text_alone_is_asked_as_the_users() -> None:
    request = ChatRequest(model="claude", system="Tell a joke.", messages=())
    value = adapter.call(request, model()).json
    assert value["messages"] == [{"role": "user", "content": [text("Tell a joke.")]}]
    assert "system" not in value


def test_later_system_text_goes_to_the_head() -> None:
    later = Message(role="system", parts=(Text(text="In French."),))
    value = sent(user("One"), assistant("1"), later, user("Two"), system="Count.")
    assert value["system"] == "Count.\n\nIn French."
    assert [turn["role"] for turn in value["messages"]] == ["user", "assistant", "user"]


def test_white_space_at_the_end_of_a_prefill_is_cut() -> None:
    assert turns(user("Hi"), assistant("Once upon a \n"))[-1]["content"] == [text("Once upon a")]


def test_a_model_without_prefill_is_told_to_go_on() -> None:
    conversation = turns(user("Hi"), assistant("Once upon a "), quirks=SONNET_5)
    assert [turn["role"] for turn in conversation] == ["user", "assistant", "user"]
    assert conversation[1]["content"] == [text("Once upon a ")]


def test_a_refusal_in_the_history_is_text() -> None:
    assert turns(user("Hi"), assistant(Refusal(text="No.")), user("Please"))[1]["content"] == [text("No.")]


def test_an_image_in_an_assistants_turn_is_shown_in_the_users_next_one() -> None:
    drawn = Image(source=Inline(media_type="image/jpg", data=PNG))
    conversation = turns(user("Draw"), assistant("Here:", drawn), user("What is it?"))
    assert conversation[1]["content"] == [text("Here:")]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}}
    assert conversation[2]["content"] == [image, text("What is it?")]


def test_a_text_file_is_sent_as_text() -> None:
    file = File(source=Inline(media_type="text/csv", data="YSxiCg=="), name="t.csv")
    source = {"type": "text", "media_type": "text/plain", "data": "a,b\n"}
    assert turns(user(file))[0]["content"] == [{"type": "document", "source": source, "title": "t.csv"}]


@pytest.mark.parametrize(
    "part",
    [
        Audio(data="AAAA", format="wav"),
        Image(source=Inline(media_type="image/tiff", data=PNG)),
        File(source=Inline(media_type="application/zip", data=PDF)),
    ],
)
def test_media_that_the_vendor_does_not_take_are_refused(part: Part) -> None:
    with pytest.raises(UnsupportedFeature):
        sent(user(part))


@pytest.mark.parametrize("more", [{"logprobs": True}, {"image_output": True}])
def test_features_that_the_vendor_lacks_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeature):
        sent(**more)


# --- tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["required", NamedTool(name="get_weather")])
def test_forcing_a_tool_is_refused_where_the_model_refuses_it(choice: Any) -> None:
    with pytest.raises(UnsupportedFeature, match="tool_choice"):
        sent(quirks=OPUS_5_5, tools=(WEATHER,), tool_choice=choice)
    assert sent(quirks=OPUS_5_5, tools=(WEATHER,), tool_choice="auto")["tool_choice"] == {"type": "auto"}


def test_text_that_is_no_unicode_does_not_break_identifiers() -> None:
    call = ToolCall(id="\ud800", name="t", arguments="{}")
    assert sent(user("Hi"), assistant(call), result("\ud800", "t"), user="\ud800")["metadata"]["user_id"]


def test_ids_of_other_vendors_become_valid_and_stay_different() -> None:
    calls = [ToolCall(id=call_id, name="t", arguments="{}") for call_id in ("a.b", "a:b", "a-b", "")]
    results = [result(call.id, "t", Text(text="x")) for call in calls]
    conversation = turns(user("Hi"), assistant(*calls), *results, tools=(WEATHER,))
    ids = [block["id"] for block in conversation[1]["content"]]
    assert ids == [block["tool_use_id"] for block in conversation[2]["content"]]
    assert len(set(ids)) == 4
    assert ids[2] == "a-b"
    assert all(call_id.replace("-", "").replace("_", "").isalnum() for call_id in ids)


@pytest.mark.parametrize("arguments", ['{"location": "Par', "[1]"])
def test_arguments_that_are_no_object_are_shown_to_the_model_as_they_are(arguments: str) -> None:
    call = ToolCall(id="toolu_1", name="get_weather", arguments=arguments)
    conversation = turns(user("Hi"), assistant(call), result("toolu_1", "get_weather"), tools=(WEATHER,))
    assert conversation[1]["content"][0]["input"] == {"INVALID_JSON": arguments}
    assert conversation[2]["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1"}]


def test_tools_of_the_history_are_declared_when_the_request_has_none() -> None:
    value = sent(user("Hi"), assistant(CALL), result("toolu_1", "get_weather", Text(text="Sunny")))
    assert value["tools"] == [{"name": "get_weather", "input_schema": {"type": "object"}}]
    assert value["tool_choice"] == {"type": "none"}


def test_alternatives_at_the_root_of_a_tools_schema_become_one_object() -> None:
    schema = {
        "$defs": {"City": {"type": "object", "properties": {"city": {}, "days": {}}, "required": ["city", "days"]}},
        "oneOf": [{"$ref": "#/$defs/City"}, {"properties": {"zip": {}, "days": {}}, "required": ["zip", "days"]}],
    }
    assert tool_schema_sent(schema) == {
        "type": "object",
        "properties": {"zip": {}, "days": {}, "city": {}},
        "required": ["days"],
        "$defs": schema["$defs"],
    }


def test_a_schema_that_is_a_reference_is_resolved_at_its_root() -> None:
    schema = {"$ref": "#/$defs/A~1B", "$defs": {"A/B": {"type": "object", "properties": {"x": {"type": "string"}}}}}
    assert tool_schema_sent(schema) == {
        "type": "object",
        "properties": {"x": {"type": "string"}},
        "$defs": schema["$defs"],
    }


def test_a_tool_that_is_not_strict_keeps_its_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    assert tool_schema_sent(schema) == schema
    assert tool_schema_sent(schema, strict=True) == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": "minimum: 1"}},
        "additionalProperties": False,
    }


# --- JSON output ------------------------------------------------------------------------------------------------------


def test_json_object_mode_is_an_instruction() -> None:
    assert "JSON object" in sent(response_format=JsonObjectFormat())["system"]


def test_keywords_that_are_not_compiled_are_told_in_the_description() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order",
        "type": "object",
        "properties": {
            "count": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many"},
            "code": {"type": ["string", "null"], "pattern": "^[a-z]+$", "minLength": 2},
            "at": {"type": "string", "format": "date-time"},
            "link": {"type": "string", "format": "iri"},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
            "pair": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "odd": {"enum": [{"a": 1}]},
        },
        "required": ["count"],
        "additionalProperties": True,
    }
    assert schema_sent(schema) == {
        "title": "Order",
        "type": "object",
        "properties": {
            "count": {"type": "integer", "description": "How many (minimum: 1, maximum: 9)"},
            "code": {"type": ["string", "null"], "description": 'pattern: "^[a-z]+$", minLength: 2'},
            "at": {"type": "string", "format": "date-time"},
            "link": {"type": "string", "description": 'format: "iri"'},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "maxItems: 3"},
            "pair": {"type": "array", "items": {"type": "string"}, "description": "minItems: 2"},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "odd": {"description": 'enum: [{"a": 1}]'},
        },
        "required": ["count"],
        "additionalProperties": False,
    }


def test_references_stay_and_nothing_stands_beside_them() -> None:
    schema = {
        "$defs": {"Pet": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1}}}},
        "$ref": "#/$defs/Pet",
        "description": "The pet",
    }
    pet = {
        "type": "object",
        "properties": {"name": {"type": "string", "description": "minLength: 1"}},
        "additionalProperties": False,
    }
    assert schema_sent(schema) == {"$ref": "#/$defs/Pet", "$defs": {"Pet": pet}}


def test_one_of_becomes_any_of() -> None:
    schema = {"oneOf": [{"type": "string"}, {"type": "object", "properties": {}}]}
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    assert schema_sent(schema) == {"anyOf": [{"type": "string"}, closed]}


def test_nullable_becomes_json_schemas_null() -> None:
    null = {"type": "null"}
    schema = {
        "type": "object",
        "nullable": True,
        "properties": {
            "nullable": {"type": "string", "nullable": True, "maxLength": 3},
            "kind": {"type": "string", "enum": ["a", None], "nullable": True, "description": "Which."},
            "pet": {"$ref": "#/$defs/Pet", "nullable": True},
            "part": {"allOf": [{"type": "integer", "nullable": True}]},
            "never": {"type": "string", "nullable": False},
        },
        "$defs": {"Pet": {"type": "string"}},
    }
    properties = {
        "nullable": {"type": ["string", "null"], "description": "maxLength: 3"},
        "kind": {"description": "Which.", "anyOf": [{"type": "string", "enum": ["a"]}, null]},
        "pet": {"anyOf": [{"$ref": "#/$defs/Pet"}, null]},
        "part": {"type": ["integer", "null"]},
        "never": {"type": "string"},
    }
    for value in (schema_sent(schema), tool_schema_sent(schema, strict=True)):
        assert value["properties"] == properties
        assert value["type"] == "object"
        assert "nullable" not in value


def test_all_of_is_merged_with_its_references_inlined() -> None:
    base = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    schema = {
        "definitions": {"Base": base},
        "allOf": [{"$ref": "#/definitions/Base"}, {"properties": {"n": {"type": "number"}}, "required": ["n", "id"]}],
    }
    assert schema_sent(schema) == {
        "definitions": {"Base": {**base, "additionalProperties": False}},
        "type": "object",
        "properties": {"id": {"type": "string"}, "n": {"type": "number"}},
        "required": ["id", "n"],
        "additionalProperties": False,
    }


def test_a_callers_schema_is_not_changed() -> None:
    schema = {"type": "object", "properties": {"n": {"minimum": 1}}, "allOf": [{"required": ["n"]}]}
    before = json.dumps(schema)
    schema_sent(schema)
    tool_schema_sent(schema, strict=True)
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": 1, "anyOf": {}, "allOf": 2, "enum": 3, "required": "x", "format": []},
        {"type": "object", "properties": {"x": True}, "items": False, "anyOf": [None], "allOf": [1]},
        {"$ref": "#/nowhere/at/all"},
        {"$ref": 5},
    ],
)
def test_malformed_schemas_are_left_to_the_vendor_to_refuse(schema: dict[str, Any]) -> None:
    schema_sent(schema)
    tool_schema_sent(schema)
    tool_schema_sent(schema, strict=True)


DOUBLING = {f"A{level}": {"allOf": [{"$ref": f"#/$defs/A{level + 1}"}] * 2} for level in range(40)}
LARGE = {"enum": [f"value {number}" for number in range(5000)]}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"$ref": "#/$defs/A0"}], "$defs": {**DOUBLING, "A40": {}}},
        {"allOf": [{"$ref": "#/$defs/Large"}] * 50, "$defs": {"Large": LARGE}},
        {"allOf": [{"properties": {f"p{number}": {}}} for number in range(3000)]},
        {"anyOf": [{"properties": {f"p{number}": {}}} for number in range(3000)]},
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_schema_that_grows_without_bound_is_refused(schema: dict[str, Any], strict: bool) -> None:
    with pytest.raises(InvalidRequest, match="too intricate"):
        sent(tools=(Tool(name="t", parameters=schema, strict=strict),))


def test_a_large_definition_may_not_be_inlined_often() -> None:
    properties = {f"p{number}": {"allOf": [{"$ref": "#/$defs/Large"}]} for number in range(50)}
    with pytest.raises(InvalidRequest, match="too intricate"):
        schema_sent({"type": "object", "properties": properties, "$defs": {"Large": LARGE}})


def test_all_schemas_of_a_request_share_a_budget() -> None:
    tool = Tool(name="t", parameters={"allOf": [{"$ref": "#/$defs/Large"}] * 4, "$defs": {"Large": LARGE}})
    sent(tools=(tool,))
    with pytest.raises(InvalidRequest, match="too intricate"):
        sent(tools=(tool,) * 5)


def test_a_schema_that_has_no_end_is_the_callers_fault() -> None:
    endless = {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "allOf": [{"$ref": "#/$defs/A"}]}
    with pytest.raises(InvalidRequest):
        tool_schema_sent(endless)
    with pytest.raises(InvalidRequest):
        schema_sent(endless)


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("pause_turn", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("refusal", FinishReason.CONTENT_FILTER),
        ("something_new", FinishReason.STOP),
    ],
)
def test_stop_reasons(stop_reason: str, reason: FinishReason) -> None:
    response = answered([text("Hi")], stop_reason)
    assert response.candidates[0].finish_reason is reason
    stream = sse(started(counts(1, 1)), *text_block(0, "Hi"), *ended(stop_reason, {"output_tokens": 1}))
    assert streamed(stream) == response


def test_an_answer_with_calls_finishes_with_them_unless_it_was_cut_off() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"a": 1}}
    assert answered([call], "end_turn").candidates[0].finish_reason is FinishReason.TOOL_CALLS
    assert answered([call], "max_tokens").candidates[0].finish_reason is FinishReason.LENGTH


def test_a_refusal_without_an_explanation_is_an_empty_filtered_answer() -> None:
    details = {"type": "refusal", "category": None, "explanation": None}
    response = answered([], "refusal", stop_details=details)
    assert response.candidates[0].parts == ()
    stream = sse(started(counts(1, 1)), *ended("refusal", {"output_tokens": 1}, stop_details=details))
    assert streamed(stream) == response


def test_a_refusal_in_midstream_keeps_what_was_said_before() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Declined."}
    stream = sse(
        started(counts(1, 1)), *text_block(0, "First, "), *ended("refusal", {"output_tokens": 3}, stop_details=details)
    )
    candidate = streamed(stream).candidates[0]
    assert candidate.parts == (Text(text="First, "), Refusal(text="Declined."))
    assert candidate.finish_reason is FinishReason.CONTENT_FILTER


def test_blocks_of_the_vendors_own_tools_and_unknown_events_are_passed_over() -> None:
    content: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        text("Found."),
    ]
    stream = sse(
        started(counts(1, 1)),
        {"type": "brand_new", "data": 1},
        *block(
            0,
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"query": "x"}'},
        ),
        *block(1, content[1]),
        *block(
            2,
            text(""),
            {"type": "text_delta", "text": "Found."},
            {"type": "citations_delta", "citation": {}},
            {"type": "shiny_delta"},
        ),
        *ended("end_turn", {"output_tokens": 1}),
    )
    assert streamed(stream) == answered(content, "end_turn")
    assert streamed(stream).candidates[0].parts == (Text(text="Found."),)


def test_neighbouring_text_blocks_are_one_text_streamed_or_not() -> None:
    stream = sse(
        started(counts(1, 1)),
        *text_block(0, "One, "),
        *text_block(1, "two"),
        *ended("end_turn", {"output_tokens": 1}),
    )
    assert streamed(stream) == answered([text("One, "), text("two")], "end_turn")


def test_a_stream_without_usage_at_its_start_is_read() -> None:
    begun = started({})
    del begun["message"]["usage"]
    stream = sse(begun, *text_block(0, "Hi"), *ended("end_turn", {"input_tokens": 4, "output_tokens": 2}))
    assert streamed(stream).usage.total_tokens == 6


def test_calls_stream_by_position_with_their_fragments() -> None:
    parts = streamed(TOOLS.stream, size=1).candidates[0].parts
    assert [part.id for part in parts if isinstance(part, ToolCall)] == ["toolu_01T1", "toolu_01T2"]
    assert [event.position for event in events(TOOLS.stream) if hasattr(event, "position")] == [0] * 6 + [1] * 2


@pytest.mark.parametrize("missing", [b"event: message_stop", b"event: message_delta", b"event: content_block_stop"])
def test_a_stream_that_ends_early_is_an_error(missing: bytes) -> None:
    with pytest.raises(UpstreamError, match="before it was complete"):
        streamed(TEXT.stream[: TEXT.stream.index(missing)])


@pytest.mark.parametrize("answer", wire.answers)
def test_both_forms_of_an_answer_start_once_and_mean_the_same(answer: str) -> None:
    data = wire.answers[answer]
    for read in (reading.whole(adapter, ASKED, data.body), events(data.stream, 7)):
        assert [isinstance(event, Started) for event in read] == [True, *[False] * (len(read) - 1)]
        assert reading.collected(read) == data.means


def test_a_stream_starts_with_the_usage_that_is_already_counted() -> None:
    assert events(TEXT.stream)[0] == Started(Usage(input_tokens=12, output_tokens=1), service_tier="default")


def test_caches_of_an_hour_and_searches_are_counted_since_they_are_charged() -> None:
    more = {
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    expected = Usage(input_tokens=305, output_tokens=1, cache_write_tokens=300, cache_write_1h_tokens=200, searches=2)
    whole = body([text("Hi")], "end_turn", counts(5, 1, **more))
    assert reading.collected(reading.whole(adapter, ASKED, whole)).usage == expected
    begun = sse(started(counts(5, 1, **more)))
    stream = begun + sse(*text_block(0, "Hi"), *ended("end_turn", {"output_tokens": 1}))
    assert streamed(stream).usage == expected


def test_nothing_is_read_after_the_end_of_a_message() -> None:
    late = sse({"type": "error", "error": {"type": "api_error", "message": "late"}})
    assert isinstance(events(TEXT.stream + late)[-1], Finished)
    chunks = iter([TEXT.stream, b"more"])
    assert isinstance(reading.streamed(adapter, ASKED, chunks)[-1], Finished)
    assert list(chunks) == [b"more"]


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "raises", "status"),
    [
        ("overloaded_error", UpstreamOverloaded, 503),
        ("api_error", UpstreamError, 502),
        ("rate_limit_error", UpstreamRateLimited, 429),
        ("invalid_request_error", InvalidRequest, 400),
        ("authentication_error", UpstreamError, 502),
        ("timeout_error", GatewayError, 504),
        ("brand_new_error", UpstreamError, 502),
    ],
)
def test_an_error_in_a_stream_is_the_one_that_its_status_would_be(
    kind: str, raises: type[GatewayError], status: int
) -> None:
    broken = {"type": "error", "error": {"type": kind, "message": "Something"}}
    with pytest.raises(raises) as raised:
        events(sse(started(counts(1, 1)), *text_block(0, "Hi"), broken))
    assert raised.value.status == status


def test_an_error_in_a_stream_without_content_is_a_failure_of_the_provider() -> None:
    with pytest.raises(UpstreamError):
        events(sse({"type": "error"}))


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, error("invalid_request_error", "This organization has been disabled.")),
        (400, error("invalid_request_error", "On hold", details={"error_code": "organization_on_hold"})),
    ],
)
def test_what_is_wrong_with_the_operators_account_is_not_the_callers_fault(status: int, content: bytes) -> None:
    failed = failure(status, content)
    assert isinstance(failed, CredentialsRefused)
    assert failed.message == "The provider refused the gateway's account."


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, error("invalid_request_error", "You have reached your specified API usage limits. Back on 2026-12-01.")),
        (402, error("billing_error", "Check your payment details.")),
        (429, error("rate_limit_error", "Spend cap", details={"error_code": "enforced_spend_limit_reached"})),
        (429, error("rate_limit_error", "Spend cap", details={"error_code": "contract_spend_limit_reached"})),
    ],
)
def test_an_account_that_is_used_up_is_no_rate_limit(status: int, content: bytes) -> None:
    failed = failure(status, content)
    assert isinstance(failed, InsufficientQuota)
    assert failed.retry_after is None


def test_an_overloaded_vendor_may_be_asked_again() -> None:
    failed = failure(529, error("overloaded_error", "Overloaded"))
    assert failed.retryable
    assert failed.retry_after


@pytest.mark.parametrize("content", [b"", b"[]", b'{"error": "no"}', b'{"error": {"message": 5, "details": []}}'])
def test_an_error_body_of_another_form_says_nothing(content: bytes) -> None:
    assert failure(400, content).message == "The provider refused the request."


def test_a_streamed_call_of_a_tool_without_arguments_has_an_empty_object() -> None:
    stream = sse(started(counts(1, 1)), *tool_block(0, "toolu_1", "get_time"), *ended("tool_use", {"output_tokens": 5}))
    assert streamed(stream).candidates[0].parts == (ToolCall(id="toolu_1", name="get_time", arguments="{}"),)
