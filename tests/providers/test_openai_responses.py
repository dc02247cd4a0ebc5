"""What is peculiar to the Responses API: streams that leave things out, errors in them, and requests as they came."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from openai.types.responses import ResponseCreateParams
from pydantic import TypeAdapter

from shared.errors import (
    ContentFiltered,
    ContextTooLong,
    GatewayError,
    UnsupportedFeature,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from shared.providers.openai.chat import adapter
from shared.schemas.chat import ChatRequest, ChatResponse, CustomInput, Tool, WebSearch
from shared.schemas.content import Audio, File, Image, Inline, Message, Part, Reasoning, Remote, Text, ToolCall
from shared.schemas.events import (
    ChatEvent,
    Finished,
    OriginalEvent,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.model import Capability, Model
from shared.schemas.original import Original
from shared.schemas.usage import FinishReason
from tests.providers.canonical import assistant, result, user
from tests.providers.reading import collected, split, streamed, whole
from tests.providers.wires.openai_responses import (
    ANSWERS,
    HELLO,
    PNG,
    WEATHER,
    broken,
    counts,
    custom_call,
    function_call,
    item_events,
    message,
    output_text,
    reasoning,
    response,
    stream,
    validate_request,
)

QUIRKS = ("responses", "default_temperature_only", "no_max_effort", "no_minimal_effort", "cache_breakpoints")
PIXEL = Image(source=Inline(media_type="image/png", data=PNG))
PIXEL_URL = f"data:image/png;base64,{PNG}"
INCLUDE = ["reasoning.encrypted_content"]


def model(*quirks: str) -> Model:
    return Model(
        id="m",
        provider="p",
        upstream="vendor-m",
        owned_by="p",
        capabilities=frozenset({Capability.REASONING}),
        quirks=frozenset(quirks or QUIRKS),
    )


def sent(*quirks: str, messages: tuple[Message, ...] = (HELLO,), **fields: Any) -> Any:
    """The JSON that a model with these quirks gets over the Responses API."""
    call = adapter.call(ChatRequest(model="m", messages=messages, **fields), model(*quirks))
    assert call.path == "/responses"
    return call.json


def passed_on(body: Mapping[str, Any], *quirks: str, messages: tuple[Message, ...] = (HELLO,), **fields: Any) -> Any:
    """The JSON that goes out for a body of the Responses API, which is left as it is."""
    before = json.dumps(body)
    told = sent(*quirks, messages=messages, original=Original("responses", body), **fields)
    assert json.dumps(body) == before
    return told


# --- which API


@pytest.mark.parametrize("tokens", [1, 15])
def test_an_answer_that_is_shorter_than_the_api_allows_is_asked_of_chat_completions(tokens: int) -> None:
    request = ChatRequest(model="m", messages=(HELLO,), max_tokens=tokens)
    call = adapter.call(request, model("responses", "max_completion_tokens"))
    assert (call.path, call.json["max_completion_tokens"]) == ("/chat/completions", tokens)
    with_tools = request.model_copy(update={"tools": (WEATHER,), "reasoning_effort": "high"})
    assert adapter.call(with_tools, model()).json["reasoning_effort"] == "none"  # which refuses tools otherwise
    assert sent(max_tokens=16)["max_output_tokens"] == 16


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": (Tool(name="edit", custom=CustomInput()),)},
        {"messages": (HELLO, assistant(ToolCall(id="c", name="edit", arguments="x", custom=True)))},
        {"web_search": WebSearch()},
        {"original": Original("responses", {"model": "m", "input": "Hello"})},
    ],
    ids=["custom-tool", "custom-call", "web-search", "original"],
)
def test_a_short_answer_that_needs_the_responses_api_is_asked_of_that(fields: Any) -> None:
    assert sent(max_tokens=5, **fields)["max_output_tokens"] == 5


def test_other_models_are_asked_by_chat_completions() -> None:
    request = ChatRequest(model="m", messages=(HELLO,))
    plain = model("no_user")
    assert adapter.call(request, plain).path == "/chat/completions"
    assert (adapter.wire(plain), adapter.wire(model())) == ("chat", "responses")


# --- requests


def test_sampling_needs_a_model_that_does_not_reason() -> None:
    assert "temperature" not in sent(temperature=0.5, tools=(WEATHER,))
    assert sent(temperature=0.5, tools=(WEATHER,), reasoning_effort="none")["temperature"] == 0.5
    with pytest.raises(UnsupportedFeature, match="logprobs"):
        sent(logprobs=True)
    asked = sent(logprobs=True, reasoning_effort="none")
    assert (asked["top_logprobs"], asked["include"][1]) == (0, "message.output_text.logprobs")


def test_what_the_api_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="audio"):
        sent(messages=(user(Audio(data="UklGRg==", format="wav")),))
    with pytest.raises(UnsupportedFeature, match="image output"):
        sent(image_output=True)


def test_a_free_text_tool_has_no_format() -> None:
    (tool,) = sent(tools=(Tool(name="edit", custom=CustomInput()),))["tools"]
    assert tool == {"type": "custom", "name": "edit"}


def test_a_search_without_a_place_is_not_placed_in_the_united_states() -> None:
    (tool,) = sent(web_search=WebSearch())["tools"]
    assert tool == {"type": "web_search", "user_location": {"type": "approximate"}}


def test_text_after_a_call_is_final_and_before_one_is_not() -> None:
    turn = assistant("Look:", ToolCall(id="c", name="f", arguments="{}"), "Done.")
    items = sent(messages=(HELLO, turn, result("c", "f")))["input"]
    assert [item.get("phase") for item in items] == [None, "commentary", None, "final_answer", None]
    assert items[-1] == {"type": "function_call_output", "call_id": "c", "output": ""}


def test_reasoning_of_the_responses_api_is_not_sent_over_chat_completions() -> None:
    thought = ANSWERS["reasoning"].means.candidates[0].parts[0]
    request = ChatRequest(model="m", messages=(HELLO, assistant(thought, "Hi"), HELLO))
    sent_back = adapter.call(request, model("reasoning_details")).json["messages"][1]
    assert sent_back == {"role": "assistant", "content": "Hi"}


# --- requests as they came

ORIGINAL: dict[str, Any] = {
    "model": "gpt-6-sol",
    "input": [
        {"role": "user", "content": "Hello"},
        {"type": "configuration_update", "reasoning": {"effort": "high"}},
    ],
    "instructions": "Be brief.",
    "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "a_tool_of_2027"}],
    "tool_choice": {"type": "code_interpreter"},
    "include": ["code_interpreter_call.outputs"],
    "reasoning": {"effort": "high", "context": "all_turns"},
    "text": {"verbosity": "low", "a_field_of_2027": 1},
    "truncation": "auto",
    "metadata": {"team": "blue"},
    "prompt_cache_key": "k",
    "safety_identifier": "u",
    "a_field_of_2027": [1],
}


def test_what_came_by_the_same_wire_goes_out_as_it_came() -> None:
    body = passed_on(ORIGINAL, reasoning_effort="high", max_tokens=500)
    assert body == {
        **ORIGINAL,
        "model": "vendor-m",
        "include": [*ORIGINAL["include"], *INCLUDE],
        "max_output_tokens": 500,
        "store": False,
    }


def test_headers_that_are_part_of_a_request_go_with_it() -> None:
    original = Original("responses", {"model": "x", "input": "Hello"}, {"openai-beta": "a=v1"})
    call = adapter.call(ChatRequest(model="m", messages=(HELLO,), original=original), model())
    assert call.headers == {"openai-beta": "a=v1"}


def test_what_is_the_gateways_own_is_not_passed_on() -> None:
    own = {
        "store": True,
        "background": True,
        "previous_response_id": "resp_1",
        "client_metadata": {"a": "b"},
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "max_output_tokens": 900_000,
        "include": INCLUDE,
        "user": None,
    }
    body = passed_on({"model": "x", "input": "Hello", **own}, max_tokens=128_000)
    assert body == {
        "model": "vendor-m",
        "input": "Hello",
        "store": False,
        "include": INCLUDE,
        "max_output_tokens": 128_000,
    }
    body = passed_on({"model": "x", "input": "Hello", **own}, stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_obfuscation": False})
    assert "max_output_tokens" not in body


def test_what_the_model_refuses_is_not_passed_on_to_it() -> None:
    body = {"model": "x", "input": "Hello", "temperature": 0.2, "top_p": 0.9, "reasoning": {"effort": "minimal"}}
    told = passed_on(body, reasoning_effort="minimal")
    assert told["reasoning"] == {"effort": "low"}
    assert told.keys().isdisjoint({"temperature", "top_p"})
    quiet = passed_on({"model": "x", "input": "Hello", "temperature": 0.2}, "responses", "reasoning_opt_in")
    assert (quiet["reasoning"], quiet["temperature"]) == ({"effort": "none"}, 0.2)
    assert "reasoning" not in passed_on({"model": "x", "input": "Hello"})


def test_images_go_out_as_the_gateway_has_prepared_them() -> None:
    """P12: what the gateway's store holds is not known to OpenAI."""
    items: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": "https://gateway.test/images/1", "detail": "original"},
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,QQ=="},
                {"type": "input_file", "file_url": "https://files.test/a.pdf"},
            ],
        },
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_image", "image_url": "https://images.test/cat.jpg", "an_unknown": True}],
        },
    ]
    document = File(source=Remote(url="https://files.test/a.pdf"))
    messages = (
        user("See", PIXEL, PIXEL, "a.txt:\nA", document),
        assistant(ToolCall(id="c", name="look", arguments="{}")),
        result("c", "look", Image(source=Remote(url="https://images.test/cat.jpg"))),
    )
    body = passed_on({"model": "x", "input": items}, messages=messages)
    text, first, second, *files = body["input"][0]["content"]
    assert text == {"type": "input_text", "text": "See"}
    assert first == {"type": "input_image", "image_url": PIXEL_URL, "detail": "original"}
    assert second == {"type": "input_image", "image_url": PIXEL_URL}
    assert files == items[0]["content"][3:]
    assert body["input"][1:] == items[1:]


def test_input_whose_images_the_gateway_has_added_to_is_sent_in_its_own_words() -> None:
    turns = (user("Draw"), assistant("Here: ", PIXEL), user("Again"))
    body = passed_on({"model": "x", "input": [{"role": "user", "content": "Draw"}], "top": 1}, messages=turns)
    assert body["input"] == sent(messages=turns)["input"]
    assert body["top"] == 1


def test_an_original_of_another_wire_is_translated() -> None:
    body = sent(original=Original("messages", {"model": "x", "thinking": {"type": "adaptive"}}))
    assert "thinking" not in body
    validate_request(body)


# --- answers

ASKED = ChatRequest(model="m", messages=(HELLO,))
SAME_WIRE = ChatRequest(model="m", messages=(HELLO,), original=Original("responses", {"model": "m"}))


def named(*events: Any) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def read(body: bytes, request: ChatRequest = ASKED) -> list[ChatEvent]:
    return streamed(adapter, request, [body])


def parts(answer: ChatResponse) -> tuple[Part, ...]:
    return answer.candidates[0].parts


def test_events_of_unknown_types_and_of_the_vendors_own_tools_are_skipped() -> None:
    final = response([message(output_text("Hi"))], counts(1, 1))
    ours = stream(final)
    others = named(
        {"type": "response.mcp_call.in_progress", "output_index": 7, "item_id": "mcp_1"},
        {"type": "response.something_of_2027", "any": [1]},
        {"type": "keepalive"},
        {"type": "response.output_item.added", "output_index": 5, "item": {"type": "an_item_of_2027", "id": "x"}},
        {"type": "response.output_item.done", "output_index": 5, "item": {"type": "an_item_of_2027", "id": "x"}},
    )
    at = ours.index(b"event: response.output_item.added")
    assert collected(read(ours[:at] + others + b": comment\n\n" + ours[at:])) == collected(read(ours))


@pytest.mark.parametrize("name", ["text", "tools", "reasoning", "refusal", "logprobs", "custom_tool", "web_search"])
@pytest.mark.parametrize("kept", ["output_item.done", "completed"])
def test_a_stream_without_deltas_is_read_from_what_is_complete(name: str, kept: str) -> None:
    """Proxies send less than OpenAI does."""
    data = ANSWERS[name]
    frames = data.stream.split(b"\n\n")[:-1]
    left = [frame for frame in frames if any(f"event: response.{k}\n".encode() in frame for k in (kept, "completed"))]
    assert collected(read(b"\n\n".join(left) + b"\n\n")) == data.means


def test_frames_without_event_names_are_read_by_their_types() -> None:
    data = ANSWERS["reasoning"]
    bare = b"".join(line + b"\n\n" for line in data.stream.split(b"\n") if line.startswith(b"data:"))
    assert collected(read(bare + b"data: [DONE]\n\n")) == data.means


def test_a_stream_that_says_done_before_it_is_complete_is_cut_off() -> None:
    begun = named({"type": "response.created", "response": response([], status="in_progress")})
    for body in (begun + b"data: [DONE]\n\n", begun, b""):
        with pytest.raises(UpstreamIncomplete):
            read(body)


def test_parallel_calls_keep_their_own_arguments() -> None:
    first, second = function_call("c1", "f", '{"a":1}'), custom_call("c2", "g", "free text")
    one, two = list(item_events(0, first)), list(item_events(1, second))
    woven = [event for pair in zip(one, two, strict=False) for event in pair] + one[len(two) :] + two[len(one) :]
    final = {"type": "response.completed", "response": response([first, second], counts(1, 1))}
    assert parts(collected(read(named(*woven, final)))) == (
        ToolCall(id="c1", name="f", arguments='{"a":1}'),
        ToolCall(id="c2", name="g", arguments="free text", custom=True),
    )


def test_an_image_of_the_vendors_own_tool_is_an_image() -> None:
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": PNG}
    vector = {**drawn, "id": "ig_2", "result": "PHN2Zy8+", "output_format": "svg"}
    failed = {**drawn, "id": "ig_3", "status": "failed", "result": None}
    final = response([drawn, vector, failed, message(output_text("Here."))], counts(20, 10))
    assert parts(collected(read(stream(final)))) == (PIXEL, Text(text="Here."))
    assert parts(collected(whole(adapter, ASKED, json.dumps(final).encode()))) == (PIXEL, Text(text="Here."))


def test_reasoning_that_cannot_be_sent_back_has_no_signature() -> None:
    final = response([reasoning("Hm.", encrypted=None), message(output_text("Hi"))], counts(1, 1))
    assert parts(collected(read(stream(final)))) == (Reasoning(text="Hm.", issuer="openai"), Text(text="Hi"))


def test_thoughts_told_in_full_are_reasoning() -> None:
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    delta = {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "Hm"}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    final = {"type": "response.completed", "response": response([item], counts(1, 1))}
    assert parts(collected(read(named(delta, done, final)))) == (Reasoning(text="Hm.", issuer="openai"),)


@pytest.mark.parametrize(
    ("reason", "means"),
    [
        ("max_output_tokens", FinishReason.LENGTH),
        ("max_messages", FinishReason.LENGTH),
        ("steered", FinishReason.STOP),
        ("content_filter", FinishReason.CONTENT_FILTER),
        (None, FinishReason.LENGTH),
    ],
)
def test_an_incomplete_answer_says_why(reason: str | None, means: FinishReason) -> None:
    call = function_call("c1", "f", '{"a":')
    final = response([call], counts(1, 1), "incomplete", incomplete_details={"reason": reason})
    assert collected(read(stream(final))).candidates[0].finish_reason is means


def test_searches_are_counted_where_the_vendor_does_not_tell_them() -> None:
    search = {"id": "ws", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "a"}}
    opened = {**search, "action": {"type": "open_page", "url": "https://example.com"}}
    final = response([search, search, opened, message(output_text("Hi"))], counts(1, 1))
    assert collected(read(stream(final))).usage.searches == 2


def test_the_tier_that_has_served_is_told_at_the_end() -> None:
    final = response([message(output_text("Hi"))], counts(1, 1), service_tier="flex")
    events = read(stream(final))
    assert isinstance(events[-1], Finished)
    assert (events[-1].service_tier, collected(events).service_tier) == ("flex", "flex")


# --- errors of an answer that has begun


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"code": "server_error", "message": "An error occurred."}, UpstreamError),
        ({"code": "rate_limit_exceeded", "message": "Rate limit reached."}, UpstreamRateLimited),
        ({"code": "invalid_prompt", "message": "Flagged."}, ContentFiltered),
        ({"code": "context_length_exceeded", "message": "Too long."}, ContextTooLong),
        ({"code": "image_parse_error", "message": "The image could not be parsed."}, UpstreamRejected),
        ({"code": "vector_store_timeout", "message": "Timed out."}, UpstreamTimeout),
        (None, UpstreamError),
    ],
)
def test_a_failed_response_is_its_error(error: Any, raised: type[GatewayError]) -> None:
    failed = response([], status="failed", error=error)
    with pytest.raises(GatewayError) as told:
        whole(adapter, ASKED, json.dumps(failed).encode())
    assert type(told.value) is raised
    for at in (0, 1):
        items = [message(output_text("Once"))] * at
        with pytest.raises(GatewayError) as told:
            read(broken(*items, last={"type": "response.failed", "response": failed}))
        assert type(told.value) is raised


def test_a_response_that_was_cancelled_is_an_error() -> None:
    with pytest.raises(UpstreamError):
        whole(adapter, ASKED, json.dumps(response([], status="cancelled")).encode())


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "Rate limit reached.", "param": None},
        {"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Rate limit."}},
    ],
)
def test_an_error_event_is_that_error_in_either_form(error: Any) -> None:
    with pytest.raises(UpstreamRateLimited):
        read(named(error))
    with pytest.raises(UpstreamRateLimited):
        read(broken(message(output_text("Once")), last=error))


def test_nothing_is_told_before_the_vendor_has_said_something() -> None:
    """P15: a failure until then keeps its status."""
    failure = {"type": "response.failed", "response": response([], status="failed", error=None)}
    begun = list(item_events(0, message(output_text(""))))[:2]
    body = broken(last=failure).replace(b"event: response.failed", named(*begun) + b"event: response.failed")
    decoder, reader = adapter.frames(), adapter.reader(SAME_WIRE)
    *openings, failed = decoder.feed(body)
    told = [event for frame in openings for event in reader.frame(frame)]
    assert Started() in told
    assert all(isinstance(event, Started) or (isinstance(event, OriginalEvent) and event.is_opening) for event in told)
    with pytest.raises(UpstreamError):
        list(reader.frame(failed))


# --- answers as they came


def test_each_event_of_the_vendor_comes_before_what_it_says() -> None:
    data = ANSWERS["tools"]
    events = read(data.stream, SAME_WIRE)
    originals = [event.original for event in events if isinstance(event, OriginalEvent)]
    assert named(*(original.body for original in originals)) == data.stream
    assert {original.wire for original in originals} == {"responses"}
    assert [event for event in events if not isinstance(event, OriginalEvent)] == read(data.stream)
    order = (OriginalEvent, Started, OriginalEvent, OriginalEvent, ToolCallStarted, OriginalEvent, ToolCallDelta)
    assert tuple(map(type, events[:7])) == order


def test_events_that_the_gateway_does_not_know_come_as_they_are() -> None:
    unknown = {"type": "response.something_of_2027", "any": [1]}
    final = {"type": "response.completed", "response": response([message(output_text("Hi"))], counts(1, 1))}
    told = read(named(unknown, final), SAME_WIRE)
    assert [event.original.body for event in told if isinstance(event, OriginalEvent)] == [unknown, final]
    assert TextDelta("Hi") in told


def test_a_whole_answer_comes_once_as_it_is() -> None:
    data = ANSWERS["reasoning"]
    first, *rest = whole(adapter, SAME_WIRE, data.body)
    assert first == OriginalEvent(Original("responses", json.loads(data.body)))
    assert collected(rest) == data.means


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_stream_of_the_same_wire_may_be_split_anywhere(size: int) -> None:
    data = ANSWERS["reasoning"]
    assert streamed(adapter, SAME_WIRE, split(data.stream, size)) == read(data.stream, SAME_WIRE)


def test_a_body_that_is_passed_on_is_as_the_sdk_has_it() -> None:
    known = {name: value for name, value in ORIGINAL.items() if name != "a_field_of_2027"}
    body = passed_on({**known, "input": "Hello", "tools": ORIGINAL["tools"][:1]}, max_tokens=500)
    TypeAdapter[Any](ResponseCreateParams).validate_python(body)
