"""What goes over the wire of chat completions: as OpenAI sends it, and a compatible host where that shows more."""

import json
from collections.abc import Iterable
from typing import Any

from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
)
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
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
    Reasoning,
    Refusal,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)
from shared.schemas.usage import FinishReason, Usage
from tests.providers.wire import Answer, ChatWire, Failure, Sent

MODEL = "openai/gpt-5.6-luna"  # no row of the catalog says that it needs the Responses API
UPSTREAM = "gpt-5.6-luna"
HOST_MODEL = "deepseek-ai/DeepSeek-V3-0324"  # on DeepInfra, which takes every parameter
HOST_UPSTREAM = "deepseek-ai/DeepSeek-V3.2"
THINKING_MODEL = "deepseek-reasoner"
THINKING_UPSTREAM = "deepseek-flash"
KEY = "test-key"

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HEAD = {
    "id": "chatcmpl-CkXf0pYp3Q8tYy0mZ0d5lW8cN2aBv",
    "created": 1795219200,
    "model": "gpt-5.6-luna-2026-06-30",
    "service_tier": "default",
    "system_fingerprint": "fp_7c1f0a9d2e",
}
NO_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def _means(**fields: Any) -> ChatResponse:
    return ChatResponse(**fields, service_tier="default", system_fingerprint="fp_7c1f0a9d2e")


def _body(*choices: Any, usage: Any) -> bytes:
    return json.dumps({**HEAD, "object": "chat.completion", "choices": choices, "usage": usage}, indent=2).encode()


def _choice(message: Any, finish_reason: str, *, index: int = 0, logprobs: Any = None) -> Any:
    whole = {"role": "assistant", "content": None, **message, "refusal": message.get("refusal"), "annotations": []}
    return {"index": index, "message": whole, "logprobs": logprobs, "finish_reason": finish_reason}


def _frame(value: Any) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _chunk(delta: Any, finish_reason: str | None = None, *, index: int = 0, logprobs: Any = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return _frame(
        {**HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": None, "obfuscation": "x7Gd2p"}
    )


def _stream(*chunks: bytes, usage: Any) -> bytes:
    last = {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage, "obfuscation": "Qw"}
    return b"".join((*chunks, _frame(last), b"data: [DONE]\n\n"))


FIRST = {"role": "assistant", "content": "", "refusal": None}


def _answer(text: str, reason: str, means: FinishReason) -> Answer:
    """A plain text answer that ends for `reason`."""
    usage = {"prompt_tokens": 13, "completion_tokens": 9, "total_tokens": 22, **NO_DETAILS}
    words = [{"content": word} for word in text.split("|")] if text else []
    whole = text.replace("|", "")
    return Answer(
        body=_body(_choice({"content": whole}, reason), usage=usage),
        stream=_stream(_chunk(FIRST), *map(_chunk, words), _chunk({}, reason), usage=usage),
        means=_means(
            candidates=(Candidate(parts=(Text(text=whole),) if text else (), finish_reason=means),),
            usage=Usage(input_tokens=13, output_tokens=9),
        ),
    )


def _tools_answer() -> Answer:
    usage = {"prompt_tokens": 91, "completion_tokens": 52, "total_tokens": 143, **NO_DETAILS}
    calls = [
        ("call_Hn2oXsGvJz8LqYk1TtRw5Pda", '{"city":"Zürich","unit":"celsius"}'),
        ("call_b7QeUy4MnK0cWx9ZrVf3Lohs", '{"city":"Oslo"}'),
    ]
    whole = [
        {"id": id_, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
        for id_, arguments in calls
    ]

    def begin(position: int) -> bytes:
        function = {"name": "get_weather", "arguments": ""}
        call = {"index": position, "id": calls[position][0], "type": "function", "function": function}
        return _chunk({"tool_calls": [call]})

    def more(position: int, arguments: str) -> bytes:
        return _chunk({"tool_calls": [{"index": position, "function": {"arguments": arguments}}]})

    return Answer(
        body=_body(_choice({"tool_calls": whole}, "tool_calls"), usage=usage),
        stream=_stream(
            _chunk({"role": "assistant", "content": None, "refusal": None}),
            begin(0),
            more(0, '{"city'),
            more(0, '":"Zürich'),
            more(0, '","unit":"cel'),
            more(0, 'sius"}'),
            begin(1),
            more(1, '{"city":'),
            more(1, '"Oslo"}'),
            _chunk({}, "tool_calls"),
            usage=usage,
        ),
        means=_means(
            candidates=(
                Candidate(
                    parts=tuple(ToolCall(id=id_, name="get_weather", arguments=text) for id_, text in calls),
                    finish_reason=FinishReason.TOOL_CALLS,
                ),
            ),
            usage=Usage(input_tokens=91, output_tokens=52),
        ),
    )


def _usage_answer() -> Answer:
    usage = {
        "prompt_tokens": 2006,
        "completion_tokens": 300,
        "total_tokens": 2306,
        "prompt_tokens_details": {
            "cached_tokens": 1920,
            "cache_write_tokens": 64,
            "audio_tokens": 12,
            "image_tokens": 40,
            "text_tokens": 1954,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 192,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return Answer(
        body=_body(_choice({"content": "42"}, "stop"), usage=usage),
        stream=_stream(_chunk(FIRST), _chunk({"content": "42"}), _chunk({}, "stop"), usage=usage),
        means=_means(
            candidates=(Candidate(parts=(Text(text="42"),), finish_reason=FinishReason.STOP),),
            usage=Usage(
                input_tokens=2006,
                output_tokens=300,
                cached_read_tokens=1920,
                cache_write_tokens=64,
                reasoning_tokens=192,
                input_image_tokens=40,
                input_audio_tokens=12,
            ),
        ),
    )


def _refusal_answer() -> Answer:
    usage = {"prompt_tokens": 80, "completion_tokens": 11, "total_tokens": 91, **NO_DETAILS}
    return Answer(
        body=_body(_choice({"refusal": "I can't help with that."}, "stop"), usage=usage),
        stream=_stream(
            _chunk({"role": "assistant", "content": None, "refusal": ""}),
            _chunk({"refusal": "I can't help"}),
            _chunk({"refusal": " with that."}),
            _chunk({}, "stop"),
            usage=usage,
        ),
        means=_means(
            candidates=(Candidate(parts=(Refusal(text="I can't help with that."),), finish_reason=FinishReason.STOP),),
            usage=Usage(input_tokens=80, output_tokens=11),
        ),
    )


def _logprobs_answer() -> Answer:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, **NO_DETAILS}

    def token(text: str, logprob: float) -> Any:
        alternative = {"token": text.upper(), "logprob": -4.25, "bytes": list(text.upper().encode())}
        best = {"token": text, "logprob": logprob, "bytes": list(text.encode())}
        return {**best, "top_logprobs": [best, alternative]}

    def means(text: str, logprob: float) -> TokenLogprob:
        best = TopLogprob(token=text, logprob=logprob, bytes=tuple(text.encode()))
        other = TopLogprob(token=text.upper(), logprob=-4.25, bytes=tuple(text.upper().encode()))
        return TokenLogprob(**best.model_dump(), top_logprobs=(best, other))

    tokens = [("ja", -0.01), ("wohl", -0.5)]
    return Answer(
        body=_body(
            _choice(
                {"content": "jawohl"}, "stop", logprobs={"content": [token(*pair) for pair in tokens], "refusal": None}
            ),
            usage=usage,
        ),
        stream=_stream(
            _chunk(FIRST, logprobs={"content": [], "refusal": None}),
            *(
                _chunk({"content": text}, logprobs={"content": [token(text, logprob)], "refusal": None})
                for text, logprob in tokens
            ),
            _chunk({}, "stop"),
            usage=usage,
        ),
        means=_means(
            candidates=(
                Candidate(
                    parts=(Text(text="jawohl"),),
                    finish_reason=FinishReason.STOP,
                    logprobs=tuple(means(*pair) for pair in tokens),
                ),
            ),
            usage=Usage(input_tokens=9, output_tokens=2),
        ),
    )


def _candidates_answer() -> Answer:
    usage = {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12, **NO_DETAILS}
    return Answer(
        body=_body(
            _choice({"content": "heads"}, "stop"), _choice({"content": "tails"}, "length", index=1), usage=usage
        ),
        stream=_stream(
            _chunk(FIRST),
            _chunk({"content": "he"}),
            _chunk(FIRST, index=1),
            _chunk({"content": "tai"}, index=1),
            _chunk({"content": "ads"}),
            _chunk({"content": "ls"}, index=1),
            _chunk({}, "length", index=1),
            _chunk({}, "stop"),
            usage=usage,
        ),
        means=_means(
            candidates=(
                Candidate(parts=(Text(text="heads"),), finish_reason=FinishReason.STOP),
                Candidate(index=1, parts=(Text(text="tails"),), finish_reason=FinishReason.LENGTH),
            ),
            usage=Usage(input_tokens=8, output_tokens=4),
        ),
    )


def _reasoning_answer() -> Answer:
    """DeepSeek's; OpenAI keeps its models' thinking to itself on this API."""
    usage = {
        "prompt_tokens": 290,
        "completion_tokens": 81,
        "total_tokens": 371,
        "prompt_tokens_details": {"cached_tokens": 256},
        "completion_tokens_details": {"reasoning_tokens": 30},
        "prompt_cache_hit_tokens": 256,
        "prompt_cache_miss_tokens": 34,
    }
    call_id = "call_00_x1v9rT5eXh0s2fJmQ8bYcWnL"
    function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    call = {"index": 0, "id": call_id, "type": "function", "function": function}
    return Answer(
        body=_body(
            _choice(
                {
                    "content": "Let me look.",
                    "reasoning_content": "They want the weather in Oslo.",
                    "tool_calls": [call],
                },
                "tool_calls",
            ),
            usage=usage,
        ),
        stream=b"".join(
            (
                _chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
                b": keep-alive\n\n",
                _chunk({"content": None, "reasoning_content": "They want the"}),
                _chunk({"content": None, "reasoning_content": " weather in Oslo."}),
                _chunk({"content": "Let me", "reasoning_content": None}),
                _chunk({"content": " look.", "reasoning_content": None}),
                _chunk({"tool_calls": [{**call, "function": {"name": "get_weather", "arguments": ""}}]}),
                _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]}),
                _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}),
                # The usage comes with the finish reason here.
                _chunk({"content": "", "reasoning_content": None}, "tool_calls").replace(
                    b'"usage":null', b'"usage":' + json.dumps(usage).encode()
                ),
                b"data: [DONE]\n\n",
            )
        ),
        means=_means(
            candidates=(
                Candidate(
                    parts=(
                        Reasoning(text="They want the weather in Oslo.", issuer="openai"),
                        Text(text="Let me look."),
                        ToolCall(id=call_id, name="get_weather", arguments='{"city": "Oslo"}'),
                    ),
                    finish_reason=FinishReason.TOOL_CALLS,
                ),
            ),
            usage=Usage(input_tokens=290, output_tokens=81, cached_read_tokens=256, reasoning_tokens=30),
        ),
    )


# --- requests ---

HELLO = Message(role="user", parts=(Text(text="Hello"),))
HELLO_JSON = {"role": "user", "content": "Hello"}
PLAIN = {"model": UPSTREAM}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="The weather in a city.", parameters=PARAMETERS)
WEATHER_JSON = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": PARAMETERS},
}


def _request(*messages: Message, model: str = MODEL, **fields: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=messages or (HELLO,), **fields)


def _sent(expected: Any, *messages: Message, **fields: Any) -> Sent:
    return Sent(_request(*messages, **fields), {**PLAIN, "messages": [HELLO_JSON], **expected})


def _sent_content(*content: Any, message: Message) -> Sent:
    return _sent({"messages": [{"role": "user", "content": list(content)}]}, message)


def _tool_choice(choice: Any, expected: Any) -> Sent:
    return _sent({"tools": [WEATHER_JSON], "tool_choice": expected}, tools=(WEATHER,), tool_choice=choice)


def _user(*parts: Any) -> Message:
    return Message(role="user", parts=parts)


EVERYTHING: Any = {
    "max_tokens": 64,
    "temperature": 0.5,
    "top_p": 0.9,
    "n": 2,
    "stop": ("END", "\n\n"),
    "seed": 7,
    "presence_penalty": 0.25,
    "frequency_penalty": -0.5,
    "logit_bias": {"50256": -100.0},
    "logprobs": True,
    "top_logprobs": 3,
    "verbosity": "low",
    "user": "user-1",
    "metadata": {"team": "blue"},
    "stream": True,
}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
TOOL_TURNS = (
    _user(Text(text="Oslo and Zürich?")),
    Message(
        role="assistant",
        parts=(
            Reasoning(text="Two calls.", signature="opaque", issuer="anthropic"),
            Text(text="Looking."),
            ToolCall(id="call_1", name="get_weather", arguments='{"city":"Oslo"}', signature="s", issuer="gemini"),
            ToolCall(id="call_2", name="get_weather", arguments='{"city":"Zürich"}'),
        ),
    ),
    Message(
        role="tool",
        parts=(
            ToolResult(call_id="call_1", name="get_weather", content=(Text(text="4 °C"), Text(text="windy"))),
            ToolResult(call_id="call_2", name="get_weather", content=(Text(text="9 °C"),)),
        ),
    ),
)
TOOL_TURNS_JSON: list[Any] = [
    {"role": "user", "content": "Oslo and Zürich?"},
    {
        "role": "assistant",
        "content": "Looking.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
            },
            {
                "id": "call_2",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Zürich"}'},
            },
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "4 °C\nwindy"},
    {"role": "tool", "tool_call_id": "call_2", "content": "9 °C"},
]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}

SENT = {
    "minimal": _sent({}),
    "streamed": _sent(STREAMED, stream=True),
    "everything": _sent(
        {
            "max_completion_tokens": 64,
            "temperature": 0.5,
            "top_p": 0.9,
            "n": 2,
            "stop": ["END", "\n\n"],
            "seed": 7,
            "presence_penalty": 0.25,
            "frequency_penalty": -0.5,
            "logit_bias": {"50256": -100},
            "logprobs": True,
            "top_logprobs": 3,
            "verbosity": "low",
            "user": "user-1",
            **STREAMED,
        },
        **EVERYTHING,
    ),
    "everything_on_a_host": Sent(
        _request(model=HOST_MODEL, **EVERYTHING),
        {
            "model": HOST_UPSTREAM,
            "messages": [HELLO_JSON],
            "max_tokens": 64,
            "temperature": 0.5,
            "top_p": 0.9,
            "n": 2,
            "stop": ["END", "\n\n"],
            "seed": 7,
            "presence_penalty": 0.25,
            "frequency_penalty": -0.5,
            "logit_bias": {"50256": -100},
            "logprobs": True,
            "top_logprobs": 3,
            "verbosity": "low",
            "user": "user-1",
            **STREAMED,
        },
    ),
    "multi_turn": _sent(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello", "name": "ada"},
                {"role": "assistant", "content": "Hi!"},
                {"role": "system", "content": "Now rhyme."},
                {"role": "user", "content": [{"type": "text", "text": "Go"}, {"type": "text", "text": "on"}]},
            ]
        },
        Message(role="user", parts=(Text(text="Hello"),), name="ada"),
        Message(role="assistant", parts=(Text(text="Hi!"),)),
        Message(role="system", parts=(Text(text="Now rhyme."),)),
        _user(Text(text="Go"), Text(text="on")),
        system="Be brief.",
    ),
    "tools": _sent(
        {
            "tools": [
                WEATHER_JSON,
                {
                    "type": "function",
                    "function": {
                        "name": "now",
                        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
                        "strict": True,
                    },
                },
            ],
            "parallel_tool_calls": False,
        },
        tools=(WEATHER, Tool(name="now", strict=True)),
        parallel_tool_calls=False,
    ),
    "tool_choice_auto": _tool_choice("auto", "auto"),
    "tool_choice_none": _tool_choice("none", "none"),
    "tool_choice_required": _tool_choice("required", "required"),
    "tool_choice_named": _tool_choice(
        NamedTool(name="get_weather"), {"type": "function", "function": {"name": "get_weather"}}
    ),
    "tool_results": _sent({"messages": TOOL_TURNS_JSON, "tools": [WEATHER_JSON]}, *TOOL_TURNS, tools=(WEATHER,)),
    "image_inline": _sent_content(
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        message=_user(Text(text="What is this?"), Image(source=Inline(media_type="image/png", data=PNG), detail="low")),
    ),
    "image_remote": _sent_content(
        {"type": "image_url", "image_url": {"url": "https://images.test/cat.jpg"}},
        message=_user(Image(source=Remote(url="https://images.test/cat.jpg"))),
    ),
    "file": _sent_content(
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        message=_user(
            File(source=Inline(media_type="application/pdf", data="JVBERi0="), name="a.pdf"),
            File(source=Inline(media_type="application/pdf", data="JVBERi0=")),
        ),
    ),
    "audio": Sent(
        _request(_user(Text(text="Listen"), Audio(data="UklGRg==", format="wav")), model="openai/gpt-audio"),
        {
            "model": "gpt-audio",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Listen"},
                        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                    ],
                }
            ],
        },
    ),
    "json_object": _sent({"response_format": {"type": "json_object"}}, response_format=JsonObjectFormat()),
    "json_schema": _sent(
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": PERSON, "description": "Somebody.", "strict": True},
            }
        },
        response_format=JsonSchemaFormat(name="person", json_schema=PERSON, description="Somebody.", strict=True),
    ),
    "reasoning_effort": _sent({"reasoning_effort": "high"}, reasoning_effort="high"),
    "reasoning_round_trip": Sent(
        _request(*TOOL_TURNS, model=THINKING_MODEL, tools=(WEATHER,)),
        {
            "model": THINKING_UPSTREAM,
            "messages": [
                TOOL_TURNS_JSON[0],
                {**TOOL_TURNS_JSON[1], "reasoning_content": "Two calls."},
                *TOOL_TURNS_JSON[2:],
            ],
            "tools": [WEATHER_JSON],
        },
        path="/chat/completions",
    ),
}


# --- errors ---


def _error(message: str, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}, indent=2).encode()


FAILURES = {
    "bad_request": Failure(
        400,
        _error("Invalid value for 'temperature': must be at most 2.", "invalid_request_error", "temperature"),
        UpstreamRejected,
        message="must be at most 2",
    ),
    "context_length": Failure(
        400,
        _error(
            "This model's maximum context length is 922000 tokens.",
            "invalid_request_error",
            "messages",
            "context_length_exceeded",
        ),
        ContextTooLong,
        message="maximum context length",
    ),
    "bad_key": Failure(
        401,
        _error(
            "Incorrect API key provided: test-key. You can find your API key at https://platform.openai.com.",
            "invalid_request_error",
            code="invalid_api_key",
        ),
        CredentialsRefused,
        secret="test-key",
    ),
    # xAI's.
    "bad_key_as_400": Failure(
        400,
        b'{"code":"Client specified an invalid argument","error":"Incorrect API key provided: te***ey. '
        b'You can obtain an API key from https://console.x.ai."}',
        CredentialsRefused,
        secret="API key",
    ),
    "rate_limited": Failure(
        429,
        _error("Rate limit reached for gpt-5.6-luna.", "tokens", code="rate_limit_exceeded"),
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
        _error("The engine is currently overloaded, please try again later.", "service_unavailable"),
        UpstreamOverloaded,
        headers={"retry-after": "4"},
        retry_after=4,
    ),
    "html": Failure(
        502,
        b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>cloudflare</body></html>",
        UpstreamError,
        secret="cloudflare",
    ),
}


# --- what the SDK says ---

_NON_STREAMING = TypeAdapter[Any](CompletionCreateParamsNonStreaming)
_STREAMING = TypeAdapter[Any](CompletionCreateParamsStreaming)
_MESSAGE = TypeAdapter[Any](ChatCompletionMessageParam)
_TOOL = TypeAdapter[Any](ChatCompletionToolUnionParam)


def _exhaust(value: Any) -> Any:
    """Pydantic checks an Iterable's items only as they are taken out."""
    if isinstance(value, dict):
        return {key: _exhaust(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_exhaust(item) for item in value]
    return value


def _validate_request(sent: Any) -> Any:
    params = CompletionCreateParamsStreaming if sent.get("stream") else CompletionCreateParamsNonStreaming
    unknown = set(sent) - set(params.__annotations__)
    assert not unknown, f"the SDK has no {unknown}"
    for message in sent["messages"]:
        _exhaust(_MESSAGE.validate_python(message))
    for tool in sent.get("tools", ()):
        _exhaust(_TOOL.validate_python(tool))
    return (_STREAMING if sent.get("stream") else _NON_STREAMING).validate_python(sent)


wire = ChatWire(
    adapter="openai",
    model=MODEL,
    env={
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": "https://vendor.test/v1",
        "DEEPINFRA_API_KEY": KEY,
        "DEEPINFRA_BASE_URL": "https://vendor.test/v1",
        "DEEPSEEK_API_KEY": KEY,
        "DEEPSEEK_BASE_URL": "https://vendor.test",
    },
    path="/v1/chat/completions",
    stream_path="/v1/chat/completions",
    auth=("authorization", f"Bearer {KEY}"),
    answers={
        "text": _answer("Hel|lo, |Zoë|! 👋", "stop", FinishReason.STOP),
        "tools": _tools_answer(),
        "length": _answer("Once| upon a", "length", FinishReason.LENGTH),
        "content_filter": _answer("", "content_filter", FinishReason.CONTENT_FILTER),
        "usage": _usage_answer(),
        "reasoning": _reasoning_answer(),
        "refusal": _refusal_answer(),
        "logprobs": _logprobs_answer(),
        "candidates": _candidates_answer(),
    },
    sent=SENT,
    failures=FAILURES,
    midstream_error=_chunk(FIRST)
    + _chunk({"content": "Once"})
    + b'data: {"error":{"message":"The server had an error while processing your request.","type":"server_error",'
    b'"param":null,"code":null}}\n\n',
    midstream_raises=UpstreamError,
    validate_request=_validate_request,
    validate_answer=ChatCompletion.model_validate,
    validate_chunk=ChatCompletionChunk.model_validate,
)
