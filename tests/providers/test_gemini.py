"""What is peculiar to Gemini; what every chat provider must do is in test_chat_contract.py."""

import json
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from google.genai import types

from shared.errors import (
    GatewayError,
    InvalidRequest,
    UnsupportedFeature,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
)
from shared.framing import Frame
from shared.providers import load_vendor
from shared.providers.gemini.chat import adapter
from shared.schemas.chat import ChatRequest, ChatResponse, JsonSchemaFormat, Tool
from shared.schemas.content import (
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)
from shared.schemas.events import ChatCollector, ChatEvent, Finished, ReasoningDelta, Started, TextDelta
from shared.schemas.model import Capability, Model
from shared.schemas.usage import FinishReason, Usage
from tests.providers.wires.gemini import (
    OVERLOADED,
    PLACEHOLDER,
    PNG,
    QUOTA,
    RESPONSE_ID,
    SIGNATURE,
    assistant,
    body,
    content,
    envelope,
    error,
    request,
    response,
    stream,
    tool,
    user,
    validate_answer,
    validate_request,
)

COUNTS = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
USAGE = Usage(input_tokens=3, output_tokens=4)
CHAT = (Capability.CHAT, Capability.FUNCTION_CALLING)
DRAWING = (Capability.CHAT, Capability.IMAGE_OUTPUT)


def model(*quirks: str, capabilities: tuple[Capability, ...] = CHAT) -> Model:
    return Model(
        id="some-gemini",
        provider="gemini",
        upstream="gemini-x",
        owned_by="google",
        capabilities=frozenset(capabilities),
        quirks=frozenset(quirks),
    )


GEMINI_3 = model("thinking_level")
GEMINI_2 = model()


def sent(asked: ChatRequest, to: Model = GEMINI_3) -> Any:
    """The body for a request, which has to be one that the SDK's types know."""
    body = adapter.call(asked, to).json
    validate_request(body)
    return body


def config(asked: ChatRequest, to: Model = GEMINI_3) -> Any:
    return sent(asked, to).get("generationConfig")


def parts_sent(*parts: Part, to: Model = GEMINI_3) -> Any:
    """What an assistant message of these parts becomes."""
    contents: list[Any] = sent(request(user("Hi"), assistant(*parts)), to)["contents"]
    return contents[1]["parts"]


def whole_events(answer: Any) -> list[ChatEvent]:
    """What a whole body is read into."""
    return list(adapter.reader(request()).body(body(answer)))


def events(data: bytes) -> list[ChatEvent]:
    """What a streamed body is read into."""
    reader = adapter.reader(request(stream=True))
    read = [event for frame in adapter.frames().feed(data) for event in reader.frame(frame)]
    assert not reader.done
    return [*read, *reader.end()]


def collected(read: Iterable[ChatEvent]) -> ChatResponse:
    collector = ChatCollector()
    for event in read:
        collector.add(event)
    return collector.response()


def response_of(answer: Any) -> ChatResponse:
    return collected(whole_events(answer))


def streamed_response(data: bytes) -> ChatResponse:
    return collected(events(data))


def schema_sent(schema: dict[str, Any]) -> Any:
    """What a JSON schema becomes, as the format of the answer and as a tool's parameters alike."""
    answer_format = JsonSchemaFormat(name="x", json_schema=schema)
    cleaned = config(request(response_format=answer_format))["responseJsonSchema"]
    tools = sent(request(tools=(Tool(name="f", parameters=schema),)))["tools"]
    assert tools[0]["functionDeclarations"][0]["parametersJsonSchema"] == cleaned
    return cleaned


def test_key_goes_into_a_header_and_nothing_shows_it_or_the_prompt() -> None:
    vendor = load_vendor("gemini")
    assert adapter.vendor is vendor
    auth = vendor.auth("AIza-secret")
    assert auth is not None
    sent_request = next(auth.auth_flow(httpx.Request("POST", "https://vendor.test")))
    assert sent_request.headers["x-goog-api-key"] == "AIza-secret"
    assert "AIza-secret" not in f"{auth!r} {vendor!r}"
    assert vendor.auth(None) is None
    assert "Hi" not in repr(adapter.call(request(), GEMINI_3))


@pytest.mark.parametrize("stream", [False, True])
def test_call_says_whether_the_response_is_streamed(stream: bool) -> None:
    assert adapter.call(request(stream=stream), GEMINI_3).streamed == stream


# --- parameters


@pytest.mark.parametrize(
    ("effort", "quirks", "expected"),
    [
        ("none", ("thinking_level",), {"thinkingLevel": "MINIMAL"}),
        ("minimal", ("thinking_level",), {"includeThoughts": True, "thinkingLevel": "MINIMAL"}),
        ("medium", ("thinking_level",), {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        ("max", ("thinking_level",), {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("none", ("thinking_level", "always_thinks"), {"thinkingLevel": "LOW"}),
        ("minimal", ("thinking_level", "always_thinks"), {"includeThoughts": True, "thinkingLevel": "LOW"}),
        ("high", ("thinking_level", "always_thinks"), {"includeThoughts": True, "thinkingLevel": "HIGH"}),
    ],
)
def test_effort_becomes_the_models_own_control(effort: Any, quirks: tuple[str, ...], expected: Any) -> None:
    assert config(request(reasoning_effort=effort), model(*quirks)) == {"thinkingConfig": expected}


def test_effort_is_ignored_by_a_model_without_thinking() -> None:
    assert config(request(reasoning_effort="high"), model()) is None


def test_image_model_is_asked_for_images_and_not_cut_off() -> None:
    drawing = model("thinking_level", capabilities=DRAWING)
    assert config(request(max_tokens=1024), drawing) == {"responseModalities": ["TEXT", "IMAGE"]}


def test_model_that_only_may_draw_is_asked_for_images_on_demand() -> None:
    any_model = model("thinking_level", capabilities=(*CHAT, Capability.IMAGE_OUTPUT))
    assert config(request(max_tokens=9), any_model) == {"maxOutputTokens": 9}
    assert config(request(max_tokens=9, image_output=True), any_model) == {"responseModalities": ["TEXT", "IMAGE"]}


@pytest.mark.parametrize(
    ("effort", "quirks", "expected"),
    [
        ("low", ("thinking_level",), {"includeThoughts": True, "thinkingLevel": "MINIMAL"}),
        ("medium", ("thinking_level",), {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("medium", ("thinking_level", "always_thinks"), {"includeThoughts": True}),
        ("none", ("thinking_level", "always_thinks"), None),
    ],
)
def test_image_models_know_two_levels_or_none(effort: Any, quirks: tuple[str, ...], expected: Any) -> None:
    drawing = model(*quirks, capabilities=DRAWING)
    assert config(request(reasoning_effort=effort), drawing).get("thinkingConfig") == expected


@pytest.mark.parametrize(
    ("seed", "expected"), [(7, 7), (-1, -1), (2**31 - 1, 2**31 - 1), (2**31, -(2**31)), (2**63, 0)]
)
def test_seed_is_folded_into_32_bits(seed: int, expected: int) -> None:
    assert config(request(seed=seed)) == {"seed": expected}


def test_several_candidates_are_asked_for_at_once() -> None:
    assert config(request(n=3)) == {"candidateCount": 3}


def test_json_with_tools_needs_gemini_3() -> None:
    both = request(tools=(Tool(name="f"),), response_format=JsonSchemaFormat(name="x", json_schema={"type": "object"}))
    assert sent(both)["generationConfig"]["responseJsonSchema"] == {"type": "object"}
    with pytest.raises(UnsupportedFeature, match="JSON output together with tools"):
        adapter.call(both, GEMINI_2)


# --- messages


def test_conversation_is_made_to_begin_with_the_user() -> None:
    empty = content("user", {"text": ""})
    assert sent(ChatRequest(model="m", system="Say hi.", messages=()))["contents"] == [empty]
    assert sent(request(assistant("Hello")))["contents"] == [empty, content("model", {"text": "Hello"})]


def test_conversation_that_ends_with_the_model_is_continued_where_that_is_refused() -> None:
    prefilled = request(user("Hi"), assistant("Hello"))
    assert sent(prefilled)["contents"][-1]["role"] == "model"
    assert sent(prefilled, model("no_prefill"))["contents"][-1] == content("user", {"text": "Continue."})


def test_image_by_url_is_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="URL"):
        adapter.call(request(user(Image(source=Remote(url="https://x.test/a.png")))), GEMINI_3)


def test_image_in_a_tool_result_is_nested() -> None:
    picture = Image(source=Inline(media_type="image/png", data=PNG))
    conversation = request(
        user("Hi"),
        assistant(ToolCall(id="c1", name="draw", arguments="")),
        tool(ToolResult(call_id="c1", name="draw", content=(Text(text="done"), picture))),
    )
    assert sent(conversation)["contents"][2]["parts"] == [
        {
            "functionResponse": {
                "id": "c1",
                "name": "draw",
                "response": {"output": "done"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
            }
        }
    ]
    with pytest.raises(UnsupportedFeature, match="images and documents in tool results"):
        adapter.call(conversation, GEMINI_2)


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"', "null"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(InvalidRequest, match="'c1' are not a JSON object"):
        adapter.call(request(assistant(ToolCall(id="c1", name="f", arguments=arguments))), GEMINI_3)


# --- signatures


def test_signature_goes_back_onto_the_text_that_it_came_with() -> None:
    signature = Reasoning(signature=SIGNATURE, issuer="gemini")
    signed = {"text": "A", "thoughtSignature": SIGNATURE}
    assert parts_sent(Text(text="A"), signature, Text(text="B")) == [signed, {"text": "B"}]


def test_signature_before_the_content_goes_back_onto_its_part() -> None:
    """In the dialects all reasoning precedes the text, and images follow it."""
    first, second = (Reasoning(signature=signature, issuer="gemini") for signature in ("Zmlyc3Q=", "c2Vjb25k"))
    thought = Reasoning(text="Hm", issuer="gemini")
    picture = Image(source=Inline(media_type="image/png", data=PNG))
    call = ToolCall(id="c1", name="f", arguments="{}", signature=SIGNATURE, issuer="gemini")
    text = {"text": "A", "thoughtSignature": "Zmlyc3Q="}
    thinking = {"text": "Hm", "thought": True}
    image = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    assert parts_sent(first, Text(text="A")) == [text]
    assert parts_sent(thought, first, Text(text="A")) == [thinking, text]
    assert parts_sent(first, thought, Text(text="A")) == [thinking, text]
    assert parts_sent(first, Text(text="A"), call)[:1] == [text]
    assert parts_sent(first, second, Text(text="A"), picture) == [text, {**image, "thoughtSignature": "c2Vjb25k"}]
    assert parts_sent(first, picture, Text(text="A")) == [{**image, "thoughtSignature": "Zmlyc3Q="}, {"text": "A"}]


def test_signature_without_its_part_goes_back_on_an_empty_one() -> None:
    signature = Reasoning(signature=SIGNATURE, issuer="gemini")
    call = ToolCall(id="c1", name="f", arguments="{}", signature=SIGNATURE, issuer="gemini")
    bare = {"text": "", "thoughtSignature": SIGNATURE}
    assert parts_sent(signature) == [bare]
    assert parts_sent(signature, signature, Text(text="A")) == [bare, bare, {"text": "A"}]
    assert parts_sent(signature, call)[0] == bare
    assert parts_sent(Text(text="A"), signature, signature)[1] == bare


def test_signed_thought_goes_back_whole() -> None:
    thought = Reasoning(text="Hm", signature=SIGNATURE, issuer="gemini")
    assert parts_sent(thought) == [{"text": "Hm", "thought": True, "thoughtSignature": SIGNATURE}]


@pytest.mark.parametrize("issuer", ["anthropic", None])
def test_what_another_vendor_thought_and_signed_is_left_out(issuer: str | None) -> None:
    thought = Reasoning(text="Hm", signature="foreign", issuer=issuer)
    call = ToolCall(id="c1", name="f", arguments="{}", signature="foreign", issuer=issuer)
    unsigned = {"functionCall": {"id": "c1", "name": "f", "args": {}}}
    assert parts_sent(thought, call) == [{**unsigned, "thoughtSignature": PLACEHOLDER}]
    assert parts_sent(thought, call, to=GEMINI_2) == [unsigned]


def test_placeholder_stands_on_the_first_call_of_each_step() -> None:
    def step(first: str, second: str) -> tuple[Message, Message]:
        calls = [ToolCall(id=call_id, name="f", arguments="{}") for call_id in (first, second)]
        results = [ToolResult(call_id=call.id, name="f", content=(Text(text="1"),)) for call in calls]
        return assistant(*calls), tool(*results)

    contents = sent(request(user("Hi"), *step("a", "b"), *step("c", "d")))["contents"]
    signatures = [[part.get("thoughtSignature") for part in turn["parts"]] for turn in contents[1::2]]
    assert signatures == [[PLACEHOLDER, None], [PLACEHOLDER, None]]


def test_image_models_get_the_signatures_that_they_refuse_a_turn_without() -> None:
    picture = Image(source=Inline(media_type="image/png", data=PNG))
    inline = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    drawing = model("thinking_level", capabilities=DRAWING)
    assert parts_sent(Text(text="A"), picture, Text(text="B"), picture, to=drawing) == [
        {"text": "A", "thoughtSignature": PLACEHOLDER},
        {**inline, "thoughtSignature": PLACEHOLDER},
        {"text": "B"},
        {**inline, "thoughtSignature": PLACEHOLDER},
    ]
    signature = Reasoning(signature=SIGNATURE, issuer="gemini")
    assert parts_sent(picture, signature, Text(text="B"), to=drawing) == [
        {**inline, "thoughtSignature": SIGNATURE},
        {"text": "B"},
    ]
    assert parts_sent(Text(text="A"), picture) == [{"text": "A"}, inline]
    older = model(capabilities=DRAWING)
    assert parts_sent(Text(text="A"), picture, to=older) == [{"text": "A"}, inline]


def test_images_that_the_user_sends_need_no_signature() -> None:
    picture = Image(source=Inline(media_type="image/png", data=PNG))
    contents = sent(request(user("Look", picture)), model("thinking_level", capabilities=DRAWING))["contents"]
    assert not any("thoughtSignature" in part for part in contents[0]["parts"])


# --- images in answers


def drawn(data: str) -> Any:
    return {"inlineData": {"mimeType": "image/png", "data": data}, "thoughtSignature": SIGNATURE}


DRAWN_COUNTS = {
    "promptTokenCount": 3,
    "candidatesTokenCount": 1124,
    "totalTokenCount": 1327,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    "thoughtsTokenCount": 200,
}
PNG_HEAD = "iVBORw0KGgoA"  # a PNG's first nine bytes
DRAFT = {"inlineData": {"mimeType": "image/jpeg", "data": "ZHJhZnQ="}, "thought": True}


@pytest.mark.parametrize("sent_as", [f"{PNG_HEAD}{tail}" for tail in ("+/+/AA==", "-_-_AA==", "-_-_AA", "+/+/AA")])
def test_image_comes_in_standard_base64_and_drafts_do_not_come(sent_as: str) -> None:
    story = {"text": "A red dot:", "thoughtSignature": SIGNATURE}
    whole = response([DRAFT, story, drawn(sent_as)], DRAWN_COUNTS, "STOP")
    chunks = (response([DRAFT], COUNTS), response([story], COUNTS), response([drawn(sent_as)], DRAWN_COUNTS, "STOP"))
    answer = response_of(whole)
    assert answer.candidates[0].parts == (
        Text(text="A red dot:"),
        Reasoning(signature=SIGNATURE, issuer="gemini"),
        Image(source=Inline(media_type="image/png", data=f"{PNG_HEAD}+/+/AA==")),
        Reasoning(signature=SIGNATURE, issuer="gemini"),
    )
    assert answer.usage == Usage(input_tokens=3, output_tokens=1324, reasoning_tokens=200, output_image_tokens=1120)
    assert streamed_response(stream(*chunks)) == answer
    assert parts_sent(*answer.candidates[0].parts) == [story, drawn(f"{PNG_HEAD}+/+/AA==")]
    validate_answer(whole)


# --- how answers end

CONTENT = [{"text": "Well"}]


@pytest.mark.parametrize("reason", [reason.value for reason in types.FinishReason])
def test_every_finish_reason_of_the_sdk_is_mapped_on_purpose(reason: str) -> None:
    ends = {"STOP": FinishReason.STOP, "MAX_TOKENS": FinishReason.LENGTH, "CONTINUATION": FinishReason.LENGTH}
    plain = {"OTHER", "IMAGE_OTHER", "NO_IMAGE", "FINISH_REASON_UNSPECIFIED"}
    faults = {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    }
    said, silent = response(CONTENT, COUNTS, reason), envelope([{"finishReason": reason, "index": 0}], COUNTS)
    if reason in faults:
        with pytest.raises(UpstreamError):
            response_of(said)
        with pytest.raises(UpstreamError):
            events(stream(said))
        return
    expected = FinishReason.STOP if reason in plain else ends.get(reason, FinishReason.CONTENT_FILTER)
    assert response_of(said).candidates[0].finish_reason == expected
    assert streamed_response(stream(said)) == response_of(said)
    if reason in plain:
        with pytest.raises(UpstreamError, match="empty response"):
            response_of(silent)
    else:
        assert response_of(silent).candidates[0].finish_reason == expected


@pytest.mark.parametrize("said", [[], CONTENT], ids=["alone", "after-words"])
def test_unexpected_tool_call_is_returned(said: list[Any]) -> None:
    call = {"functionCall": {"id": "c1", "name": "search", "args": {}}}
    answered = response([*said, call], COUNTS, "UNEXPECTED_TOOL_CALL")
    answer = response_of(answered)
    assert answer.candidates[0].parts[-1] == ToolCall(id="c1", name="search", arguments="{}")
    assert answer.candidates[0].finish_reason == FinishReason.TOOL_CALLS
    assert streamed_response(stream(answered)) == answer


def test_unreadable_tool_call_is_an_error_that_may_be_retried() -> None:
    body = envelope([{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}], COUNTS)
    with pytest.raises(UpstreamError, match="tool call") as caught:
        response_of(body)
    assert caught.value.retryable


def test_answer_without_a_finish_reason_is_whole_only_when_not_streamed() -> None:
    body = response(CONTENT, COUNTS)
    assert response_of(body).candidates[0].finish_reason == FinishReason.STOP
    with pytest.raises(UpstreamError, match="before it was complete"):
        events(stream(body))


@pytest.mark.parametrize("data", [b"", stream({"usageMetadata": COUNTS, "modelVersion": "gemini-x"})])
def test_stream_without_candidates_is_truncated(data: bytes) -> None:
    with pytest.raises(UpstreamError, match="before it was complete"):
        events(data)


def test_whole_response_is_read_into_the_events_of_a_stream() -> None:
    answer = response([{"text": "Well", "thoughtSignature": SIGNATURE}], COUNTS, "STOP")
    assert (
        whole_events(answer)
        == events(stream(answer))
        == [
            Started(USAGE),
            TextDelta("Well"),
            ReasoningDelta(signature=SIGNATURE, issuer="gemini"),
            Finished(FinishReason.STOP, USAGE),
        ]
    )


def test_body_without_candidates_is_an_empty_response() -> None:
    with pytest.raises(UpstreamError, match="empty response"):
        response_of({"usageMetadata": COUNTS, "modelVersion": "gemini-x", "responseId": "r"})


def test_chunks_after_the_finish_reason_still_count() -> None:
    late = {"usageMetadata": COUNTS, "modelVersion": "gemini-x"}
    grounding = envelope([{"index": 0, "groundingMetadata": {"webSearchQueries": ["x"]}}], {"promptTokenCount": 1})
    seen = events(stream(response(CONTENT, {"promptTokenCount": 1}, "STOP"), grounding, late))
    usage = USAGE + Usage(searches=1)
    assert seen == [Started(Usage(input_tokens=1)), TextDelta("Well"), Finished(FinishReason.STOP, usage)]


def test_parts_and_fields_of_other_kinds_are_passed_over() -> None:
    parts = [{"executableCode": {"language": "PYTHON", "code": "1"}}, {"somethingNew": {}}, *CONTENT]
    body = response(parts, COUNTS, "STOP", citationMetadata={})
    assert response_of(body).candidates[0].parts == (Text(text="Well"),)


def test_candidates_keep_their_index_and_share_one_usage() -> None:
    def candidate(index: int, text: str, **more: Any) -> Any:
        return {"content": {"parts": [{"text": text}], "role": "model"}, "index": index, **more}

    first, second = candidate(0, "A", finishReason="STOP"), candidate(1, "B", finishReason="MAX_TOKENS")
    answer = response_of(envelope([first, second], COUNTS))
    assert [(each.index, each.finish_reason) for each in answer.candidates] == [(0, "stop"), (1, "length")]
    assert answer.usage == USAGE
    chunks = stream(envelope([candidate(1, "")], COUNTS), envelope([first], COUNTS), envelope([second], COUNTS))
    assert streamed_response(chunks) == answer
    assert events(chunks)[-2:] == [Finished(FinishReason.STOP), Finished(FinishReason.LENGTH, USAGE, 1)]


# --- tool call ids


def call_ids(body: Any) -> list[str]:
    parts = response_of(body).candidates[0].parts
    return [part.id for part in parts if isinstance(part, ToolCall)]


def test_missing_call_ids_are_made_from_the_answers_id() -> None:
    calls = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "args": {}, "id": "own"}}]
    body = response([*calls, calls[0]], COUNTS, "STOP")
    assert call_ids(body) == [f"call_{RESPONSE_ID}_0_0", "own", f"call_{RESPONSE_ID}_0_2"]


def test_missing_call_ids_differ_from_turn_to_turn_even_without_an_answers_id() -> None:
    def turn(tokens: int) -> Any:
        body = response([{"functionCall": {"name": "f", "args": {}}}], {"promptTokenCount": tokens}, "STOP")
        return {**body, "responseId": ""}

    assert call_ids(turn(10)) == call_ids(turn(10)) != call_ids(turn(20))
    assert all(len(call_id) <= 40 for call_id in call_ids(turn(10)))  # what OpenAI takes


# --- errors


@pytest.mark.parametrize(
    ("frame", "raises", "message"),
    [
        (OVERLOADED, UpstreamOverloaded, "The provider is overloaded."),
        ([OVERLOADED], UpstreamOverloaded, "The provider is overloaded."),
        (error(400, "INVALID_ARGUMENT", "Too long."), UpstreamRejected, "Too long."),
        ({"error": {"message": "?"}}, UpstreamError, "The provider failed."),
    ],
)
def test_error_is_raised_before_the_first_event(frame: Any, raises: type[GatewayError], message: str) -> None:
    for begin in (adapter.reader(request()).body(body(frame)), adapter.reader(request()).frame(Frame(body(frame)))):
        with pytest.raises(raises) as caught:
            next(iter(begin))
        assert caught.value.message == message


def test_quota_error_in_a_stream_tells_when_to_retry() -> None:
    with pytest.raises(UpstreamRateLimited) as caught:
        events(stream(response(CONTENT, COUNTS), QUOTA))
    assert caught.value.retry_after == 37


# --- JSON schemas


def test_composed_schemas_become_one() -> None:
    schema = {
        "allOf": [
            {"$ref": "#/definitions/Named"},
            {"properties": {"age": {"type": "integer", "exclusiveMinimum": 0}}, "required": ["age"]},
        ],
        "description": "a person",
        "definitions": {
            "Named": {"type": "object", "description": "x", "properties": {"name": True}, "required": ["name"]}
        },
    }
    assert schema_sent(schema) == {
        "type": "object",
        "description": "a person",
        "properties": {"name": {}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }


def test_required_names_may_be_apart_from_their_properties_but_not_without() -> None:
    schema = {"properties": {"a": {"type": "string"}}, "allOf": [{"required": ["a", "ghost"]}], "required": ["a"]}
    assert schema_sent(schema) == {"properties": {"a": {"type": "string"}}, "required": ["a"]}


def test_recursive_schema_is_cut_after_one_round() -> None:
    node = {
        "type": "object",
        "description": "a node",
        "properties": {"value": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
        "required": ["value", "next"],
    }
    cut = {"type": "object", "description": "a node"}
    once = {**node, "properties": {"value": {"type": "string"}, "next": cut}}
    assert schema_sent({"$ref": "#/$defs/Node", "$defs": {"Node": node}}) == once
    whole = {"type": "object", "properties": {"me": {"$ref": "#"}}}
    again = {"type": "object", "properties": {"me": {"type": "object"}}}
    assert schema_sent(whole) == {"type": "object", "properties": {"me": again}}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 2}, {"type": "integer", "enum": [2]}),
        ({"const": 1.5}, {"type": "number", "enum": [1.5]}),
        ({"const": True}, {"type": "boolean"}),
        ({"const": None}, {"type": "null"}),
        ({"const": [1]}, {"type": "array"}),
        ({"const": {"a": 1}}, {"type": "object"}),
        ({"type": "boolean", "const": True}, {"type": "boolean"}),
        (
            {"type": ["string", "null"], "enum": ["a", None], "description": "An a."},
            {"description": "An a.", "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        ({"enum": ["a", None]}, {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}),
        ({"enum": [None]}, {"type": "null"}),
        ({"type": "object", "nullable": True, "properties": {}}, {"type": "object", "properties": {}}),
        (
            {
                "type": "object",
                "properties": {
                    "nullable": {"type": "string", "nullable": True},
                    "kind": {"enum": ["a", "b"], "nullable": True},
                    "city": {"$ref": "#/$defs/City", "nullable": True, "description": "Where."},
                    "either": {"oneOf": [{"type": "string"}, {"type": "integer"}], "nullable": True},
                    "never": {"type": "string", "nullable": False},
                },
                "$defs": {"City": {"type": "string"}},
            },
            {
                "type": "object",
                "properties": {
                    "nullable": {"type": ["string", "null"]},
                    "kind": {"anyOf": [{"enum": ["a", "b"], "type": "string"}, {"type": "null"}]},
                    "city": {"description": "Where.", "anyOf": [{"type": "string"}, {"type": "null"}]},
                    "either": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
                    "never": {"type": "string"},
                },
            },
        ),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, {"anyOf": [{"type": "null"}, {"type": "integer", "enum": [1]}]}),
        ({"type": "string", "format": "date", "pattern": "^2"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "uri", "examples": ["x"]}, {"type": "string"}),
        (
            {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "uniqueItems": True},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ),
        (
            {"type": "array", "items": [{"type": "string"}, {"type": "number"}]},
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer", "multipleOf": 2}},
            {"type": "object", "additionalProperties": {"type": "integer"}},
        ),
        ({"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "title": "N"}, None),
        ({"type": "object", "properties": {}}, None),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "string"}}}, {"type": "string"}),
    ],
)
def test_schema_keeps_what_gemini_understands(schema: dict[str, Any], expected: Any) -> None:
    assert schema_sent(schema) == (expected or {key: value for key, value in schema.items() if key != "title"})


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def referring(times: int, large: dict[str, Any]) -> dict[str, Any]:
    properties = {f"p{number}": {"$ref": "#/$defs/Large"} for number in range(times)}
    return {"type": "object", "properties": properties, "$defs": {"Large": large}}


DOUBLING = {f"L{level}": {"allOf": [{"$ref": f"#/$defs/L{level + 1}"}] * 2} for level in range(40)}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#/$defs/Nobody"}, "'#/\\$defs/Nobody', which it does not contain"),
        ({"$ref": "https://example.com/schema"}, "does not contain"),
        ({"$ref": "#anchor"}, "does not contain"),
        ({"$ref": "#/$defs/L0", "$defs": {**DOUBLING, "L40": {}}}, "too intricate"),
        (referring(50, {"enum": [f"value {number}" for number in range(5000)]}), "too intricate"),
        (referring(50, {"description": "x" * 50_000}), "too intricate"),
        (referring(50, {"type": "array", "items": {"required": ["x" * 50_000]}}), "too intricate"),
        (referring(50, {"description": "x" * 15_000, "items": {"$ref": "#/$defs/Large"}}), "too intricate"),
        ({"allOf": [{"properties": {f"p{number}": {}}} for number in range(3000)]}, "too intricate"),
        (nested(2000), "nested too deeply"),
        ({"properties": ["a"]}, "is invalid"),
        ({"properties": {"a": "string"}}, "is invalid"),
        ({"required": 1}, "is invalid"),
    ],
)
def test_schema_that_cannot_be_used_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        adapter.call(request(tools=(Tool(name="f", parameters=schema),)), GEMINI_3)


def test_all_schemas_of_a_request_share_a_budget() -> None:
    tool = Tool(name="f", parameters=referring(4, {"description": "x" * 50_000}))
    sent(request(tools=(tool,)))
    with pytest.raises(InvalidRequest, match="too intricate"):
        sent(request(tools=(tool,) * 5))


def test_schema_given_is_not_changed() -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a", "b"]}
    before = json.dumps(schema)
    schema_sent(schema)
    assert json.dumps(schema) == before


def test_an_image_has_the_media_type_of_its_bytes_and_not_the_vendors() -> None:
    jpeg = "/9j/4AAQSkZJRg=="
    whole = response([{"inlineData": {"mimeType": "image/png", "data": jpeg}}], DRAWN_COUNTS, "STOP")
    assert response_of(whole).candidates[0].parts == (Image(source=Inline(media_type="image/jpeg", data=jpeg)),)


def test_data_that_is_not_an_image_is_not_passed_on() -> None:
    html = response([{"inlineData": {"mimeType": "image/png", "data": "PGh0bWw+"}}], DRAWN_COUNTS, "STOP")
    with pytest.raises(ValueError, match="not an image"):
        response_of(html)
