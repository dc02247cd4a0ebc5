"""What goes over Anthropic's wire: the Messages API, version 2023-06-01, asked from claude-haiku-4-5.

The bytes follow the examples of https://platform.claude.com/docs/en/build-with-claude/streaming, …/thinking,
…/refusals-and-fallback and …/api/errors.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter

from shared.errors import (
    ContextTooLong,
    CredentialsRefused,
    InsufficientQuota,
    PayloadTooLarge,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from shared.schemas.chat import (
    Candidate,
    ChatRequest,
    ChatResponse,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    Tool,
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
)
from shared.schemas.usage import FinishReason, Usage
from tests.providers.canonical import assistant, result, user
from tests.providers.wire import Answer, ChatWire, Failure, Sent

MODEL = "claude-haiku-4-5"
MAX_TOKENS = 64_000  # what the catalog says of the model, sent where the caller names no limit
KEY = "sk-ant-api03-test"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYdsQ=="


# --- answers ----------------------------------------------------------------------------------------------------------


def sse(*events: Mapping[str, Any]) -> bytes:
    """Events as the vendor sends them: each named after its type."""
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def started(usage: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }
    return {"type": "message_start", "message": message}


def block(index: int, content_block: Mapping[str, Any], *deltas: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": content_block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, *pieces: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def tool_block(index: int, call_id: str, name: str, *fragments: str) -> list[dict[str, Any]]:
    deltas = [{"type": "input_json_delta", "partial_json": fragment} for fragment in ("", *fragments)]
    return block(index, {"type": "tool_use", "id": call_id, "name": name, "input": {}}, *deltas)


def ended(stop_reason: str, usage: Mapping[str, Any], **delta: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": stop_reason, "stop_sequence": None, "stop_details": None, **delta}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


PING = {"type": "ping"}


def body(content: list[dict[str, Any]], stop_reason: str, usage: Mapping[str, Any], **more: Any) -> bytes:
    return json.dumps(
        {
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5-20251001",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "stop_details": None,
            "usage": usage,
            **more,
        }
    ).encode()


def counts(input_tokens: int, output_tokens: int, **more: Any) -> dict[str, Any]:
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
        "inference_geo": "not_available",
        **more,
    }


def meaning(parts: list[Part], reason: FinishReason, usage: Usage, stop_sequence: str | None = None) -> ChatResponse:
    candidate = Candidate(parts=tuple(parts), finish_reason=reason, stop_sequence=stop_sequence)
    return ChatResponse(candidates=(candidate,), usage=usage, service_tier="default")


TEXT = Answer(
    body=body([{"type": "text", "text": "Grüße, Welt 👋!"}], "end_turn", counts(12, 9)),
    stream=sse(
        started(counts(12, 1)),
        text_block(0)[0],
        PING,
        *text_block(0, "Grüße,", " Welt", " 👋", "!")[1:],
        *ended("end_turn", {"output_tokens": 9}),
    ),
    means=meaning([Text(text="Grüße, Welt 👋!")], FinishReason.STOP, Usage(input_tokens=12, output_tokens=9)),
)

TOOLS = Answer(
    body=body(
        [
            {"type": "text", "text": "I'll check both."},
            {"type": "tool_use", "id": "toolu_01T1", "name": "get_weather", "input": {"location": "Paris", "days": 2}},
            {"type": "tool_use", "id": "toolu_01T2", "name": "get_time", "input": {}},
        ],
        "tool_use",
        counts(472, 89),
    ),
    stream=sse(
        started(counts(472, 2)),
        *text_block(0, "I'll", " check both."),
        *tool_block(1, "toolu_01T1", "get_weather", '{"location":', ' "Par', "is", '", "days"', ": 2}"),
        PING,
        *tool_block(2, "toolu_01T2", "get_time"),
        *ended("tool_use", {"output_tokens": 89}),
    ),
    means=meaning(
        [
            Text(text="I'll check both."),
            ToolCall(id="toolu_01T1", name="get_weather", arguments='{"location": "Paris", "days": 2}'),
            ToolCall(id="toolu_01T2", name="get_time", arguments="{}"),
        ],
        FinishReason.TOOL_CALLS,
        Usage(input_tokens=472, output_tokens=89),
    ),
)

LENGTH = Answer(
    body=body([{"type": "text", "text": "Once upon"}], "max_tokens", counts(8, 2)),
    stream=sse(started(counts(8, 1)), *text_block(0, "Once", " upon"), *ended("max_tokens", {"output_tokens": 2})),
    means=meaning([Text(text="Once upon")], FinishReason.LENGTH, Usage(input_tokens=8, output_tokens=2)),
)

_DECLINED = {
    "type": "refusal",
    "category": "cyber",
    "explanation": "This request was declined because it could enable cyber harm.",
}

CONTENT_FILTER = Answer(
    body=body([], "refusal", counts(412, 0), stop_details=_DECLINED),
    stream=sse(started(counts(412, 0)), *ended("refusal", {"output_tokens": 0}, stop_details=_DECLINED)),
    means=meaning(
        [Refusal(text="This request was declined because it could enable cyber harm.")],
        FinishReason.CONTENT_FILTER,
        Usage(input_tokens=412),
    ),
)

_CACHED = counts(
    3,
    510,
    cache_creation_input_tokens=200,
    cache_read_input_tokens=1800,
    cache_creation={"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 0},
    output_tokens_details={"thinking_tokens": 400},
)

USAGE = Answer(
    body=body([{"type": "text", "text": "42"}], "stop_sequence", _CACHED, stop_sequence="END"),
    stream=sse(
        started({**_CACHED, "output_tokens": 1, "output_tokens_details": None}),
        *text_block(0, "42"),
        *ended(
            "stop_sequence",
            {
                "input_tokens": 3,
                "cache_creation_input_tokens": 200,
                "cache_read_input_tokens": 1800,
                "output_tokens": 510,
                "output_tokens_details": {"thinking_tokens": 400},
                "server_tool_use": None,
            },
            stop_sequence="END",
        ),
    ),
    means=meaning(
        [Text(text="42")],
        FinishReason.STOP,
        Usage(
            input_tokens=2003,
            output_tokens=510,
            cached_read_tokens=1800,
            cache_write_tokens=200,
            reasoning_tokens=400,
        ),
        "END",
    ),
)

REASONING = Answer(
    body=body(
        [
            {"type": "thinking", "thinking": "Paris first.\nThen the time.", "signature": SIGNATURE},
            {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
            {"type": "tool_use", "id": "toolu_01T1", "name": "get_weather", "input": {"location": "Paris"}},
        ],
        "tool_use",
        counts(50, 120, output_tokens_details={"thinking_tokens": 80}),
    ),
    stream=sse(
        started(counts(50, 3)),
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Paris first."},
            {"type": "thinking_delta", "thinking": "\nThen the time."},
            {"type": "signature_delta", "signature": SIGNATURE},
        ),
        *block(1, {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}),
        *tool_block(2, "toolu_01T1", "get_weather", '{"location": "Paris"}'),
        *ended("tool_use", {"output_tokens": 120, "output_tokens_details": {"thinking_tokens": 80}}),
    ),
    means=meaning(
        [
            Reasoning(text="Paris first.\nThen the time.", signature=SIGNATURE, issuer="anthropic"),
            Reasoning(signature="EmwKAhgBEgy3va3pzix", redacted=True, issuer="anthropic"),
            ToolCall(id="toolu_01T1", name="get_weather", arguments='{"location": "Paris"}'),
        ],
        FinishReason.TOOL_CALLS,
        Usage(input_tokens=50, output_tokens=120, reasoning_tokens=80),
    ),
)

OMITTED_REASONING = Answer(
    body=body(
        [{"type": "thinking", "thinking": "", "signature": SIGNATURE}, {"type": "text", "text": "12,231."}],
        "end_turn",
        counts(20, 60),
    ),
    stream=sse(
        started(counts(20, 1)),
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "signature_delta", "signature": SIGNATURE},
        ),
        *text_block(1, "12,231."),
        *ended("end_turn", {"output_tokens": 60}),
    ),
    means=meaning(
        [Reasoning(signature=SIGNATURE, issuer="anthropic"), Text(text="12,231.")],
        FinishReason.STOP,
        Usage(input_tokens=20, output_tokens=60),
    ),
)


# --- requests ---------------------------------------------------------------------------------------------------------


def ask(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(model=MODEL, messages=messages or (user("Hello"),), **more)


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def sent(**more: Any) -> dict[str, Any]:
    """The body that the vendor gets for `ask()`, and what differs from it."""
    messages = [{"role": "user", "content": [text("Hello")]}]
    return {"model": MODEL, "max_tokens": MAX_TOKENS, "messages": messages, **more}


_SCHEMA = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
_WEATHER = Tool(name="get_weather", description="Current weather", parameters=_SCHEMA)
_TIME = Tool(name="get_time")
_TOOLS_SENT = [
    {"name": "get_weather", "description": "Current weather", "input_schema": _SCHEMA},
    {"name": "get_time", "input_schema": {"properties": {}, "type": "object"}},
]
_IMAGE_SENT = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
_CALL = {"type": "tool_use", "id": "toolu_01T1", "name": "get_weather", "input": {"location": "Paris"}}


SENT = {
    "minimal": Sent(ask(), sent()),
    "everything": Sent(
        ask(
            system="Be brief.",
            max_tokens=500,
            temperature=0.0,
            top_p=0.95,
            stop=("END", "\n"),
            seed=7,
            presence_penalty=0.5,
            frequency_penalty=0.5,
            logit_bias={"50256": -100},
            verbosity="low",
            user="ada@example.com",
            metadata={"order": "1"},
            reasoning_effort="none",
        ),
        sent(
            max_tokens=500,
            system="Be brief.",
            temperature=0.0,
            stop_sequences=["END"],
            metadata={"user_id": sha256(b"ada@example.com").hexdigest()},
        ),
    ),
    "streamed": Sent(ask(stream=True), sent(stream=True)),
    "multi_turn": Sent(
        ask(user("One"), assistant("1"), user("Two"), user("and three"), system="Count."),
        sent(
            system="Count.",
            messages=[
                {"role": "user", "content": [text("One")]},
                {"role": "assistant", "content": [text("1")]},
                {"role": "user", "content": [text("Two"), text("and three")]},
            ],
        ),
    ),
    "later_system": Sent(
        ask(
            user("One"),
            assistant("1"),
            Message(role="system", parts=(Text(text="From now on, count in French."),)),
            user("Two"),
            system="Count.",
        ),
        sent(
            system="Count.\n\nFrom now on, count in French.",
            messages=[
                {"role": "user", "content": [text("One")]},
                {"role": "assistant", "content": [text("1")]},
                {"role": "user", "content": [text("Two")]},
            ],
        ),
    ),
    "tools": Sent(ask(tools=(_WEATHER, _TIME)), sent(tools=_TOOLS_SENT)),
    "tools_strict": Sent(
        ask(tools=(_WEATHER.model_copy(update={"strict": True}),)),
        sent(
            tools=[
                {
                    "name": "get_weather",
                    "description": "Current weather",
                    "input_schema": {**_SCHEMA, "additionalProperties": False},
                    "strict": True,
                }
            ]
        ),
    ),
    "tool_choice_auto": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice="auto"),
        sent(tools=_TOOLS_SENT, tool_choice={"type": "auto"}),
    ),
    "tool_choice_none": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice="none", parallel_tool_calls=False),
        sent(tools=_TOOLS_SENT, tool_choice={"type": "none"}),
    ),
    "tool_choice_required": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice="required"),
        sent(tools=_TOOLS_SENT, tool_choice={"type": "any"}),
    ),
    "tool_choice_named": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice=NamedTool(name="get_time"), parallel_tool_calls=False),
        sent(
            tools=_TOOLS_SENT,
            tool_choice={"type": "tool", "name": "get_time", "disable_parallel_tool_use": True},
        ),
    ),
    "tool_choice_one_call": Sent(
        ask(tools=(_WEATHER, _TIME), parallel_tool_calls=False),
        sent(tools=_TOOLS_SENT, tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
    ),
    "tool_results": Sent(
        ask(
            user("Weather and time in Paris?"),
            assistant(
                ToolCall(id="toolu_01T1", name="get_weather", arguments='{"location": "Paris"}'),
                ToolCall(id="call.2", name="get_time", arguments=""),
            ),
            result("call.2", "get_time", Text(text="9:00")),
            result(
                "toolu_01T1",
                "get_weather",
                Text(text="Sunny"),
                Image(source=Inline(media_type="image/png", data=PNG)),
            ),
            user("And tomorrow?"),
            tools=(_WEATHER, _TIME),
        ),
        sent(
            tools=_TOOLS_SENT,
            messages=[
                {"role": "user", "content": [text("Weather and time in Paris?")]},
                {
                    "role": "assistant",
                    "content": [
                        _CALL,
                        {"type": "tool_use", "id": "call_2_681da0f9", "name": "get_time", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "call_2_681da0f9", "content": [text("9:00")]},
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_01T1",
                            "content": [text("Sunny"), _IMAGE_SENT],
                        },
                        text("And tomorrow?"),
                    ],
                },
            ],
        ),
    ),
    "image_inline": Sent(
        ask(user("What is this?", Image(source=Inline(media_type="image/png", data=PNG), detail="high"))),
        sent(messages=[{"role": "user", "content": [text("What is this?"), _IMAGE_SENT]}]),
    ),
    "image_remote": Sent(
        ask(user("What is this?", Image(source=Remote(url="https://example.com/cat.jpg")))),
        sent(
            messages=[
                {
                    "role": "user",
                    "content": [
                        text("What is this?"),
                        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}},
                    ],
                }
            ]
        ),
    ),
    "file": Sent(
        ask(user(File(source=Inline(media_type="application/pdf", data=PDF), name="a.pdf"), "Summarise")),
        sent(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                            "title": "a.pdf",
                        },
                        text("Summarise"),
                    ],
                }
            ]
        ),
    ),
    "json_object": Sent(
        ask(system="Be brief.", response_format=JsonObjectFormat()),
        sent(
            system="Be brief.\n\n"
            "Answer with a single JSON object and nothing else: no text around it and no code fence."
        ),
    ),
    "json_schema": Sent(
        ask(response_format=JsonSchemaFormat(name="place", json_schema=_SCHEMA, strict=True)),
        sent(
            output_config={
                "format": {"type": "json_schema", "schema": {**_SCHEMA, "additionalProperties": False}},
            }
        ),
    ),
    "reasoning_effort": Sent(
        ask(reasoning_effort="medium", temperature=0.5, max_tokens=10_000),
        sent(max_tokens=10_000, thinking={"type": "enabled", "budget_tokens": 7500}),
    ),
    "reasoning_round_trip": Sent(
        ask(
            user("Weather in Paris?"),
            assistant(*REASONING.means.candidates[0].parts),
            result("toolu_01T1", "get_weather", Text(text="Sunny")),
            tools=(_WEATHER, _TIME),
            reasoning_effort="low",
        ),
        sent(
            tools=_TOOLS_SENT,
            thinking={"type": "enabled", "budget_tokens": 2048},
            messages=[
                {"role": "user", "content": [text("Weather in Paris?")]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Paris first.\nThen the time.", "signature": SIGNATURE},
                        {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
                        _CALL,
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_01T1", "content": [text("Sunny")]}],
                },
            ],
        ),
    ),
}


# --- failures ---------------------------------------------------------------------------------------------------------


def error(kind: str, message: str, **more: Any) -> bytes:
    return json.dumps(
        {
            "type": "error",
            "error": {"type": kind, "message": message, **more},
            "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
        }
    ).encode()


FAILURES = {
    "bad_request": Failure(
        400,
        error("invalid_request_error", "messages: at least one message is required"),
        UpstreamRejected,
        message="at least one message is required",
    ),
    "bad_key": Failure(
        401, error("authentication_error", "invalid x-api-key"), CredentialsRefused, secret="invalid x-api-key"
    ),
    "no_permission": Failure(
        403,
        error("permission_error", "Your API key does not have permission to use the specified resource."),
        CredentialsRefused,
        secret="permission to use",
    ),
    "unpaid": Failure(402, error("billing_error", "Check your payment details."), InsufficientQuota, secret="payment"),
    "bad_key_as_400": Failure(
        400,
        error("invalid_request_error", "This organization has been disabled."),
        CredentialsRefused,
        secret="organization",
    ),
    "no_credit": Failure(
        400,
        error(
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. "
            "Please go to Plans & Billing to upgrade or purchase credits.",
        ),
        InsufficientQuota,
        secret="Billing",
    ),
    "too_long": Failure(
        400,
        error("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
        ContextTooLong,
        message="208310 tokens",
    ),
    "rate_limited": Failure(
        429,
        error("rate_limit_error", "This request would exceed the rate limit for your organization of 50 requests."),
        UpstreamRateLimited,
        headers={"retry-after": "12"},
        retry_after=12,
        secret="organization",
    ),
    "too_large": Failure(
        413,
        error("request_too_large", "Request exceeds the maximum size"),
        PayloadTooLarge,
        message="larger than the provider allows",
    ),
    "server_error": Failure(500, error("api_error", "Internal server error"), UpstreamError),
    "timed_out": Failure(504, error("timeout_error", "The request timed out while processing."), UpstreamTimeout),
    "overloaded": Failure(529, error("overloaded_error", "Overloaded"), UpstreamOverloaded, retry_after=5),
    "html": Failure(502, b"<html><body><h1>502 Bad Gateway</h1>cloudflare</body></html>", UpstreamError),
}


# --- the SDK's types --------------------------------------------------------------------------------------------------

_REQUEST = TypeAdapter[Any](MessageCreateParamsNonStreaming | MessageCreateParamsStreaming)
_EVENT = TypeAdapter[Any](RawMessageStreamEvent)
# The SDK has left them out, since newer models ignore them; the API still takes them where a model does.
_UNTYPED = {"temperature", "top_p"}


def validate_request(value: Any) -> None:
    shape = MessageCreateParamsStreaming
    assert value.keys() <= shape.__required_keys__ | shape.__optional_keys__ | _UNTYPED
    _exhaust(_REQUEST.validate_python(value))


def _exhaust(value: Any) -> None:
    """Reads all of a validated value: pydantic validates an Iterable only as it is read."""
    if isinstance(value, Mapping):
        value = value.values()
    elif isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return
    for inner in value:
        _exhaust(inner)


def validate_chunk(value: Any) -> object:
    return value if value["type"] in ("ping", "error") else _EVENT.validate_python(value)


wire = ChatWire(
    adapter="anthropic",
    model=MODEL,
    env={"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "https://vendor.test"},
    path="/v1/messages",
    stream_path="/v1/messages",
    auth=("x-api-key", KEY),
    answers={
        "text": TEXT,
        "tools": TOOLS,
        "length": LENGTH,
        "content_filter": CONTENT_FILTER,
        "usage": USAGE,
        "reasoning": REASONING,
        "omitted_reasoning": OMITTED_REASONING,
    },
    sent=SENT,
    failures=FAILURES,
    midstream_error=sse(
        started(counts(12, 1)),
        *text_block(0, "Once")[:-1],
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ),
    midstream_raises=UpstreamOverloaded,
    validate_request=validate_request,
    validate_answer=AnthropicMessage.model_validate,
    validate_chunk=validate_chunk,
)
