"""What goes over the sandbox's wire for chat: the canonical request as JSON, and canonical events.

There is no vendor whose types could judge it: the canonical ones do. The format is told in
`shared/providers/sandbox/wire.py`; what its models answer is in `test_sandbox_chat.py`.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from shared.errors import CredentialsRefused, UpstreamError, UpstreamOverloaded, UpstreamRateLimited, UpstreamRejected
from shared.schemas import events
from shared.schemas.chat import (
    Candidate,
    ChatRequest,
    ChatResponse,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    TokenLogprob,
    Tool,
    TopLogprob,
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
)
from shared.schemas.usage import FinishReason, Usage
from tests.providers.canonical import assistant, result, user
from tests.providers.wire import Answer, ChatWire, Failure, Sent

MODEL = "sandbox/chat"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
WAV = "UklGRiQAAABXQVZFZm10IA=="
SIGNATURE = "c2c60e0a2fd3bc2b"


# --- answers ----------------------------------------------------------------------------------------------------------


def sse(*objects: str) -> bytes:
    return b"".join(b"data: %b\n\n" % fields.encode() for fields in objects)


def answer(means: ChatResponse, *objects: str) -> Answer:
    """The same objects in a stream and in an array."""
    told = ('{"type":"Started","usage":{}}', *objects, '{"type":"done"}')
    return Answer(body=f"[{','.join(told)}]".encode(), stream=sse(*told), means=means)


def finished(reason: str, usage: str, index: int = 0) -> str:
    return f'{{"type":"Finished","reason":"{reason}","usage":{usage},"index":{index}}}'


FEW = '{"input_tokens":5,"output_tokens":6}'
FEW_USED = Usage(input_tokens=5, output_tokens=6)


def meaning(*parts: Part, reason: FinishReason = FinishReason.STOP, usage: Usage = FEW_USED) -> ChatResponse:
    return ChatResponse(candidates=(Candidate(parts=parts, finish_reason=reason),), usage=usage)


TEXT = answer(
    meaning(Text(text="Grüße, Welt 👋!")),
    '{"type":"TextDelta","text":"Grüße,","index":0}',
    '{"type":"TextDelta","text":" Welt","index":0}',
    '{"type":"TextDelta","text":" 👋!","index":0}',
    finished("stop", FEW),
)

TOOLS = answer(
    meaning(
        ToolCall(id="call_1", name="get_weather", arguments='{"location": "Paris"}'),
        ToolCall(id="call_2", name="get_time", arguments="{}"),
        reason=FinishReason.TOOL_CALLS,
    ),
    '{"type":"ToolCallStarted","position":0,"id":"call_1","name":"get_weather","index":0}',
    '{"type":"ToolCallDelta","position":0,"arguments":"{\\"location\\":","index":0}',
    '{"type":"ToolCallDelta","position":0,"arguments":" \\"Paris\\"}","index":0}',
    '{"type":"ToolCallStarted","position":1,"id":"call_2","name":"get_time","index":0}',
    '{"type":"ToolCallDelta","position":1,"arguments":"{}","index":0}',
    finished("tool_calls", FEW),
)

LENGTH = answer(
    meaning(Text(text="You sa"), reason=FinishReason.LENGTH),
    '{"type":"TextDelta","text":"You sa","index":0}',
    finished("length", FEW),
)

CONTENT_FILTER = answer(
    meaning(Text(text="You said:"), reason=FinishReason.CONTENT_FILTER),
    '{"type":"TextDelta","text":"You said:","index":0}',
    finished("content_filter", FEW),
)

REFUSAL = answer(
    meaning(Refusal(text="I cannot.")),
    '{"type":"RefusalDelta","text":"I","index":0}',
    '{"type":"RefusalDelta","text":" cannot.","index":0}',
    finished("stop", FEW),
)

USAGE = answer(
    meaning(
        Text(text="42"),
        usage=Usage(
            input_tokens=700,
            output_tokens=40,
            cached_read_tokens=300,
            reasoning_tokens=30,
            input_image_tokens=256,
            input_audio_tokens=128,
        ),
    ),
    '{"type":"TextDelta","text":"42","index":0}',
    finished(
        "stop",
        '{"input_tokens":700,"output_tokens":40,"cached_read_tokens":300,"reasoning_tokens":30,'
        '"input_image_tokens":256,"input_audio_tokens":128}',
    ),
)

REASONING = answer(
    meaning(
        Reasoning(text="Paris first.", signature=SIGNATURE, issuer="sandbox"),
        ToolCall(id="call_1", name="get_time", arguments="{}"),
        reason=FinishReason.TOOL_CALLS,
    ),
    '{"type":"ReasoningDelta","text":"Paris","issuer":"sandbox","index":0}',
    '{"type":"ReasoningDelta","text":" first.","issuer":"sandbox","index":0}',
    '{"type":"ReasoningDelta","text":"","signature":"c2c60e0a2fd3bc2b","issuer":"sandbox","index":0}',
    '{"type":"ToolCallStarted","position":0,"id":"call_1","name":"get_time","signature":null,"index":0}',
    '{"type":"ToolCallDelta","position":0,"arguments":"{}","index":0}',
    finished("tool_calls", FEW),
)

CANDIDATES = answer(
    ChatResponse(
        candidates=(
            Candidate(index=0, parts=(Text(text="You said"),), finish_reason=FinishReason.STOP),
            Candidate(index=1, parts=(Text(text="You wrote"),), finish_reason=FinishReason.LENGTH),
        ),
        usage=FEW_USED,
    ),
    '{"type":"TextDelta","text":"You","index":0}',
    '{"type":"TextDelta","text":"You wrote","index":1}',
    '{"type":"TextDelta","text":" said","index":0}',
    finished("stop", FEW),
    finished("length", "{}", 1),
)

_TOP = TopLogprob(token="You", logprob=-0.591, bytes=(89, 111, 117))

LOGPROBS = answer(
    ChatResponse(
        candidates=(
            Candidate(
                parts=(Text(text="You"),),
                finish_reason=FinishReason.STOP,
                logprobs=(TokenLogprob(token="You", logprob=-0.591, bytes=(89, 111, 117), top_logprobs=(_TOP,)),),
            ),
        ),
        usage=FEW_USED,
    ),
    '{"type":"TextDelta","text":"You","index":0}',
    '{"type":"LogprobsDelta","tokens":[{"token":"You","logprob":-0.591,"bytes":[89,111,117],'
    '"top_logprobs":[{"token":"You","logprob":-0.591,"bytes":[89,111,117]}]}],"index":0}',
    finished("stop", FEW),
)


# --- requests ---------------------------------------------------------------------------------------------------------


def sent(*messages: Message, **more: Any) -> Sent:
    """The request as its canonical type writes it, with the name of the upstream model."""
    request = ChatRequest(model=MODEL, messages=messages or (user("Hello"),), **more)
    return Sent(request, {**json.loads(request.model_dump_json(exclude={"original"})), "model": "chat"})


_WEATHER = Tool(name="get_weather", parameters={"type": "object", "properties": {"place": {"default": None}}})
_CALLS = (
    ToolCall(id="call_1", name="get_weather", arguments='{"place": "Paris"}'),
    ToolCall(id="call_2", name="get_time", arguments="{}"),
)
_IMAGE = Image(source=Inline(media_type="image/png", data=PNG), detail="low")
_MEDIA = (Audio(data=WAV, format="wav"), File(source=Inline(media_type="application/pdf", data=PDF), name="a.pdf"))

SENT = {
    "minimal": sent(),
    "everything": sent(
        system="Be brief.",
        max_tokens=500,
        temperature=0.0,
        top_p=0.95,
        n=2,
        stop=("END", "\n"),
        seed=7,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=2,
        verbosity="low",
        user="ada@example.com",
        metadata={"order": "1"},
        reasoning_effort="none",
    ),
    "streamed": sent(stream=True),
    "multi_turn": sent(
        user("One"), assistant("1"), Message(role="system", parts=(Text(text="In French."),)), user("Two")
    ),
    "tools": sent(tools=(_WEATHER, Tool(name="get_time")), parallel_tool_calls=False),
    "tool_choice_required": sent(tools=(_WEATHER,), tool_choice="required"),
    "tool_choice_named": sent(tools=(_WEATHER,), tool_choice=NamedTool(name="get_weather")),
    "tool_results": sent(
        user("Weather and time?"),
        assistant(*_CALLS),
        result("call_1", "get_weather", Text(text="15 °C")),
        result("call_2", "get_time", Text(text="noon"), _IMAGE),
    ),
    "image_inline": sent(user("Look", _IMAGE)),
    "image_remote": sent(user(Image(source=Remote(url="https://example.com/a.png")))),
    "audio_and_file": sent(user(*_MEDIA)),
    "json_object": sent(response_format=JsonObjectFormat()),
    "json_schema": sent(response_format=JsonSchemaFormat(name="place", json_schema={"type": "object"}, strict=True)),
    "reasoning_round_trip": sent(
        user("Time?"),
        assistant(Reasoning(text="Paris first.", signature=SIGNATURE, issuer="sandbox"), _CALLS[1]),
        result("call_2", "get_time", Text(text="noon")),
        reasoning_effort="high",
    ),
}


# --- failures ---------------------------------------------------------------------------------------------------------


def error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


FAILURES = {
    "bad_request": Failure(400, error("The JSON schema is wrong."), UpstreamRejected, message="schema is wrong"),
    "bad_key": Failure(
        401, error("Incorrect API key provided: sk-sandbox-0000."), CredentialsRefused, secret="sk-sandbox-0000"
    ),
    "rate_limited": Failure(429, error("Busy."), UpstreamRateLimited, headers={"retry-after": "7"}, retry_after=7),
    "server_error": Failure(500, error("Failed at 10.1.2.3."), UpstreamError, secret="10.1.2.3"),
    "overloaded": Failure(503, error("Overloaded."), UpstreamOverloaded, retry_after=5),
    "html": Failure(502, b"<html><body>Bad gateway</body></html>", UpstreamError, secret="html"),
    "wrong_json": Failure(400, b'{"error":{"not":"a text"}}', UpstreamRejected),
}


# --- the judges -------------------------------------------------------------------------------------------------------


def validate_object(fields: Mapping[str, Any]) -> None:
    """That an object is an event, with no other fields than the event has."""
    given = dict(fields)
    name = given.pop("type")
    if name == "done":
        return
    kind = getattr(events, name)
    assert given.keys() <= set(kind.__dataclass_fields__)
    TypeAdapter(kind).validate_python(given)


def validate_body(objects: list[Mapping[str, Any]]) -> None:
    for fields in objects:
        validate_object(fields)


wire = ChatWire(
    adapter="sandbox",
    model=MODEL,
    env={"GATEWAY_SANDBOX": "on"},
    path="/chat",
    stream_path="/chat",
    auth=("", ""),
    answers={
        "text": TEXT,
        "tools": TOOLS,
        "length": LENGTH,
        "content_filter": CONTENT_FILTER,
        "refusal": REFUSAL,
        "usage": USAGE,
        "reasoning": REASONING,
        "candidates": CANDIDATES,
        "logprobs": LOGPROBS,
    },
    sent=SENT,
    failures=FAILURES,
    midstream_error=sse(
        '{"type":"Started","usage":{}}',
        '{"type":"TextDelta","text":"You","index":0}',
        '{"type":"error","status":500,"message":"The sandbox failed on purpose."}',
    ),
    midstream_raises=UpstreamError,
    validate_request=ChatRequest.model_validate,
    validate_answer=validate_body,
    validate_chunk=validate_object,
)
