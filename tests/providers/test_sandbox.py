"""The sandbox's engine, driven through its adapter: what it answers, at what pace, and how it fails on request."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image as Picture

from shared.errors import (
    GatewayError,
    ModelNotFound,
    UnsupportedFeature,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
)
from shared.framing import sse_frames
from shared.providers.base import ChatAdapter, InProcess, LocalAnswer
from shared.providers.sandbox import adapter, tokens
from shared.schemas.chat import (
    Candidate,
    ChatRequest,
    ChatResponse,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from shared.schemas.content import (
    Audio,
    File,
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)
from shared.schemas.events import ChatEvent, Finished, TextDelta, ToolCallDelta, ToolCallStarted, collect
from shared.schemas.model import Model
from shared.schemas.usage import FinishReason

pytestmark = pytest.mark.anyio

WEATHER_SCHEMA = {
    "type": "object",
    "properties": {
        "location": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["location"],
    "additionalProperties": False,
}
WEATHER = Tool(name="get_weather", parameters=WEATHER_SCHEMA)
TIME = Tool(name="get_time")


def model(name: str = "chat") -> Model:
    return Model(id=f"sandbox/{name}", provider="sandbox", upstream=f"sandbox/{name}", owned_by="sandbox")


def user(*parts: Part | str) -> Message:
    return Message(role="user", parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def result(call: ToolCall, text: str) -> Message:
    return Message(role="tool", parts=(ToolResult(call_id=call.id, name=call.name, content=(Text(text=text),)),))


def ask(*messages: Message | str, **more: Any) -> ChatRequest:
    turns = tuple(user(message) if isinstance(message, str) else message for message in messages or ("Hello there",))
    return ChatRequest(model="sandbox/chat", messages=turns, **more)


def local_answer(request: ChatRequest, name: str = "chat") -> LocalAnswer:
    call = adapter.chat(request, model(name))
    return adapter.answer(call.path, json.dumps(call.json).encode())


def sent_bytes(chunks: Sequence[bytes | float]) -> bytes:
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))


def pauses(chunks: Sequence[bytes | float]) -> list[float]:
    return [chunk for chunk in chunks if isinstance(chunk, float)]


def respond(request: ChatRequest) -> ChatResponse:
    """The response; raises the error that stands in its place."""
    answer = local_answer(request)
    body = sent_bytes([*answer.chunks])
    if answer.status != 200:
        raise adapter.error(answer.status, answer.headers, body)
    return adapter.chat_response(json.loads(body))


def candidate(request: ChatRequest) -> Candidate:
    return respond(request).candidates[0]


def text(request: ChatRequest) -> str:
    return text_of(candidate(request))


def text_of(answer: Candidate) -> str:
    return "".join(part.text for part in answer.parts if isinstance(part, Text))


def calls(request: ChatRequest) -> list[ToolCall]:
    return [part for part in candidate(request).parts if isinstance(part, ToolCall)]


async def bytes_of(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def streamed(request: ChatRequest, size: int = 1 << 20) -> list[ChatEvent]:
    answer = local_answer(request.model_copy(update={"stream": True}))
    body = sent_bytes([*answer.chunks])
    return [event async for event in adapter.chat_events(sse_frames(bytes_of(body, size)))]


async def replayed(events: Sequence[ChatEvent]) -> AsyncIterator[ChatEvent]:
    for event in events:
        yield event


# --- the adapter ------------------------------------------------------------------------------------------------------


def test_it_is_a_chat_adapter_inside_the_process_and_needs_no_key() -> None:
    assert isinstance(adapter, ChatAdapter)
    assert isinstance(adapter, InProcess)
    assert adapter.auth("") == {}


def test_images_are_not_asked_of_a_chat_model() -> None:
    with pytest.raises(UnsupportedFeature, match="images"):
        adapter.chat(ask(image_output=True), model())


def test_the_same_request_gets_the_same_bytes() -> None:
    request = ask("Weather in Rome and Oslo?", tools=(WEATHER,), reasoning_effort="low", stream=True)
    assert [*local_answer(request).chunks] == [*local_answer(request).chunks]


# --- what it says -----------------------------------------------------------------------------------------------------


def test_the_answer_reflects_the_prompt() -> None:
    assert text(ask("Grüße, Welt 👋!")) == 'You said: "Grüße, Welt 👋!". How may I help you further?'


def test_the_answer_tells_of_system_text_and_turns() -> None:
    later = Message(role="system", parts=(Text(text="Brief."),))
    answer = text(ask("One", assistant(Text(text="1")), later, "Two", system="Count."))
    assert answer.startswith('You said: "Two".')
    assert "My system text has 13 characters." in answer
    assert "This is turn 2 of our conversation." in answer


def test_a_long_prompt_is_quoted_in_part() -> None:
    assert f'"{"a" * 1000}…"' in text(ask("a" * 5000))


def encoded(picture_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Picture.new("RGB", (321, 45), "teal").save(buffer, picture_format, **options)
    return buffer.getvalue()


WEBP_EXTENDED = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (320).to_bytes(3, "little") + (44).to_bytes(3, "little")


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/png", encoded("PNG")),
        ("image/gif", encoded("GIF")),
        ("image/jpeg", encoded("JPEG", exif=b"Exif\0\0" + b"x" * 500)),
        ("image/jpeg", encoded("JPEG", progressive=True)),
        ("image/jpeg", b"\xff\xd8\xff\xff" + encoded("JPEG")[2:]),  # fill bytes before a marker
        ("image/webp", encoded("WEBP")),
        ("image/webp", encoded("WEBP", lossless=True)),
        ("image/webp", WEBP_EXTENDED),
    ],
)
def test_an_image_is_described_by_type_pixels_and_bytes(media_type: str, data: bytes) -> None:
    image = Image(source=Inline(media_type=media_type, data=b64encode(data).decode()))
    assert f"I was shown an image ({media_type}, 321x45 pixels, {len(data)} bytes)." in text(ask(user("Look", image)))


@pytest.mark.parametrize("picture_format", ["PNG", "GIF", "JPEG", "WEBP"])
def test_an_image_cut_anywhere_is_described_as_far_as_it_can_be(picture_format: str) -> None:
    data = encoded(picture_format)
    for length in range(60):
        image = Image(source=Inline(media_type="image/any", data=b64encode(data[:length]).decode()))
        assert f"{length} bytes)" in text(ask(user(image)))


def test_all_media_of_the_conversation_are_told() -> None:
    png = Image(source=Inline(media_type="image/png", data="not base64"))
    call = ToolCall(id="call_1", name="draw", arguments="{}")
    drawn = Message(role="tool", parts=(ToolResult(call_id="call_1", name="draw", content=(png,)),))
    remote = Image(source=Remote(url="https://example.com/secret?token=1"))
    pdf = File(source=Inline(media_type="application/pdf", data="JVBERi0="), name="a.pdf")
    answer = text(ask(user(remote, Audio(data="UklGRg==", format="wav"), pdf), assistant(call), drawn))
    assert (
        'I was shown an image at a URL, a recording (wav, 4 bytes), a file "a.pdf" (application/pdf, 5 bytes)'
        " and an image (image/png, of unknown size, 0 bytes)."
    ) in answer
    assert "The tool draw returned no text." in answer
    assert "You sent no text." in answer
    assert "secret" not in answer


def test_candidates_and_seeds_change_the_wording() -> None:
    answers = [text_of(answer) for answer in respond(ask(n=4)).candidates]
    assert len(set(answers)) == 4
    assert all("Hello there" in answer for answer in answers)
    seeds = [text(ask(seed=seed)) for seed in range(-20, 20)]
    assert len(set(seeds)) == 40
    assert text(ask(seed=3, temperature=2.0)) == seeds[23]


def test_json_mode_gives_an_object_about_the_prompt() -> None:
    value = json.loads(text(ask('Say "hi"', response_format=JsonObjectFormat())))
    assert value == {"answer": 'You said: "Say "hi"". How may I help you further?', "prompt": 'Say "hi"', "turns": 1}


def test_json_schema_mode_gives_a_value_of_the_schema() -> None:
    output = JsonSchemaFormat(name="weather", json_schema=WEATHER_SCHEMA)
    value = json.loads(text(ask("How is it in New York in fahrenheit?", response_format=output)))
    assert value == {"location": "New York", "unit": "fahrenheit"}


def test_a_schema_that_cannot_be_satisfied_is_the_callers_error() -> None:
    with pytest.raises(UpstreamRejected, match="no value that satisfies"):
        respond(ask(response_format=JsonSchemaFormat(name="none", json_schema={"allOf": [False]})))


@pytest.mark.parametrize("stream", [False, True])
def test_a_trigger_word_gets_a_refusal(stream: bool) -> None:
    answer = candidate(ask("Tell me [sandbox:refuse]", tools=(TIME,)))
    assert [type(part) for part in answer.parts] == [Refusal]
    assert answer.finish_reason is FinishReason.STOP


def test_a_trigger_word_runs_into_the_content_filter() -> None:
    answer = candidate(ask("Tell me a long story [sandbox:filter]"))
    assert answer.finish_reason is FinishReason.CONTENT_FILTER
    assert text_of(answer) == 'You said: "Tell me a long'


# --- limits -----------------------------------------------------------------------------------------------------------

_FORMATS: st.SearchStrategy[ResponseFormat | None] = st.sampled_from(
    [None, JsonObjectFormat(), JsonSchemaFormat(name="w", json_schema=WEATHER_SCHEMA)]
)
_REQUESTS = st.builds(
    ask,
    st.text(max_size=40) | st.sampled_from(["[sandbox:refuse]", "[sandbox:filter]", "In Rome and Oslo"]),
    system=st.none() | st.just("Be brief."),
    n=st.integers(1, 3),
    seed=st.none() | st.integers(-5, 5),
    tools=st.sampled_from([(), (), (WEATHER, TIME)]),
    response_format=_FORMATS,
    reasoning_effort=st.sampled_from([None, "none", "low", "max"]),
    logprobs=st.booleans(),
    top_logprobs=st.none() | st.integers(0, 3),
)


def weight(answer: Candidate) -> int:
    return sum(map(tokens.of_part, answer.parts))


def words_of(answer: Candidate) -> str:
    """All that the candidate generated, in one string."""
    return "".join(
        part.name + part.arguments if isinstance(part, ToolCall) else part.text
        for part in answer.parts
        if isinstance(part, Text | Refusal | Reasoning | ToolCall)
    )


@settings(deadline=None)
@given(st.text() | st.text("ab \n"), st.integers(0, 20))
def test_tokens_and_words_join_to_the_text_and_a_prefix_keeps_its_tokens(value: str, limit: int) -> None:
    assert "".join(tokens.split(value)) == value
    assert "".join(tokens.words(value)) == value
    assert [token for word in tokens.words(value) for token in tokens.split(word)] == tokens.split(value)
    assert tokens.split(tokens.first(value, limit)) == tokens.split(value)[:limit]


@settings(deadline=None)
@given(_REQUESTS, st.integers(1, 60))
def test_no_candidate_has_more_than_max_tokens(request: ChatRequest, limit: int) -> None:
    whole = respond(request)
    cut = respond(request.model_copy(update={"max_tokens": limit}))
    for full, part in zip(whole.candidates, cut.candidates, strict=True):
        if weight(full) <= limit:
            assert part == full
        else:
            assert part.finish_reason is FinishReason.LENGTH
            assert weight(part) <= limit
            assert words_of(full).startswith(words_of(part))
            # A call cut within its name is left out, hence not always the limit to the token.
            assert weight(part) == limit or any(isinstance(piece, ToolCall) for piece in full.parts)
    assert cut.usage.output_tokens == sum(map(weight, cut.candidates))


@settings(deadline=None)
@given(_REQUESTS, st.lists(st.text('aeiou sr:"', max_size=3), max_size=4), st.none() | st.integers(1, 60))
def test_no_text_holds_a_stop_sequence(request: ChatRequest, stop: list[str], limit: int | None) -> None:
    free = respond(request.model_copy(update={"max_tokens": limit}))
    stopped = respond(request.model_copy(update={"max_tokens": limit, "stop": tuple(stop)}))
    sequences = [sequence for sequence in stop if sequence]
    for full, part in zip(free.candidates, stopped.candidates, strict=True):
        assert text_of(full).startswith(text_of(part))
        assert not any(sequence in text_of(part) for sequence in sequences)
        if any(sequence in text_of(full) for sequence in sequences):
            assert part.finish_reason is FinishReason.STOP
        else:
            assert part == full


def test_a_stop_sequence_may_span_words() -> None:
    answer = candidate(ask("Hello there", stop=("absent", "o the")))
    assert text_of(answer) == 'You said: "Hell'
    assert answer.finish_reason is FinishReason.STOP


def test_a_stop_sequence_at_the_start_leaves_no_part() -> None:
    assert candidate(ask(stop=("You",))).parts == ()


def test_reasoning_that_is_cut_is_not_signed() -> None:
    answer = candidate(ask(reasoning_effort="low", max_tokens=3))
    assert answer.parts == (Reasoning(text="The user want", issuer="sandbox"),)
    assert answer.finish_reason is FinishReason.LENGTH


# --- streams ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(_REQUESTS, st.none() | st.integers(1, 60), st.sampled_from([1, 7, 1 << 20]))
async def test_a_stream_folds_into_the_response(request: ChatRequest, limit: int | None, size: int) -> None:
    request = request.model_copy(update={"max_tokens": limit})
    assert await collect(replayed(await streamed(request, size))) == respond(request)


async def test_text_is_streamed_word_by_word() -> None:
    events = await streamed(ask("Hello there"))
    words = [event.text for event in events if isinstance(event, TextDelta)]
    assert words == ["You", " said:", ' "Hello', ' there".', " How", " may", " I", " help", " you", " further?"]


async def test_candidates_are_streamed_by_turns_and_finish_together() -> None:
    events = await streamed(ask(n=2))
    assert [event.index for event in events if isinstance(event, TextDelta)][:4] == [0, 1, 0, 1]
    first, last = events[-2:]
    assert isinstance(first, Finished)
    assert isinstance(last, Finished)
    assert (first.index, last.index) == (0, 1)
    assert first.usage.total_tokens == 0
    assert last.usage.total_tokens > 0


async def test_arguments_are_streamed_in_fragments() -> None:
    events = await streamed(ask("Weather in Rome", tools=(WEATHER,)))
    fragments = [event.arguments for event in events if isinstance(event, ToolCallDelta)]
    assert fragments == ['{"location":', ' "Rome",', ' "unit":', ' "celsius"}']


def test_only_streams_pause() -> None:
    assert pauses([*local_answer(ask()).chunks]) == []
    assert pauses([*local_answer(ask(stream=True)).chunks]) == [0.02] * 9


def test_the_slow_model_pauses_as_long_whole_as_streamed() -> None:
    stream = pauses([*local_answer(ask(stream=True), "slow").chunks])
    assert stream == [0.5] + [0.2] * 9
    assert pauses([*local_answer(ask(), "slow").chunks]) == [pytest.approx(2.3)]


# --- tools ------------------------------------------------------------------------------------------------------------


def test_the_first_tool_is_called_with_arguments_of_its_schema() -> None:
    answer = candidate(ask("What is the weather in Tokyo?", tools=(WEATHER, TIME)))
    (call,) = answer.parts
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("get_weather", '{"location": "Tokyo", "unit": "celsius"}')
    assert answer.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("prompt", "options", "names"),
    [
        ("Call get_time!", {}, ["get_time"]),
        ("GET_TIME, then get_weather", {}, ["get_time", "get_weather"]),
        ("get_time, then get_weather", {"parallel_tool_calls": False}, ["get_time"]),
        ("get_time", {"tool_choice": NamedTool(name="get_weather")}, ["get_weather"]),
        ("get_time", {"tool_choice": "required"}, ["get_time"]),
        ("get_times", {"tool_choice": "auto"}, ["get_weather"]),
        ("get_time", {"tool_choice": "none"}, []),
    ],
)
def test_the_prompt_and_tool_choice_decide_which_tools_are_called(
    prompt: str, options: dict[str, ToolChoice], names: list[str]
) -> None:
    assert [call.name for call in calls(ask(prompt, tools=(WEATHER, TIME), **options))] == names


def test_two_names_are_worth_two_calls_of_one_tool() -> None:
    made = calls(ask("Weather in Tokyo and Paris?", tools=(WEATHER,)))
    assert [json.loads(call.arguments)["location"] for call in made] == ["Tokyo", "Paris"]
    assert len(calls(ask("Weather in Tokyo and Paris?", tools=(WEATHER,), parallel_tool_calls=False))) == 1
    assert len(calls(ask("Time in Tokyo and Paris?", tools=(TIME,)))) == 1


async def test_call_ids_are_unique_over_calls_candidates_and_turns_and_the_same_when_streamed() -> None:
    request = ask("get_time and get_weather", tools=(WEATHER, TIME), n=2)
    first = [part for answer in respond(request).candidates for part in answer.parts if isinstance(part, ToolCall)]
    call = first[0]
    again = ask(
        "get_time", assistant(call), result(call, "noon"), assistant(Text(text="Noon.")), "get_time", tools=(TIME,)
    )
    ids = [made.id for made in [*first, *calls(again)]]
    assert len(ids) == len(set(ids)) == 5
    events = await streamed(request)
    assert [event.id for event in events if isinstance(event, ToolCallStarted) and event.index == 0] == ids[:2]


def test_tool_results_are_told_and_no_more_tools_called() -> None:
    made = calls(ask("Weather in Tokyo and Paris?", tools=(WEATHER,)))
    results = [result(call, f"{degrees} °C") for call, degrees in zip(made, (15, 20), strict=True)]
    request = ask("Weather in Tokyo and Paris?", assistant(*made), *results, tools=(WEATHER,), tool_choice="required")
    answer = candidate(request)
    assert 'The tool get_weather returned "15 °C". The tool get_weather returned "20 °C".' in text_of(answer)
    assert answer.finish_reason is FinishReason.STOP
    hurried = request.model_copy(update={"messages": (*request.messages, user("Well?"))})
    assert 'You said: "Well?". The tool get_weather returned "15 °C".' in text(hurried)


def test_a_choice_of_no_tool_at_all_is_the_callers_error() -> None:
    with pytest.raises(UpstreamRejected, match="'missing'"):
        respond(ask(tools=(TIME,), tool_choice=NamedTool(name="missing")))


@settings(deadline=None)
@given(st.text(max_size=30))
def test_arguments_satisfy_the_tools_schema_whatever_the_prompt(prompt: str) -> None:
    (call,) = calls(ask(prompt, tools=(WEATHER,)))
    Draft202012Validator(WEATHER_SCHEMA).validate(json.loads(call.arguments))


# --- reasoning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", [None, "none", "minimal"])
def test_without_effort_there_is_no_reasoning(effort: Any) -> None:
    response = respond(ask(reasoning_effort=effort))
    assert [type(part) for part in response.candidates[0].parts] == [Text]
    assert response.usage.reasoning_tokens == 0


def test_more_effort_is_more_reasoning() -> None:
    efforts = ("low", "medium", "high", "xhigh", "max")
    responses = [respond(ask(reasoning_effort=effort)) for effort in efforts]
    spent = [response.usage.reasoning_tokens for response in responses]
    assert spent == sorted(set(spent))
    assert [type(part) for part in responses[0].candidates[0].parts] == [Reasoning, Text]
    assert spent[0] < responses[0].usage.output_tokens


def returned(thinking: Reasoning) -> str:
    """The answer to a tool result that comes with this thinking before its call."""
    call = ToolCall(id="call_1", name="get_time", arguments="{}")
    return text(ask("Time?", assistant(thinking, call), result(call, "noon"), tools=(TIME,)))


def test_reasoning_that_comes_back_is_checked_against_its_signature() -> None:
    thinking = candidate(ask("Time?", tools=(TIME,), reasoning_effort="high")).parts[0]
    assert isinstance(thinking, Reasoning)
    assert "My earlier reasoning came back unchanged." in returned(thinking)
    for change in ({"text": thinking.text + " "}, {"signature": None}, {"signature": "0" * 32}):
        assert "My earlier reasoning came back changed." in returned(thinking.model_copy(update=change))


def test_reasoning_of_another_issuer_is_not_judged() -> None:
    assert "reasoning" not in returned(Reasoning(text="Hm", signature="x", issuer="anthropic"))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_each_token_of_text_has_its_log_probability() -> None:
    answer = candidate(ask(logprobs=True, top_logprobs=3))
    assert answer.logprobs is not None
    assert "".join(entry.token for entry in answer.logprobs) == text_of(answer)
    for entry in answer.logprobs:
        assert entry.logprob < 0
        assert bytes(entry.bytes or ()).decode() == entry.token
        assert len(entry.top_logprobs) == 3
        assert (entry.top_logprobs[0].token, entry.top_logprobs[0].logprob) == (entry.token, entry.logprob)
        assert [top.logprob for top in entry.top_logprobs] == sorted(
            (t.logprob for t in entry.top_logprobs), reverse=True
        )


def test_no_log_probabilities_unless_asked_for_and_of_text_only() -> None:
    assert candidate(ask()).logprobs is None
    assert candidate(ask(logprobs=True, tools=(TIME,))).logprobs is None


def test_a_token_is_about_four_characters() -> None:
    prose = "The status line is held until the first upstream event, so early failures keep their real status. " * 20
    assert 3.5 < len(prose) / respond(ask(prose)).usage.input_tokens < 4.5


def test_media_have_a_fixed_price() -> None:
    image = Image(source=Remote(url="https://example.com/a.png"))
    bare, rich = (
        respond(ask(user("Look", *parts))).usage for parts in ((), (image, image, Audio(data="", format="wav")))
    )
    assert rich.input_image_tokens == 2 * tokens.IMAGE_TOKENS
    assert rich.input_audio_tokens == tokens.AUDIO_TOKENS
    assert rich.input_tokens - bare.input_tokens == rich.input_image_tokens + rich.input_audio_tokens


def test_earlier_turns_are_read_from_the_cache() -> None:
    first = respond(ask("One", system="Count.")).usage
    second = respond(ask("One", assistant(Text(text="1")), "Two", system="Count.")).usage
    assert first.cached_read_tokens == 0
    assert second.cached_read_tokens == first.input_tokens
    assert second.input_tokens > second.cached_read_tokens


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "status", "raises"),
    [
        ("fail-400", 400, UpstreamRejected),
        ("fail-401", 401, UpstreamError),
        ("fail-429", 429, UpstreamRateLimited),
        ("fail-500", 500, UpstreamError),
        ("unheard-of", 404, ModelNotFound),
    ],
)
def test_a_failing_model_fails_at_once(name: str, status: int, raises: type[GatewayError], stream: bool) -> None:
    answer = local_answer(ask(stream=stream), name)
    assert answer.status == status
    error = adapter.error(status, answer.headers, sent_bytes([*answer.chunks]))
    assert type(error) is raises
    assert "sk-" not in error.message
    assert error.retry_after == (7 if status == 429 else None)


async def events_before_error(name: str) -> list[ChatEvent]:
    body = sent_bytes([*local_answer(ask("Tell me a story", stream=True), name).chunks])
    events: list[ChatEvent] = []

    async def read() -> None:
        async for event in adapter.chat_events(sse_frames(bytes_of(body, 7))):
            events.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises((UpstreamError, ValueError)):
        await read()
    return events


@pytest.mark.parametrize("name", ["fail-midstream", "fail-truncated"])
async def test_a_stream_that_breaks_has_begun_well(name: str) -> None:
    events = await events_before_error(name)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["You", " said:", ' "Tell', " me", " a"]


async def test_a_stream_without_every_finish_is_truncated() -> None:
    body = sent_bytes([*local_answer(ask(n=2, stream=True)).chunks])
    frames = body.split(b"\n\n")[:-1]
    for kept in range(len(frames)):
        with pytest.raises(UpstreamError, match="before it was complete"):
            await collect(adapter.chat_events(sse_frames(bytes_of(b"\n\n".join([*frames[:kept], b""]), 1 << 20))))


async def test_a_stream_of_garbage_has_no_events() -> None:
    assert await events_before_error("fail-garbage") == []


def test_what_breaks_streams_breaks_whole_answers_too() -> None:
    assert local_answer(ask(), "fail-midstream").status == 500
    for name in ("fail-truncated", "fail-garbage"):
        answer = local_answer(ask(), name)
        assert answer.status == 200
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads(sent_bytes([*answer.chunks]))


@pytest.mark.parametrize("stream", [False, True])
def test_a_time_out_is_one_long_pause(stream: bool) -> None:
    assert [*local_answer(ask(stream=stream), "fail-timeout").chunks] == [3600.0]


def test_what_is_no_chat_request_is_refused() -> None:
    assert adapter.answer("/chat", b"{}").status == 400
    assert adapter.answer("/paint", b"{}").status == 404
