"""What the sandbox says in a chat, beyond what OpenAI's SDK and the dialects' contracts show of it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import UpstreamRejected
from shared.providers.sandbox import tokens
from shared.schemas.chat import Candidate, ChatRequest, ChatResponse, JsonSchemaFormat, NamedTool, Tool, ToolChoice
from shared.schemas.content import Audio, File, Image, Inline, Message, Part, Reasoning, Refusal, Remote, Text, ToolCall
from shared.schemas.events import TextDelta, ToolCallDelta
from shared.schemas.usage import FinishReason
from tests.providers.canonical import assistant, result, user
from tests.providers.reading import collected
from tests.providers.sandbox_calls import body, events

WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {"location": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["location"],
    },
)
TIME = Tool(name="get_time")
CALL = ToolCall(id="call_1", name="get_time", arguments="{}")
NOON = result("call_1", "get_time", Text(text="noon"))


def ask(*messages: Message | str, **more: Any) -> ChatRequest:
    turns = tuple(user(message) if isinstance(message, str) else message for message in messages or ("Hello there",))
    return ChatRequest(model="sandbox/chat", messages=turns, **more)


def respond(request: ChatRequest, size: int = 1 << 20) -> ChatResponse:
    return collected(events("chat", request, "chat", size))


def candidate(request: ChatRequest) -> Candidate:
    return respond(request).candidates[0]


def text_of(answer: Candidate) -> str:
    return "".join(part.text for part in answer.parts if isinstance(part, Text))


def text(request: ChatRequest) -> str:
    return text_of(candidate(request))


def calls(request: ChatRequest) -> list[ToolCall]:
    return [part for part in candidate(request).parts if isinstance(part, ToolCall)]


# --- what it says -----------------------------------------------------------------------------------------------------


def test_the_answer_reflects_the_prompt() -> None:
    assert text(ask("Grüße, Welt 👋!")) == 'You said: "Grüße, Welt 👋!". How may I help you further?'
    assert f'"{"a" * 1000}…"' in text(ask("a" * 5000))


def test_the_answer_tells_of_all_media() -> None:
    media: list[Part] = [
        Image(source=Remote(url="https://example.com/secret?token=1")),
        Image(source=Inline(media_type="image/jpeg", data="/9j/4A==")),
        Audio(data="UklGRg==", format="wav"),
        File(source=Inline(media_type="application/pdf", data="JVBERi0="), name="a.pdf"),
    ]
    answer = text(ask(user(*media)))
    assert "I was shown one image, one image (image/jpeg), one audio, one file." in answer
    assert "secret" not in answer


def test_candidates_and_seeds_change_the_wording() -> None:
    answers = [text_of(answer) for answer in respond(ask(n=4)).candidates]
    assert len(set(answers)) == 4
    assert [text(ask(seed=seed)) for seed in range(4)] == answers


def test_more_candidates_than_it_gives_are_refused() -> None:
    with pytest.raises(UpstreamRejected, match="at most 16"):
        respond(ask(n=17))


def test_text_is_streamed_word_by_word() -> None:
    told = events("chat", ask("Hello there", stream=True), "chat")
    words = [event.text for event in told if isinstance(event, TextDelta)]
    assert words == ["You", " said:", ' "Hello', ' there".', " How", " may", " I", " help", " you", " further?"]


def test_candidates_are_streamed_by_turns() -> None:
    told = events("chat", ask(n=2, stream=True), "chat")
    assert [event.index for event in told if isinstance(event, TextDelta)][:4] == [0, 1, 0, 1]


# --- limits, and streams of everything --------------------------------------------------------------------------------

_REQUESTS = st.builds(
    ask,
    st.text(max_size=40) | st.sampled_from(["[sandbox:refuse]", "[sandbox:filter]", "In Rome and Oslo"]),
    n=st.integers(1, 3),
    seed=st.none() | st.integers(-5, 5),
    tools=st.sampled_from([(), (), (WEATHER, TIME)]),
    response_format=st.sampled_from([None, JsonSchemaFormat(name="w", json_schema=WEATHER.parameters or {})]),
    reasoning_effort=st.sampled_from([None, "none", "low", "max"]),
    logprobs=st.booleans(),
    top_logprobs=st.none() | st.integers(0, 3),
    max_tokens=st.none() | st.integers(1, 60),
)


def said(answer: Candidate) -> list[str]:
    """All that the candidate generated."""
    pieces: list[str] = []
    for part in answer.parts:
        if isinstance(part, ToolCall):
            pieces += [part.name, part.arguments]
        elif isinstance(part, Text | Refusal | Reasoning):
            pieces.append(part.text)
    return pieces


@settings(max_examples=60)
@given(_REQUESTS, st.sampled_from([1, 7, 1 << 20]))
def test_a_stream_folds_into_the_whole_answer(request: ChatRequest, size: int) -> None:
    assert respond(request.model_copy(update={"stream": True}), size) == respond(request)


@settings(max_examples=60)
@given(_REQUESTS)
def test_max_tokens_cut_an_answer_and_nothing_else(request: ChatRequest) -> None:
    cut, whole = respond(request), respond(request.model_copy(update={"max_tokens": None}))
    used = 0
    for part, full in zip(cut.candidates, whole.candidates, strict=True):
        spent = sum(map(tokens.count, said(part)))
        assert spent <= (request.max_tokens or 1 << 20)
        if part != full:
            assert part.finish_reason is FinishReason.LENGTH
            assert "".join(said(full)).startswith("".join(said(part)))
            assert not any(
                thought.signature and thought not in full.parts  # what is complete is signed
                for thought in part.parts[-1:]
                if isinstance(thought, Reasoning)
            )
        used += spent
    # A call that is cut within its name is left out, but what there was of the name has been used.
    assert used <= cut.usage.output_tokens <= used + 4 * request.n


@pytest.mark.parametrize(("stop", "left"), [(("absent", "o the"), 'You said: "Hell'), (("You",), ""), (("",), None)])
def test_a_stop_sequence_ends_a_text_before_it(stop: tuple[str, ...], left: str | None) -> None:
    answer = candidate(ask(stop=stop))
    assert text_of(answer) == (text(ask()) if left is None else left)
    assert answer.finish_reason is FinishReason.STOP


# --- tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "options", "names"),
    [
        ("What time is it?", {}, ["get_weather"]),  # the first
        ("Use get_time now", {}, ["get_time"]),
        ("Use get_time and get_weather", {}, ["get_weather", "get_time"]),
        ("Use get_time and get_weather", {"parallel_tool_calls": False}, ["get_weather"]),
        ("Hello", {"tool_choice": NamedTool(name="get_time")}, ["get_time"]),
        ("Use get_time", {"tool_choice": "none"}, []),
        ("Use get_time [sandbox:refuse]", {}, []),
    ],
)
def test_the_tools_that_are_forced_or_named_or_come_first_are_called(
    prompt: str, options: dict[str, Any], names: list[str]
) -> None:
    request = ask(prompt, tools=(WEATHER, TIME), **options)
    assert [call.name for call in calls(request)] == names
    assert (candidate(request).finish_reason is FinishReason.TOOL_CALLS) == bool(names)


def test_two_names_are_two_calls_of_one_tool_that_takes_names() -> None:
    made = calls(ask("Weather in Tokyo and Paris, in Fahrenheit?", tools=(WEATHER,)))
    assert [json.loads(call.arguments) for call in made] == [
        {"location": "Tokyo", "unit": "fahrenheit"},
        {"location": "Paris", "unit": "fahrenheit"},
    ]
    assert len(calls(ask("Weather in Tokyo and Paris?", tools=(WEATHER,), parallel_tool_calls=False))) == 1
    assert len(calls(ask("Time in Tokyo and Paris?", tools=(TIME,)))) == 1


def test_arguments_are_streamed_in_fragments_of_their_call() -> None:
    told = events("chat", ask("Tokyo and Paris?", tools=(WEATHER,), stream=True), "chat")
    fragments = [(event.position, event.arguments) for event in told if isinstance(event, ToolCallDelta)]
    assert fragments[:2] == [(0, '{"location":'), (0, ' "Tokyo",')]
    assert {position for position, _ in fragments} == {0, 1}


def test_call_ids_differ_between_calls_candidates_and_turns() -> None:
    first = respond(ask("get_time and get_weather", tools=(WEATHER, TIME), n=2))
    again = ask("get_time and get_weather", assistant(CALL), NOON, "get_time and get_weather", tools=(TIME,))
    made = [part for answer in first.candidates for part in answer.parts if isinstance(part, ToolCall)]
    ids = [call.id for call in [*made, *calls(again.model_copy(update={"tool_choice": "required"}))]]
    assert len(ids) == len(set(ids)) == 5


@pytest.mark.parametrize(
    ("choice", "names"),
    [(None, []), ("auto", []), ("required", ["get_weather"]), (NamedTool(name="get_time"), ["get_time"])],
)
def test_after_a_result_only_a_forced_tool_is_called(choice: ToolChoice | None, names: list[str]) -> None:
    request = ask("Time?", assistant(CALL), NOON, tools=(WEATHER, TIME), tool_choice=choice)
    assert [call.name for call in calls(request)] == names
    assert ('The tool get_time returned "noon".' in text(request)) == (not names)


# --- reasoning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", [None, "none", "minimal"])
def test_without_effort_there_is_no_reasoning(effort: Any) -> None:
    response = respond(ask(reasoning_effort=effort))
    assert [type(part) for part in response.candidates[0].parts] == [Text]
    assert response.usage.reasoning_tokens == 0


def test_more_effort_is_more_reasoning() -> None:
    efforts = ("low", "medium", "high", "xhigh", "max")
    spent = [respond(ask(reasoning_effort=effort)).usage.reasoning_tokens for effort in efforts]
    assert spent[0] > 0
    assert spent == sorted(set(spent))


def test_its_own_reasoning_is_checked_when_it_comes_back() -> None:
    def verdict(thinking: Reasoning) -> str:
        return text(ask("Time?", assistant(thinking, CALL), NOON, tools=(TIME,)))

    thinking = candidate(ask("Time?", tools=(TIME,), reasoning_effort="high")).parts[0]
    assert isinstance(thinking, Reasoning)
    assert "My earlier reasoning came back unchanged." in verdict(thinking)
    for change in ({"text": thinking.text + " "}, {"signature": None}, {"signature": "0" * 32}):
        assert "My earlier reasoning came back changed." in verdict(thinking.model_copy(update=change))
    assert "reasoning" not in verdict(Reasoning(text="Hm", signature="x", issuer="anthropic"))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_each_token_of_text_has_its_log_probability() -> None:
    answer = candidate(ask(logprobs=True, top_logprobs=3))
    assert answer.logprobs is not None
    assert "".join(entry.token for entry in answer.logprobs) == text_of(answer)
    for entry in answer.logprobs:
        likely, *others = entry.top_logprobs
        assert (likely.token, likely.logprob) == (entry.token, entry.logprob)
        assert 0 > likely.logprob > others[0].logprob > others[1].logprob
    assert candidate(ask()).logprobs is None


def test_a_token_is_about_four_characters() -> None:
    prose = "The status line is held until the first upstream event, so early failures keep their real status. " * 20
    assert 3.5 < len(prose) / respond(ask(prose)).usage.input_tokens < 4.5


def test_everything_in_a_request_costs_tokens() -> None:
    image = Image(source=Remote(url="https://example.com/a.png"))
    wav = Audio(data="", format="wav")
    bare = respond(ask("Look")).usage
    shown = respond(ask(user("Look", image, image, wav))).usage
    assert (shown.input_image_tokens, shown.input_audio_tokens) == (512, 128)
    assert shown.input_tokens - bare.input_tokens == 512 + 128
    for dearer in (ask("Look", system="Be brief."), ask("Look", tools=(TIME,)), ask("Hm", assistant("So?"), "Look")):
        assert respond(dearer).usage.input_tokens > bare.input_tokens


@pytest.mark.parametrize("more", [{}, {"tools": (WEATHER,)}, {"response_format": {"kind": "json_object"}}])
def test_a_long_prompt_has_no_long_answer(more: dict[str, Any]) -> None:
    request = ask("Tokyo and Paris, " * 180_000, n=16, **more)
    assert len(body("chat", request, "chat")) < 1 << 20
