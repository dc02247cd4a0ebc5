"""What goes over the wire of OpenAI's Responses API, which its reasoning models are called through.

The order of events follows https://developers.openai.com/api/reference/resources/responses/streaming-events.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from openai.types.responses import Response, ResponseInputItemParam, ResponseStreamEvent, ToolParam
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter

from shared.errors import (
    ContentFiltered,
    ContextTooLong,
    CredentialsRefused,
    InsufficientQuota,
    ModelNotFound,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
)
from shared.schemas.chat import (
    Candidate,
    ChatRequest,
    ChatResponse,
    Citation,
    CustomInput,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    TokenLogprob,
    Tool,
    TopLogprob,
    WebSearch,
)
from shared.schemas.content import (
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
from shared.schemas.usage import FinishReason, Usage
from tests.providers.canonical import assistant, result, user
from tests.providers.wire import Answer, ChatWire, Failure, Sent

MODEL = "gpt-6-sol"
ALWAYS_THINKING = "gpt-6.1-sol"
WITHOUT_REASONING = "gpt-4o-mini"  # unless asked for
KEY = "test-key"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
ENCRYPTED = "gAAAAABqX1a78BDqk_J4uGoxtDucvs8h"

# --- answers ---


def response(output: Iterable[Any], usage: Any = None, status: str = "completed", **more: Any) -> Any:
    """A Response object."""
    return {
        "id": "resp_0ed94fe7ec73cf560169afd97bba64",
        "object": "response",
        "created_at": 1795219200,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": 100,
        "metadata": {},
        "model": "gpt-6-sol-2026-09-22",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": "default" if status in ("completed", "incomplete") else "auto",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        **more,
    }


def counts(input_tokens: int, output_tokens: int, *, cached: int = 0, written: int = 0, reasoning: int = 0) -> Any:
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_tokens + output_tokens,
    }


def output_text(text: str, annotations: Iterable[Any] = (), logprobs: Iterable[Any] = ()) -> Any:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": list(logprobs)}


def message(*content: Any, item_id: str = "msg_1", phase: str = "final_answer", status: str = "completed") -> Any:
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "phase": phase,
        "content": list(content),
    }


def reasoning(*summary: str, item_id: str = "rs_1", encrypted: str | None = ENCRYPTED) -> Any:
    texts = [{"type": "summary_text", "text": text} for text in summary]
    return {"id": item_id, "type": "reasoning", "summary": texts, "encrypted_content": encrypted}


def function_call(call_id: str, name: str, arguments: str, item_id: str = "fc_1") -> Any:
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def custom_call(call_id: str, name: str, text: str, item_id: str = "ctc_1") -> Any:
    return {
        "id": item_id,
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "input": text,
    }


def pieces(text: str) -> list[str]:
    """A text in the fragments in which it is streamed."""
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def _numbered(events: Iterable[Any]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    )


def _opened(final: Any) -> Iterator[Any]:
    begun = {**final, "status": "in_progress", "output": [], "usage": None, "service_tier": "auto"}
    begun |= {"incomplete_details": None, "error": None, "tool_usage": None}
    del begun["tool_usage"]
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}


def stream(final: Any) -> bytes:
    """The stream of events that ends in this response."""
    kind = {"completed": "response.completed", "incomplete": "response.incomplete"}[final["status"]]
    items = [event for index, item in enumerate(final["output"]) for event in item_events(index, item)]
    return _numbered([*_opened(final), *items, {"type": kind, "response": final}])


def broken(*items: Any, last: Any) -> bytes:
    """A stream of these items that ends with `last`."""
    events = [event for index, item in enumerate(items) for event in item_events(index, item)]
    return _numbered([*_opened(response([])), *events, last])


def item_events(index: int, item: Any) -> Iterator[Any]:
    where = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "message":
            yield _added(index, {**item, "content": [], "status": "in_progress"})
            for at, part in enumerate(item["content"]):
                yield from _part_events({**where, "content_index": at}, part)
        case "reasoning":
            yield _added(index, {**item, "summary": [], "encrypted_content": item["encrypted_content"] and "gAA"})
            for at, part in enumerate(item["summary"]):
                yield from _summary_events({**where, "summary_index": at}, part)
        case "function_call":
            yield _added(index, {**item, "arguments": "", "status": "in_progress"})
            for piece in pieces(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", **where, "delta": piece, "obfuscation": "x7"}
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **where, **done}
        case "custom_tool_call":
            yield _added(index, {**item, "input": "", "status": "in_progress"})
            for piece in pieces(item["input"]):
                yield {"type": "response.custom_tool_call_input.delta", **where, "delta": piece}
            yield {"type": "response.custom_tool_call_input.done", **where, "input": item["input"]}
        case "web_search_call":
            yield _added(index, {**item, "status": "in_progress"})
            yield {"type": "response.web_search_call.in_progress", **where}
            yield {"type": "response.web_search_call.searching", **where}
            yield {"type": "response.web_search_call.completed", **where}
        case "image_generation_call":
            yield _added(index, {**item, "status": "in_progress", "result": None})
            yield {
                "type": "response.image_generation_call.partial_image",
                **where,
                "partial_image_index": 0,
                "partial_image_b64": "AAAA",
            }
            yield {"type": "response.image_generation_call.completed", **where}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _added(index: int, item: Any) -> Any:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _part_events(where: Any, part: Any) -> Iterator[Any]:
    if part["type"] == "refusal":
        yield {"type": "response.content_part.added", **where, "part": {"type": "refusal", "refusal": ""}}
        for piece in pieces(part["refusal"]):
            yield {"type": "response.refusal.delta", **where, "delta": piece}
        yield {"type": "response.refusal.done", **where, "refusal": part["refusal"]}
    else:
        yield {"type": "response.content_part.added", **where, "part": output_text("")}
        tokens = [(token["token"], [token]) for token in part["logprobs"]]
        for piece, logprobs in tokens or [(piece, []) for piece in pieces(part["text"])]:
            yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": logprobs}
        for number, annotation in enumerate(part["annotations"]):
            yield {
                "type": "response.output_text.annotation.added",
                **where,
                "annotation_index": number,
                "annotation": annotation,
            }
        yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": part["logprobs"]}
    yield {"type": "response.content_part.done", **where, "part": part}


def _summary_events(where: Any, part: Any) -> Iterator[Any]:
    yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}


def signed(item_id: str = "rs_1", encrypted: str = ENCRYPTED) -> str:
    """The signature of the part that a reasoning item becomes."""
    return f'{{"type":"reasoning","id":"{item_id}","encrypted_content":"{encrypted}"}}'


def thought(text: str = "", **item: Any) -> Reasoning:
    return Reasoning(text=text, signature=signed(**item), redacted=not text, issuer="openai")


def _answer(final: Any, parts: Iterable[Part], reason: FinishReason, usage: Usage, **candidate: Any) -> Answer:
    found = Candidate(parts=tuple(parts), finish_reason=reason, **candidate)
    means = ChatResponse(candidates=(found,), usage=usage, service_tier="default")
    return Answer(body=json.dumps(final, indent=2).encode(), stream=stream(final), means=means)


def _stopped(text: str, reason: str, means: FinishReason) -> Answer:
    """An answer that is incomplete for `reason`."""
    said = [message(output_text(text), status="incomplete")] if text else []
    final = response(said, counts(13, 9), "incomplete", incomplete_details={"reason": reason})
    return _answer(final, [Text(text=text)] if text else [], means, Usage(input_tokens=13, output_tokens=9))


def _reasoning_answer() -> Answer:
    items = [
        reasoning("**Weather**\n\nOslo first.", "Then Zürich."),
        message(output_text("Let me look."), phase="commentary"),
        reasoning(item_id="rs_2", encrypted="gAAAAABrest"),
        function_call("call_1", "get_weather", '{"city":"Oslo"}'),
    ]
    return _answer(
        response(items, counts(290, 81, cached=256, reasoning=30)),
        [
            thought("**Weather**\n\nOslo first.\n\nThen Zürich."),
            Text(text="Let me look."),
            thought(item_id="rs_2", encrypted="gAAAAABrest"),
            ToolCall(id="call_1", name="get_weather", arguments='{"city":"Oslo"}'),
        ],
        FinishReason.TOOL_CALLS,
        Usage(input_tokens=290, output_tokens=81, cached_read_tokens=256, reasoning_tokens=30),
    )


def _tools_answer() -> Answer:
    calls = [
        ("call_Hn2oXsGvJz8LqYk1TtRw5Pda", '{"city":"Zürich","unit":"celsius"}'),
        ("call_b7QeUy4MnK0cWx9ZrVf3Lohs", '{"city":"Oslo"}'),
    ]
    items = [function_call(*call, item_id=f"fc_{at}") for at, call in enumerate(_named(calls))]
    parts = [ToolCall(id=call_id, name="get_weather", arguments=text) for call_id, text in calls]
    usage = Usage(input_tokens=91, output_tokens=52)
    return _answer(response(items, counts(91, 52)), parts, FinishReason.TOOL_CALLS, usage)


def _named(calls: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    return [(call_id, "get_weather", arguments) for call_id, arguments in calls]


def _custom_answer() -> Answer:
    patch = "*** Begin Patch\n*** Add File: ä.txt\n+1\n*** End Patch"
    return _answer(
        response([reasoning(), custom_call("call_1", "apply_patch", patch)], counts(50, 40, reasoning=10)),
        [thought(), ToolCall(id="call_1", name="apply_patch", arguments=patch, custom=True)],
        FinishReason.TOOL_CALLS,
        Usage(input_tokens=50, output_tokens=40, reasoning_tokens=10),
    )


def _logprobs_answer() -> Answer:
    def token(text: str, logprob: float) -> Any:
        alternative = {"token": text.upper(), "logprob": -4.25, "bytes": list(text.upper().encode())}
        best = {"token": text, "logprob": logprob, "bytes": list(text.encode())}
        return {**best, "top_logprobs": [best, alternative]}

    def means(text: str, logprob: float) -> TokenLogprob:
        best = TopLogprob(token=text, logprob=logprob, bytes=tuple(text.encode()))
        other = TopLogprob(token=text.upper(), logprob=-4.25, bytes=tuple(text.upper().encode()))
        return TokenLogprob(**best.model_dump(), top_logprobs=(best, other))

    tokens = [("ja", -0.01), ("wohl", -0.5)]
    said = message(output_text("jawohl", logprobs=[token(*pair) for pair in tokens]))
    return _answer(
        response([said], counts(9, 2)),
        [Text(text="jawohl")],
        FinishReason.STOP,
        Usage(input_tokens=9, output_tokens=2),
        logprobs=tuple(means(*pair) for pair in tokens),
    )


def _search_answer() -> Answer:
    """Two messages, of which the second cites what was found between them."""
    search = {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "sunny place"},
    }
    cited = {
        "type": "url_citation",
        "url": "https://example.com/sun",
        "title": "Sun",
        "start_index": 0,
        "end_index": 4,
    }
    filed = {"type": "file_path", "file_id": "file-1", "index": 0}
    items = [
        message(output_text("Searching."), phase="commentary"),
        search,
        {**search, "id": "ws_2", "action": {"type": "open_page", "url": "https://example.com/sun"}},
        message(output_text("Oslo is sunny.", [cited, filed]), item_id="msg_2"),
    ]
    images = {"input_tokens": 0, "input_tokens_details": {"image_tokens": 0, "text_tokens": 0}}
    images |= {"output_tokens": 0, "total_tokens": 0}
    return _answer(
        response(items, counts(900, 30), tool_usage={"image_gen": images, "web_search": {"num_requests": 1}}),
        [Text(text="Searching.\n\nOslo is sunny.")],
        FinishReason.STOP,
        Usage(input_tokens=900, output_tokens=30, searches=1),
        citations=(Citation(url="https://example.com/sun", title="Sun", start=12, end=16),),
    )


ANSWERS = {
    "text": _answer(
        response([message(output_text("Hello, Zoë! 👋"))], counts(13, 9)),
        [Text(text="Hello, Zoë! 👋")],
        FinishReason.STOP,
        Usage(input_tokens=13, output_tokens=9),
    ),
    "tools": _tools_answer(),
    "length": _stopped("Once upon a", "max_output_tokens", FinishReason.LENGTH),
    "content_filter": _stopped("", "content_filter", FinishReason.CONTENT_FILTER),
    "usage": _answer(
        response([message(output_text("42"))], counts(2006, 300, cached=1920, written=64, reasoning=192)),
        [Text(text="42")],
        FinishReason.STOP,
        Usage(
            input_tokens=2006, output_tokens=300, cached_read_tokens=1920, cache_write_tokens=64, reasoning_tokens=192
        ),
    ),
    "reasoning": _reasoning_answer(),
    "refusal": _answer(
        response([message({"type": "refusal", "refusal": "I can't help with that."})], counts(80, 11)),
        [Refusal(text="I can't help with that.")],
        FinishReason.STOP,
        Usage(input_tokens=80, output_tokens=11),
    ),
    "logprobs": _logprobs_answer(),
    "custom_tool": _custom_answer(),
    "web_search": _search_answer(),
}


# --- requests ---

HELLO = user("Hello")
HELLO_JSON = {"role": "user", "content": "Hello"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="The weather in a city.", parameters=PARAMETERS)
WEATHER_JSON = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": PARAMETERS,
    "strict": False,
}
PATCH = Tool(name="apply_patch", description="Edits files.", custom=CustomInput(syntax="lark", definition="start: x"))
PATCH_JSON = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
}


def ask(*messages: Message, model: str = MODEL, **fields: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=messages or (HELLO,), **fields)


def sent(**expected: Any) -> Any:
    """The body that the vendor gets for `ask()`, and what differs from it."""
    return {
        "model": MODEL,
        "input": [HELLO_JSON],
        "include": ["reasoning.encrypted_content"],
        "store": False,
        **expected,
    }


def _tool_choice(choice: Any, expected: Any) -> Sent:
    tools = (WEATHER, PATCH)
    return Sent(ask(tools=tools, tool_choice=choice), sent(tools=[WEATHER_JSON, PATCH_JSON], tool_choice=expected))


def _sent_content(*content: Any, parts: Iterable[Part]) -> Sent:
    return Sent(ask(user(*parts)), sent(input=[{"role": "user", "content": list(content)}]))


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
PIXEL = Image(source=Inline(media_type="image/png", data=PNG))
PIXEL_JSON = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
DOCUMENT = File(source=Inline(media_type="application/pdf", data=PDF), name="a.pdf")
DOCUMENT_JSON = {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}

SENT = {
    "minimal": Sent(ask(), sent()),
    "streamed": Sent(ask(stream=True), sent(stream=True)),
    # Seed, penalties, logit_bias and stop do not exist there, metadata is for responses that are stored.
    "everything": Sent(
        ask(
            max_tokens=64,
            thinking_tokens=100,
            temperature=0.5,
            top_p=0.9,
            n=2,
            stop=("END", "\n\n"),
            seed=7,
            presence_penalty=0.25,
            frequency_penalty=-0.5,
            logit_bias={"50256": -100.0},
            logprobs=True,
            top_logprobs=3,
            verbosity="low",
            reasoning_effort="none",
            reasoning_summary="auto",
            service_tier="flex",
            cache_key="app-1",
            explicit_cache=True,
            user="user-1",
            metadata={"team": "blue"},
            stream=True,
        ),
        sent(
            max_output_tokens=64,
            temperature=0.5,
            top_p=0.9,
            top_logprobs=3,
            include=["reasoning.encrypted_content", "message.output_text.logprobs"],
            text={"verbosity": "low"},
            reasoning={"effort": "none", "summary": "auto"},
            service_tier="flex",
            prompt_cache_key="app-1",
            prompt_cache_options={"mode": "explicit"},
            user="user-1",
            stream=True,
        ),
    ),
    "sampling_while_it_reasons": Sent(
        ask(temperature=0.5, top_p=0.9, reasoning_effort="max"), sent(reasoning={"effort": "max"})
    ),
    "room_for_thinking": Sent(ask(max_tokens=64, thinking_tokens=100), sent(max_output_tokens=164)),
    "an_effort_that_does_not_exist": Sent(ask(reasoning_effort="minimal"), sent(reasoning={"effort": "low"})),
    "always_thinking": Sent(
        ask(model=ALWAYS_THINKING, reasoning_effort="none", tools=(WEATHER,)),
        sent(model="gpt-6.1-sol", reasoning={"effort": "low"}, tools=[WEATHER_JSON]),
    ),
    "without_reasoning": Sent(
        ask(model=WITHOUT_REASONING, temperature=0.0, tools=(WEATHER,)),
        sent(model="gpt-6-luna", reasoning={"effort": "none"}, temperature=0.0, tools=[WEATHER_JSON]),
    ),
    "multi_turn": Sent(
        ask(
            Message(role="user", parts=(Text(text="Hello"),), name="ada"),
            assistant("Hi", "!"),
            Message(role="system", parts=(Text(text="Now rhyme."),)),
            user("Go", "on"),
            assistant(Refusal(text="No.")),
            user("Please"),
            system="Be brief.",
        ),
        sent(
            instructions="Be brief.",
            input=[
                HELLO_JSON,
                {"role": "assistant", "content": "Hi!", "phase": "final_answer"},
                {"role": "developer", "content": "Now rhyme."},
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Go"}, {"type": "input_text", "text": "on"}],
                },
                {
                    "type": "message",
                    "id": "msg_38178a20b470cfd18299fb1593dd4ba706f1a83321dac051",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "refusal", "refusal": "No."}],
                },
                {"role": "user", "content": "Please"},
            ],
        ),
    ),
    "tools": Sent(
        ask(tools=(WEATHER, Tool(name="now", strict=True), PATCH), parallel_tool_calls=False),
        sent(
            tools=[
                WEATHER_JSON,
                {
                    "type": "function",
                    "name": "now",
                    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
                    "strict": True,
                },
                PATCH_JSON,
            ],
            parallel_tool_calls=False,
        ),
    ),
    "tools_with_reasoning": Sent(
        ask(tools=(WEATHER,), reasoning_effort="high"),
        sent(tools=[WEATHER_JSON], reasoning={"effort": "high"}),
    ),
    "tool_choice_auto": _tool_choice("auto", "auto"),
    "tool_choice_none": _tool_choice("none", "none"),
    "tool_choice_required": _tool_choice("required", "required"),
    "tool_choice_named": _tool_choice(NamedTool(name="get_weather"), {"type": "function", "name": "get_weather"}),
    "tool_choice_custom": _tool_choice(NamedTool(name="apply_patch"), {"type": "custom", "name": "apply_patch"}),
    "tool_results": Sent(
        ask(
            user("Oslo and Zürich?"),
            assistant(
                Reasoning(text="Two calls.", signature="opaque", issuer="anthropic"),
                Text(text="Looking."),
                ToolCall(id="call_1", name="get_weather", arguments='{"city":"Oslo"}', signature="s", issuer="gemini"),
                ToolCall(id="call_2", name="get_weather", arguments=""),
                ToolCall(id="call_3", name="apply_patch", arguments="*** x", custom=True),
            ),
            result("call_1", "get_weather", Text(text="4 °C"), Text(text="windy")),
            Message(
                role="tool",
                parts=(
                    ToolResult(call_id="call_2", name="get_weather", content=(Text(text="Map:"), PIXEL, DOCUMENT)),
                    ToolResult(call_id="call_3", name="apply_patch", content=(Text(text="done"),)),
                ),
            ),
            tools=(WEATHER, PATCH),
        ),
        sent(
            input=[
                {"role": "user", "content": "Oslo and Zürich?"},
                {"role": "assistant", "content": "Looking.", "phase": "commentary"},
                {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
                {"type": "function_call", "call_id": "call_2", "name": "get_weather", "arguments": "{}"},
                {"type": "custom_tool_call", "call_id": "call_3", "name": "apply_patch", "input": "*** x"},
                {"type": "function_call_output", "call_id": "call_1", "output": "4 °C\nwindy"},
                {
                    "type": "function_call_output",
                    "call_id": "call_2",
                    "output": [{"type": "input_text", "text": "Map:"}, PIXEL_JSON, DOCUMENT_JSON],
                },
                {"type": "custom_tool_call_output", "call_id": "call_3", "output": "done"},
            ],
            tools=[WEATHER_JSON, PATCH_JSON],
        ),
    ),
    "image_inline": _sent_content(
        {"type": "input_text", "text": "What is this?"},
        {**PIXEL_JSON, "detail": "low"},
        parts=(Text(text="What is this?"), PIXEL.model_copy(update={"detail": "low"})),
    ),
    "image_remote": _sent_content(
        {"type": "input_image", "image_url": "https://images.test/cat.jpg", "detail": "auto"},
        parts=(Image(source=Remote(url="https://images.test/cat.jpg")),),
    ),
    "image_of_the_assistant": Sent(
        ask(user("Draw"), assistant("Here.", PIXEL), user("Again")),
        sent(
            input=[
                {"role": "user", "content": "Draw"},
                {"role": "assistant", "content": "Here.", "phase": "final_answer"},
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "From the assistant's message:"}, PIXEL_JSON],
                },
                {"role": "user", "content": "Again"},
            ]
        ),
    ),
    "file": _sent_content(
        DOCUMENT_JSON,
        {**DOCUMENT_JSON, "filename": "document.pdf"},
        {"type": "input_file", "file_url": "https://files.test/a.pdf"},
        parts=(
            DOCUMENT,
            DOCUMENT.model_copy(update={"name": None}),
            File(source=Remote(url="https://files.test/a.pdf")),
        ),
    ),
    "json_object": Sent(
        ask(response_format=JsonObjectFormat(), verbosity="high"),
        sent(text={"format": {"type": "json_object"}, "verbosity": "high"}),
    ),
    "json_schema": Sent(
        ask(
            response_format=JsonSchemaFormat(name="person", json_schema=PERSON, description="Somebody.", strict=True),
        ),
        sent(
            text={
                "format": {
                    "type": "json_schema",
                    "name": "person",
                    "schema": PERSON,
                    "description": "Somebody.",
                    "strict": True,
                }
            }
        ),
    ),
    "web_search": Sent(
        ask(web_search=WebSearch(context_size="low", city="Oslo", country="NO"), reasoning_effort="low"),
        sent(
            tools=[
                {
                    "type": "web_search",
                    "search_context_size": "low",
                    "user_location": {"type": "approximate", "city": "Oslo", "country": "NO"},
                }
            ],
            reasoning={"effort": "low"},
        ),
    ),
    "reasoning_round_trip": Sent(
        ask(
            user("Oslo?"),
            assistant(
                *_reasoning_answer().means.candidates[0].parts,
                Reasoning(signature=signed("rs_9"), redacted=True, issuer="openai"),  # led to nothing
            ),
            result("call_1", "get_weather", Text(text="4 °C")),
            tools=(WEATHER,),
        ),
        sent(
            input=[
                {"role": "user", "content": "Oslo?"},
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "encrypted_content": ENCRYPTED,
                    "summary": [{"type": "summary_text", "text": "**Weather**\n\nOslo first.\n\nThen Zürich."}],
                },
                {"role": "assistant", "content": "Let me look.", "phase": "commentary"},
                {"type": "reasoning", "id": "rs_2", "encrypted_content": "gAAAAABrest", "summary": []},
                {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
                {"type": "function_call_output", "call_id": "call_1", "output": "4 °C"},
            ],
            tools=[WEATHER_JSON],
        ),
    ),
    "altered_reasoning": Sent(
        ask(
            user("Hello"),
            assistant(
                *(
                    Reasoning(signature=text, redacted=True, issuer="openai")
                    for text in ("x", "[]", '{"type":"reasoning","id":1,"encrypted_content":"g"}', "[" * 100_000)
                ),
                Reasoning(text="Hm.", issuer="openai"),
                Reasoning(signature='{"type":"reasoning.encrypted","data":"from OpenRouter"}', issuer="openai"),
                Text(text="Hi"),
            ),
            user("Hello"),
        ),
        sent(input=[HELLO_JSON, {"role": "assistant", "content": "Hi", "phase": "final_answer"}, HELLO_JSON]),
    ),
}


# --- errors ---


def _error(message: str, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}, indent=2).encode()


FAILURES = {
    "bad_request": Failure(
        400,
        _error("Unsupported parameter: 'temperature'.", "invalid_request_error", "temperature"),
        UpstreamRejected,
        message="'temperature'",
    ),
    "context_length": Failure(
        400,
        _error("Your input exceeds the context window.", "invalid_request_error", "input", "context_length_exceeded"),
        ContextTooLong,
        message="context window",
    ),
    "bad_key": Failure(
        401,
        _error("Incorrect API key provided: test-key.", "invalid_request_error", code="invalid_api_key"),
        CredentialsRefused,
        secret="test-key",
    ),
    "rate_limited": Failure(
        429,
        _error("Rate limit reached for gpt-6-sol.", "tokens", code="rate_limit_exceeded"),
        UpstreamRateLimited,
        headers={"retry-after-ms": "1820", "retry-after": "2"},
        retry_after=2,
    ),
    "no_quota": Failure(
        429,
        _error("You exceeded your current quota.", "insufficient_quota", code="credit_balance_exhausted"),
        InsufficientQuota,
        secret="exceeded",
    ),
    "unknown_model": Failure(
        404,
        _error("The model `gpt-9` does not exist.", "invalid_request_error", code="model_not_found"),
        ModelNotFound,
    ),
    "content_filter": Failure(
        400,
        _error("Invalid prompt: it was flagged.", "invalid_request_error", code="invalid_prompt"),
        ContentFiltered,
        message="flagged",
    ),
    "server_error": Failure(
        500, _error("The server had an error at 10.0.0.7.", "server_error"), UpstreamError, secret="10.0.0.7"
    ),
    "overloaded": Failure(
        503,
        _error("Our servers are currently overloaded.", "service_unavailable", code="server_is_overloaded"),
        UpstreamOverloaded,
        headers={"retry-after": "4"},
        retry_after=4,
    ),
    "html": Failure(502, b"<html><body>cloudflare</body></html>", UpstreamError, secret="cloudflare"),
}


# --- what the SDK says ---

_NON_STREAMING = TypeAdapter[Any](ResponseCreateParamsNonStreaming)
_STREAMING = TypeAdapter[Any](ResponseCreateParamsStreaming)
_ITEM = TypeAdapter[Any](ResponseInputItemParam)
_TOOL = TypeAdapter[Any](ToolParam)
_EVENT = TypeAdapter[Any](ResponseStreamEvent)


def _exhaust(value: Any) -> Any:
    """Pydantic checks an Iterable's items only as they are taken out."""
    if isinstance(value, dict):
        return {key: _exhaust(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_exhaust(item) for item in value]
    return value


def validate_request(body: Any) -> Any:
    """Raises what the SDK's types say against a request."""
    params = ResponseCreateParamsStreaming if body.get("stream") else ResponseCreateParamsNonStreaming
    unknown = set(body) - set(params.__annotations__)
    assert not unknown, f"the SDK has no {unknown}"
    for item in body["input"]:
        _exhaust(_ITEM.validate_python(item))
    for tool in body.get("tools", ()):
        _exhaust(_TOOL.validate_python(tool))
    return (_STREAMING if body.get("stream") else _NON_STREAMING).validate_python(body)


wire = ChatWire(
    adapter="openai",
    model=MODEL,
    env={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://vendor.test/v1"},
    path="/v1/responses",
    stream_path="/v1/responses",
    auth=("authorization", f"Bearer {KEY}"),
    answers=ANSWERS,
    sent=SENT,
    failures=FAILURES,
    midstream_error=broken(
        message(output_text("Once")),
        last={"type": "error", "code": "server_error", "message": "The server had an error.", "param": None},
    ),
    midstream_raises=UpstreamError,
    validate_request=validate_request,
    validate_answer=Response.model_validate,
    validate_chunk=_EVENT.validate_python,
)
