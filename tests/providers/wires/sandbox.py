"""What goes over the sandbox's wire: canonical types as JSON, and one chat event in each server-sent event.

There is no vendor whose types could judge it: the canonical models do. The format is told in
`shared/providers/sandbox/wire.py`; what the engine itself answers is in `test_sandbox.py`.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from shared.errors import UpstreamError, UpstreamRateLimited, UpstreamRejected
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
from shared.schemas.events import (
    ChatEvent,
    Finished,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
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


def sse(*events: str) -> bytes:
    """Events as the sandbox sends them."""
    return b"".join(b"data: %b\n\n" % event.encode() for event in events)


def finished(reason: str, usage: str, index: int = 0) -> str:
    return f'{{"type":"finished","reason":"{reason}","usage":{usage},"index":{index}}}'


def body(usage: str, *candidates: str) -> bytes:
    return f'{{"candidates":[{",".join(candidates)}],"usage":{usage}}}'.encode()


STARTED = '{"type":"started"}'
FEW = '{"input_tokens":5,"output_tokens":6}'
NONE_YET = '{"input_tokens":0,"output_tokens":0}'
FEW_USED = Usage(input_tokens=5, output_tokens=6)


def meaning(*parts: Part, reason: FinishReason = FinishReason.STOP, usage: Usage = FEW_USED) -> ChatResponse:
    return ChatResponse(candidates=(Candidate(parts=parts, finish_reason=reason),), usage=usage)


TEXT = Answer(
    body=body(FEW, '{"index":0,"parts":[{"kind":"text","text":"Grüße, Welt 👋!"}],"finish_reason":"stop"}'),
    stream=sse(
        STARTED,
        '{"type":"text_delta","text":"Grüße,","index":0}',
        '{"type":"unheard_of","text":"an event of a later version"}',
        '{"type":"text_delta","text":" Welt","index":0}',
        '{"type":"text_delta","text":" 👋!","index":0}',
        finished("stop", FEW),
    ),
    means=meaning(Text(text="Grüße, Welt 👋!")),
)

TOOLS = Answer(
    body=body(
        FEW,
        '{"index":0,"parts":['
        '{"kind":"tool_call","id":"call_1","name":"get_weather","arguments":"{\\"location\\": \\"Paris\\"}"},'
        '{"kind":"tool_call","id":"call_2","name":"get_time","arguments":"{}"}],"finish_reason":"tool_calls"}',
    ),
    stream=sse(
        STARTED,
        '{"type":"tool_call_started","position":0,"id":"call_1","name":"get_weather","index":0}',
        '{"type":"tool_call_delta","position":0,"arguments":"{\\"location\\":","index":0}',
        '{"type":"tool_call_delta","position":0,"arguments":" \\"Paris\\"}","index":0}',
        '{"type":"tool_call_started","position":1,"id":"call_2","name":"get_time","index":0}',
        '{"type":"tool_call_delta","position":1,"arguments":"{}","index":0}',
        finished("tool_calls", FEW),
    ),
    means=meaning(
        ToolCall(id="call_1", name="get_weather", arguments='{"location": "Paris"}'),
        ToolCall(id="call_2", name="get_time", arguments="{}"),
        reason=FinishReason.TOOL_CALLS,
    ),
)

LENGTH = Answer(
    body=body(FEW, '{"index":0,"parts":[{"kind":"text","text":"You sa"}],"finish_reason":"length"}'),
    stream=sse(
        STARTED,
        '{"type":"text_delta","text":"You","index":0}',
        '{"type":"text_delta","text":" sa","index":0}',
        finished("length", FEW),
    ),
    means=meaning(Text(text="You sa"), reason=FinishReason.LENGTH),
)

CONTENT_FILTER = Answer(
    body=body(FEW, '{"index":0,"parts":[{"kind":"text","text":"You said:"}],"finish_reason":"content_filter"}'),
    stream=sse(
        STARTED,
        '{"type":"text_delta","text":"You","index":0}',
        '{"type":"text_delta","text":" said:","index":0}',
        finished("content_filter", FEW),
    ),
    means=meaning(Text(text="You said:"), reason=FinishReason.CONTENT_FILTER),
)

REFUSAL = Answer(
    body=body(FEW, '{"index":0,"parts":[{"kind":"refusal","text":"I cannot."}],"finish_reason":"stop"}'),
    stream=sse(
        STARTED,
        '{"type":"refusal_delta","text":"I","index":0}',
        '{"type":"refusal_delta","text":" cannot.","index":0}',
        finished("stop", FEW),
    ),
    means=meaning(Refusal(text="I cannot.")),
)

_ALL_TOKENS = (
    '{"input_tokens":700,"output_tokens":40,"cached_read_tokens":300,"cache_write_tokens":0,"reasoning_tokens":30,'
    '"input_image_tokens":256,"output_image_tokens":0,"input_audio_tokens":128,"output_audio_tokens":0}'
)

USAGE = Answer(
    body=body(_ALL_TOKENS, '{"index":0,"parts":[{"kind":"text","text":"42"}],"finish_reason":"stop"}'),
    stream=sse(STARTED, '{"type":"text_delta","text":"42","index":0}', finished("stop", _ALL_TOKENS)),
    means=meaning(
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
)

REASONING = Answer(
    body=body(
        FEW,
        '{"index":0,"parts":[{"kind":"reasoning","text":"Paris first.","signature":"c2c60e0a2fd3bc2b","redacted":false,'
        '"issuer":"sandbox"},{"kind":"tool_call","id":"call_1","name":"get_time","arguments":"{}"}],'
        '"finish_reason":"tool_calls"}',
    ),
    stream=sse(
        STARTED,
        '{"type":"reasoning_delta","text":"Paris","redacted":false,"issuer":"sandbox","index":0}',
        '{"type":"reasoning_delta","text":" first.","redacted":false,"issuer":"sandbox","index":0}',
        '{"type":"reasoning_delta","text":"","signature":"c2c60e0a2fd3bc2b","redacted":false,"issuer":"sandbox","index":0}',
        '{"type":"tool_call_started","position":0,"id":"call_1","name":"get_time","index":0}',
        '{"type":"tool_call_delta","position":0,"arguments":"{}","index":0}',
        finished("tool_calls", FEW),
    ),
    means=meaning(
        Reasoning(text="Paris first.", signature=SIGNATURE, issuer="sandbox"),
        ToolCall(id="call_1", name="get_time", arguments="{}"),
        reason=FinishReason.TOOL_CALLS,
    ),
)

CANDIDATES = Answer(
    body=body(
        FEW,
        '{"index":0,"parts":[{"kind":"text","text":"You said"}],"finish_reason":"stop"}',
        '{"index":1,"parts":[{"kind":"text","text":"Alternative"}],"finish_reason":"length"}',
    ),
    stream=sse(
        STARTED,
        '{"type":"text_delta","text":"You","index":0}',
        '{"type":"text_delta","text":"Alternative","index":1}',
        '{"type":"text_delta","text":" said","index":0}',
        finished("stop", NONE_YET, 0),
        finished("length", FEW, 1),
    ),
    means=ChatResponse(
        candidates=(
            Candidate(index=0, parts=(Text(text="You said"),), finish_reason=FinishReason.STOP),
            Candidate(index=1, parts=(Text(text="Alternative"),), finish_reason=FinishReason.LENGTH),
        ),
        usage=FEW_USED,
    ),
)

_TOKEN = (
    '{"token":"You","logprob":-0.591,"bytes":[89,111,117],'
    '"top_logprobs":[{"token":"You","logprob":-0.591,"bytes":[89,111,117]}]}'
)

LOGPROBS = Answer(
    body=body(
        FEW,
        '{"index":0,"parts":[{"kind":"text","text":"You"}],"finish_reason":"stop","logprobs":[' + _TOKEN + "]}",
    ),
    stream=sse(
        STARTED,
        '{"type":"text_delta","text":"You","index":0}',
        '{"type":"logprobs_delta","tokens":[' + _TOKEN + '],"index":0}',
        finished("stop", FEW),
    ),
    means=ChatResponse(
        candidates=(
            Candidate(
                parts=(Text(text="You"),),
                finish_reason=FinishReason.STOP,
                logprobs=(
                    TokenLogprob(
                        token="You",
                        logprob=-0.591,
                        bytes=(89, 111, 117),
                        top_logprobs=(TopLogprob(token="You", logprob=-0.591, bytes=(89, 111, 117)),),
                    ),
                ),
            ),
        ),
        usage=FEW_USED,
    ),
)


# --- requests ---------------------------------------------------------------------------------------------------------


def ask(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(model=MODEL, messages=messages or (user("Hello"),), **more)


def text(value: str) -> dict[str, Any]:
    return {"kind": "text", "text": value}


def turn(role: str, *parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def sent(**more: Any) -> dict[str, Any]:
    """What the sandbox gets for `ask()`, and what differs from it."""
    return {
        "model": "chat",
        "messages": [turn("user", text("Hello"))],
        "n": 1,
        "stop": [],
        "stream": False,
        "tools": [],
        "logprobs": False,
        "image_output": False,
        **more,
    }


_SCHEMA = {"type": "object", "properties": {"location": {"type": ["string", "null"], "default": None}}}
_WEATHER = Tool(name="get_weather", description="Current weather", parameters=_SCHEMA, strict=True)
_WEATHER_SENT = {"name": "get_weather", "description": "Current weather", "parameters": _SCHEMA, "strict": True}
_CALL = {"kind": "tool_call", "id": "call_1", "name": "get_weather", "arguments": '{"location": "Paris"}'}
_OTHER_CALL = {"kind": "tool_call", "id": "call_2", "name": "get_time", "arguments": "{}"}
_CALLS = (ToolCall.model_validate(_CALL), ToolCall.model_validate(_OTHER_CALL))
_IMAGE = Image(source=Inline(media_type="image/png", data=PNG), detail="low")
_IMAGE_SENT = {
    "kind": "image",
    "source": {"kind": "inline", "media_type": "image/png", "data": PNG},
    "detail": "low",
}

SENT = {
    "minimal": Sent(ask(), sent()),
    "everything": Sent(
        ask(
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
        sent(
            system="Be brief.",
            max_tokens=500,
            temperature=0.0,
            top_p=0.95,
            n=2,
            stop=["END", "\n"],
            seed=7,
            presence_penalty=0.5,
            frequency_penalty=0.5,
            logit_bias={"50256": -100.0},
            logprobs=True,
            top_logprobs=2,
            verbosity="low",
            user="ada@example.com",
            metadata={"order": "1"},
            reasoning_effort="none",
        ),
    ),
    "streamed": Sent(ask(stream=True), sent(stream=True)),
    "multi_turn": Sent(
        ask(user("One"), assistant("1"), Message(role="system", parts=(Text(text="In French."),)), user("Two")),
        sent(
            messages=[
                turn("user", text("One")),
                turn("assistant", text("1")),
                turn("system", text("In French.")),
                turn("user", text("Two")),
            ],
        ),
    ),
    "tools": Sent(
        ask(tools=(_WEATHER, Tool(name="get_time")), parallel_tool_calls=False),
        sent(tools=[_WEATHER_SENT, {"name": "get_time"}], parallel_tool_calls=False),
    ),
    "tool_choice_required": Sent(
        ask(tools=(_WEATHER,), tool_choice="required"), sent(tools=[_WEATHER_SENT], tool_choice="required")
    ),
    "tool_choice_named": Sent(
        ask(tools=(_WEATHER,), tool_choice=NamedTool(name="get_weather")),
        sent(tools=[_WEATHER_SENT], tool_choice={"name": "get_weather"}),
    ),
    "tool_results": Sent(
        ask(
            user("Weather and time?"),
            assistant(*_CALLS),
            result("call_1", "get_weather", Text(text="15 °C")),
            result("call_2", "get_time", Text(text="noon"), _IMAGE),
        ),
        sent(
            messages=[
                turn("user", text("Weather and time?")),
                turn("assistant", _CALL, _OTHER_CALL),
                turn(
                    "tool",
                    {"kind": "tool_result", "call_id": "call_1", "name": "get_weather", "content": [text("15 °C")]},
                ),
                turn(
                    "tool",
                    {
                        "kind": "tool_result",
                        "call_id": "call_2",
                        "name": "get_time",
                        "content": [text("noon"), _IMAGE_SENT],
                    },
                ),
            ],
        ),
    ),
    "image_inline": Sent(ask(user("Look", _IMAGE)), sent(messages=[turn("user", text("Look"), _IMAGE_SENT)])),
    "image_remote": Sent(
        ask(user(Image(source=Remote(url="https://example.com/a.png")))),
        sent(
            messages=[turn("user", {"kind": "image", "source": {"kind": "remote", "url": "https://example.com/a.png"}})]
        ),
    ),
    "audio_and_file": Sent(
        ask(
            user(
                Audio(data=WAV, format="wav"),
                File(source=Inline(media_type="application/pdf", data=PDF), name="a.pdf"),
            )
        ),
        sent(
            messages=[
                turn(
                    "user",
                    {"kind": "audio", "data": WAV, "format": "wav"},
                    {
                        "kind": "file",
                        "source": {"kind": "inline", "media_type": "application/pdf", "data": PDF},
                        "name": "a.pdf",
                    },
                )
            ],
        ),
    ),
    "json_object": Sent(ask(response_format=JsonObjectFormat()), sent(response_format={"kind": "json_object"})),
    "json_schema": Sent(
        ask(response_format=JsonSchemaFormat(name="place", json_schema=_SCHEMA, strict=True)),
        sent(response_format={"kind": "json_schema", "name": "place", "json_schema": _SCHEMA, "strict": True}),
    ),
    "reasoning_round_trip": Sent(
        ask(
            user("Time?"),
            assistant(Reasoning(text="Paris first.", signature=SIGNATURE, issuer="sandbox"), _CALLS[1]),
            result("call_2", "get_time", Text(text="noon")),
            reasoning_effort="high",
        ),
        sent(
            messages=[
                turn("user", text("Time?")),
                turn(
                    "assistant",
                    {
                        "kind": "reasoning",
                        "text": "Paris first.",
                        "signature": SIGNATURE,
                        "redacted": False,
                        "issuer": "sandbox",
                    },
                    _OTHER_CALL,
                ),
                turn(
                    "tool", {"kind": "tool_result", "call_id": "call_2", "name": "get_time", "content": [text("noon")]}
                ),
            ],
            reasoning_effort="high",
        ),
    ),
}


# --- failures ---------------------------------------------------------------------------------------------------------


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


FAILURES = {
    "bad_request": Failure(400, error("The JSON schema is too intricate."), UpstreamRejected, message="intricate"),
    "bad_key": Failure(
        401, error("Incorrect API key provided: sk-sandbox-0000."), UpstreamError, secret="sk-sandbox-0000"
    ),
    "rate_limited": Failure(429, error("Busy."), UpstreamRateLimited, headers={"retry-after": "7"}, retry_after=7),
    "server_error": Failure(500, error("Failed at 10.1.2.3."), UpstreamError, secret="10.1.2.3"),
    "overloaded": Failure(503, error("Overloaded."), UpstreamError),
    "html": Failure(502, b"<html><body>Bad gateway</body></html>", UpstreamError, secret="html"),
    "wrong_json": Failure(400, b'{"error":"not an object"}', UpstreamRejected),
}


# --- the judges -------------------------------------------------------------------------------------------------------

_EVENTS = {
    "started": Started,
    "text_delta": TextDelta,
    "refusal_delta": RefusalDelta,
    "reasoning_delta": ReasoningDelta,
    "tool_call_started": ToolCallStarted,
    "tool_call_delta": ToolCallDelta,
    "logprobs_delta": LogprobsDelta,
    "finished": Finished,
}


def validate_chunk(chunk: Mapping[str, Any]) -> ChatEvent | None:
    """The event; every field of the chunk must be one of the event's. Nothing for the event of a later version."""
    fields = dict(chunk)
    name = fields.pop("type")
    if name == "unheard_of":
        return None
    kind: type[ChatEvent] = _EVENTS[name]
    assert fields.keys() <= set(kind.__dataclass_fields__)
    return TypeAdapter(kind).validate_python(fields)


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
        STARTED,
        '{"type":"text_delta","text":"You","index":0}',
        '{"type":"error","status":500,"message":"The sandbox failed on purpose."}',
    ),
    midstream_raises=UpstreamError,
    validate_request=ChatRequest.model_validate,
    validate_answer=ChatResponse.model_validate,
    validate_chunk=validate_chunk,
)
