"""What goes over Bedrock's wire: Converse and ConverseStream, asked from anthropic.claude-haiku-4-5.

Requests, answers and events are held against the service model that comes with botocore; the bytes of events are made
here, and botocore's own decoder reads them in test_bedrock.py.
"""

import json
from base64 import b64encode
from binascii import crc32
from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from shared.errors import (
    ContextTooLong,
    CredentialsRefused,
    InsufficientQuota,
    ModelNotFound,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from shared.framing import Frame
from shared.providers.bedrock.event_stream import EventStreamDecoder
from shared.schemas.chat import (
    Candidate,
    ChatRequest,
    ChatResponse,
    Citation,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    SystemCachePoint,
    Tool,
)
from shared.schemas.content import (
    CachePoint,
    File,
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
)
from shared.schemas.usage import FinishReason, Usage
from tests.providers.canonical import assistant, result, user
from tests.providers.wire import Answer, ChatWire, Failure, Sent

MODEL = "anthropic.claude-haiku-4-5"
PATH = "/model/global.anthropic.claude-haiku-4-5-20251001-v1%3A0"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = b64encode(b"%PDF-1.7 test").decode()
CSV = b64encode(b"a,b\n1,2\n").decode()
SIGNATURE = "ErUBCkYIBRgCIkDSbd2pQp1k"
SEALED = b64encode(b"EmwKAhgBEgy3va3pzix").decode()
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEXAMPLE==",
}
ENVIRONMENT = {**CREDENTIALS, "BEDROCK_REGION": "eu-west-1", "BEDROCK_BASE_URL": "https://vendor.test"}


# --- the service model ------------------------------------------------------------------------------------------------


@cache
def service_model() -> ServiceModel:
    """What botocore knows of the service."""
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def validate(value: Any, shape: str) -> None:
    """Raises AssertionError for a value that has not the shape."""
    report = ParamValidator().validate(value, service_model().shape_for(shape))
    assert not report.has_errors(), report.generate_report()


# --- answers ----------------------------------------------------------------------------------------------------------


def message(payload: bytes, headers: Mapping[str, str]) -> bytes:
    """One message of `application/vnd.amazon.eventstream`."""
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in headers.items()
    )
    return framed(head, payload)


def framed(head: bytes, payload: bytes) -> bytes:
    """A message of encoded headers and a payload."""
    prelude = (16 + len(head) + len(payload)).to_bytes(4, "big") + len(head).to_bytes(4, "big")
    checked = prelude + crc32(prelude).to_bytes(4, "big") + head + payload
    return checked + crc32(checked).to_bytes(4, "big")


def event(name: str, payload: Any) -> bytes:
    """An event, with the padding by which AWS hides how long a text is."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(json.dumps(payload | {"p": "abcdefghij"}, ensure_ascii=False).encode(), headers)


def exception(name: str, text: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(json.dumps({"message": text}).encode(), headers)


STARTED = event("messageStart", {"role": "assistant"})


def deltas(index: int, *values: Mapping[str, Any]) -> list[bytes]:
    return [event("contentBlockDelta", {"contentBlockIndex": index, "delta": value}) for value in values]


def stopped(index: int) -> bytes:
    return event("contentBlockStop", {"contentBlockIndex": index})


def texts(index: int, *pieces: str) -> list[bytes]:
    """A block of text, which has no start."""
    return [*deltas(index, *({"text": piece} for piece in pieces)), stopped(index)]


def call(index: int, call_id: str, name: str, *fragments: str) -> list[bytes]:
    start = {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": call_id, "name": name}}}
    return [
        event("contentBlockStart", start),
        *deltas(index, *({"toolUse": {"input": fragment}} for fragment in fragments)),
        stopped(index),
    ]


def ended(reason: str, usage: Mapping[str, Any], **more: Any) -> list[bytes]:
    metadata = {"usage": usage, "metrics": {"latencyMs": 802}}
    return [event("messageStop", {"stopReason": reason, **more}), event("metadata", metadata)]


def body(content: list[dict[str, Any]], reason: str, usage: Mapping[str, Any], **more: Any) -> bytes:
    return json.dumps(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": reason,
            "usage": usage,
            "metrics": {"latencyMs": 1388},
            **more,
        }
    ).encode()


def counts(input_tokens: int, output_tokens: int, read: int = 0, written: int = 0) -> dict[str, Any]:
    return {
        "inputTokens": input_tokens,
        "outputTokens": output_tokens,
        "totalTokens": input_tokens + output_tokens + read + written,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
    }


def meaning(parts: list[Part], reason: FinishReason, usage: Usage, *, stop_sequence: str | None = None) -> ChatResponse:
    candidate = Candidate(parts=tuple(parts), finish_reason=reason, stop_sequence=stop_sequence)
    return ChatResponse(candidates=(candidate,), usage=usage)


TEXT = Answer(
    body=body([{"text": "Grüße, Welt 👋!"}], "end_turn", counts(12, 9)),
    stream=b"".join([STARTED, *texts(0, "", "Grüße,", " Welt", " 👋", "!"), *ended("end_turn", counts(12, 9))]),
    means=meaning([Text(text="Grüße, Welt 👋!")], FinishReason.STOP, Usage(input_tokens=12, output_tokens=9)),
)

TOOLS = Answer(
    body=body(
        [
            {"text": "I'll check both."},
            {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"location": "Paris", "days": 2}}},
            {"toolUse": {"toolUseId": "tooluse_2", "name": "get_time", "input": {}}},
        ],
        "tool_use",
        counts(472, 89),
    ),
    stream=b"".join(
        [
            STARTED,
            *texts(0, "I'll", " check both."),
            *call(1, "tooluse_1", "get_weather", "", '{"location":', ' "Par', "is", '", "days"', ": 2}"),
            *call(2, "tooluse_2", "get_time", ""),
            *ended("tool_use", counts(472, 89)),
        ]
    ),
    means=meaning(
        [
            Text(text="I'll check both."),
            ToolCall(id="tooluse_1", name="get_weather", arguments='{"location": "Paris", "days": 2}'),
            ToolCall(id="tooluse_2", name="get_time", arguments="{}"),
        ],
        FinishReason.TOOL_CALLS,
        Usage(input_tokens=472, output_tokens=89),
    ),
)

# Some models say that they have ended their turn when they have called a tool.
UNTOLD_TOOL = Answer(
    body=body([{"toolUse": {"toolUseId": "t1", "name": "get_time", "input": {}}}], "end_turn", counts(4, 8)),
    stream=b"".join([STARTED, *call(0, "t1", "get_time"), *ended("end_turn", counts(4, 8))]),
    means=meaning(
        [ToolCall(id="t1", name="get_time", arguments="{}")],
        FinishReason.TOOL_CALLS,
        Usage(input_tokens=4, output_tokens=8),
    ),
)


def cut(reason: str, meant: FinishReason) -> Answer:
    """An answer of two words that ended for a reason."""
    return Answer(
        body=body([{"text": "Once upon"}], reason, counts(8, 2)),
        stream=b"".join([STARTED, *texts(0, "Once", " upon"), *ended(reason, counts(8, 2))]),
        means=meaning([Text(text="Once upon")], meant, Usage(input_tokens=8, output_tokens=2)),
    )


_CACHED = {
    **counts(3, 510, read=1800, written=200),
    "cacheDetails": [{"ttl": "1h", "inputTokens": 150}, {"ttl": "5m", "inputTokens": 50}],
}

_STOPPED_AT: Any = {"additionalModelResponseFields": {"stop_sequence": "END"}}

USAGE = Answer(
    body=body([{"text": "42"}], "stop_sequence", _CACHED, **_STOPPED_AT),
    stream=b"".join([STARTED, *texts(0, "42"), *ended("stop_sequence", _CACHED, **_STOPPED_AT)]),
    means=meaning(
        [Text(text="42")],
        FinishReason.STOP,
        Usage(
            input_tokens=2003,
            output_tokens=510,
            cached_read_tokens=1800,
            cache_write_tokens=200,
            cache_write_1h_tokens=150,
        ),
        stop_sequence="END",
    ),
)

_WEB = {"title": "Weather", "location": {"web": {"url": "https://example.com/w", "domain": "example.com"}}}
_PAGE = {"title": "a.pdf", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}

CITATIONS = Answer(
    body=body(
        [{"text": "So: "}, {"citationsContent": {"content": [{"text": "sunny."}], "citations": [_WEB, _PAGE]}}],
        "end_turn",
        counts(5, 6),
    ),
    stream=b"".join(
        [
            STARTED,
            *texts(0, "So: "),
            *deltas(1, {"text": "sun"}, {"text": "ny."}, {"citation": _WEB}, {"citation": _PAGE}),
            stopped(1),
            *ended("end_turn", counts(5, 6)),
        ]
    ),
    means=ChatResponse(
        candidates=(
            Candidate(
                parts=(Text(text="So: sunny."),),
                finish_reason=FinishReason.STOP,
                citations=(Citation(url="https://example.com/w", title="Weather", start=4, end=10),),
            ),
        ),
        usage=Usage(input_tokens=5, output_tokens=6),
    ),
)

REASONING = Answer(
    body=body(
        [
            {
                "reasoningContent": {
                    "reasoningText": {"text": "Paris first.\nThen the time.", "signature": SIGNATURE},
                }
            },
            {"reasoningContent": {"redactedContent": SEALED}},
            {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"location": "Paris"}}},
        ],
        "tool_use",
        counts(50, 120),
    ),
    stream=b"".join(
        [
            STARTED,
            *deltas(
                0,
                {"reasoningContent": {"text": "Paris first."}},
                {"reasoningContent": {"text": "\nThen the time."}},
                {"reasoningContent": {"signature": SIGNATURE}},
            ),
            stopped(0),
            *deltas(1, {"reasoningContent": {"redactedContent": SEALED}}),
            stopped(1),
            *call(2, "tooluse_1", "get_weather", '{"location": "Paris"}'),
            *ended("tool_use", counts(50, 120)),
        ]
    ),
    means=meaning(
        [
            Reasoning(text="Paris first.\nThen the time.", signature=SIGNATURE, issuer="bedrock"),
            Reasoning(signature=SEALED, redacted=True, issuer="bedrock"),
            ToolCall(id="tooluse_1", name="get_weather", arguments='{"location": "Paris"}'),
        ],
        FinishReason.TOOL_CALLS,
        Usage(input_tokens=50, output_tokens=120),
    ),
)

UNSIGNED_REASONING = Answer(
    body=body(
        [{"reasoningContent": {"reasoningText": {"text": "Three eggs."}}}, {"text": "3"}], "end_turn", counts(5, 6)
    ),
    stream=b"".join(
        [
            STARTED,
            *deltas(0, {"reasoningContent": {"text": "Three eggs."}}),
            stopped(0),
            *texts(1, "3"),
            *ended("end_turn", counts(5, 6)),
        ]
    ),
    means=meaning(
        [Reasoning(text="Three eggs.", issuer="bedrock"), Text(text="3")],
        FinishReason.STOP,
        Usage(input_tokens=5, output_tokens=6),
    ),
)


# --- requests ---------------------------------------------------------------------------------------------------------


def ask(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(model=MODEL, messages=messages or (user("Hello"),), **more)


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}


def sent(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The body that the vendor gets for `ask()`, and what differs from it."""
    return {"messages": list(turns) or [turn("user", "Hello")], **more}


_SCHEMA = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
_CLOSED = {**_SCHEMA, "additionalProperties": False}
_WEATHER = Tool(name="get_weather", description="Current weather", parameters=_SCHEMA)
_TIME = Tool(name="get_time")
_SPECS = [
    {"toolSpec": {"name": "get_weather", "description": "Current weather", "inputSchema": {"json": _SCHEMA}}},
    {"toolSpec": {"name": "get_time", "inputSchema": {"json": {"properties": {}, "type": "object"}}}},
]
_PICTURE = Image(source=Inline(media_type="image/png", data=PNG))
_IMAGE_SENT = {"image": {"format": "png", "source": {"bytes": PNG}}}
_CALL = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"location": "Paris"}}}


POINT, POINT_1H = {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}


def document(name: str, kind: str, data: str) -> dict[str, Any]:
    return {"document": {"format": kind, "name": name, "source": {"bytes": data}}}


def pdf(name: str | None) -> File:
    return File(source=Inline(media_type="application/pdf", data=PDF), name=name)


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
            system=[{"text": "Be brief."}],
            inferenceConfig={"maxTokens": 500, "temperature": 0.0, "stopSequences": ["END"]},
            additionalModelResponseFieldPaths=["/stop_sequence"],
        ),
    ),
    "streamed": Sent(ask(stream=True), sent()),
    "multi_turn": Sent(
        ask(user("One"), assistant("1"), user("Two"), user("and three"), system="Count."),
        sent(
            turn("user", "One"), turn("assistant", "1"), turn("user", "Two", "and three"), system=[{"text": "Count."}]
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
            turn("user", "One"),
            turn("assistant", "1"),
            turn("user", "Two"),
            system=[{"text": "Count."}, {"text": "From now on, count in French."}],
        ),
    ),
    "system_alone": Sent(ChatRequest(model=MODEL, messages=(), system="Say hello."), sent(turn("user", "Say hello."))),
    "assistant_first_and_last": Sent(
        ask(assistant("Welcome. "), user("Hi"), assistant("I am ")),
        sent(
            turn("user", "Begin."),
            turn("assistant", "Welcome. "),
            turn("user", "Hi"),
            turn("assistant", "I am "),
            turn("user", "Go on exactly where your last message ends."),
        ),
    ),
    "tools": Sent(ask(tools=(_WEATHER, _TIME)), sent(toolConfig={"tools": _SPECS})),
    "tools_strict": Sent(
        ask(tools=(_WEATHER.model_copy(update={"strict": True}),)),
        sent(
            toolConfig={
                "tools": [
                    {
                        "toolSpec": {
                            "name": "get_weather",
                            "description": "Current weather",
                            "inputSchema": {"json": _CLOSED},
                            "strict": True,
                        }
                    }
                ]
            }
        ),
    ),
    "tool_choice_auto": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice="auto"),
        sent(toolConfig={"tools": _SPECS}),
    ),
    "tool_choice_none": Sent(ask(tools=(_WEATHER, _TIME), tool_choice="none"), sent()),
    "tool_choice_required": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice="required"),
        sent(toolConfig={"tools": _SPECS, "toolChoice": {"any": {}}}),
    ),
    "tool_choice_named": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice=NamedTool(name="get_time")),
        sent(toolConfig={"tools": _SPECS, "toolChoice": {"tool": {"name": "get_time"}}}),
    ),
    "tool_choice_one_call": Sent(
        ask(tools=(_WEATHER, _TIME), tool_choice=NamedTool(name="get_time"), parallel_tool_calls=False),
        sent(
            toolConfig={"tools": _SPECS},
            additionalModelRequestFields={
                "tool_choice": {"type": "tool", "name": "get_time", "disable_parallel_tool_use": True}
            },
        ),
    ),
    "tool_results": Sent(
        ask(
            user("Weather and time in Paris?"),
            assistant(
                ToolCall(id="tooluse_1", name="get_weather", arguments='{"location": "Paris"}'),
                ToolCall(id="call 2", name="get_time", arguments=""),
            ),
            result("call 2", "get_time", Text(text="9:00")),
            result("tooluse_1", "get_weather", Text(text="Sunny"), _PICTURE),
            user("And tomorrow?"),
            tools=(_WEATHER, _TIME),
        ),
        sent(
            turn("user", "Weather and time in Paris?"),
            turn(
                "assistant",
                _CALL,
                {
                    "toolUse": {
                        "toolUseId": "54ec595470dd20a6f6f6db8b4f2a2f8336cf608d8485c2d6578aa40ef55e4a1c",
                        "name": "get_time",
                        "input": {},
                    }
                },
            ),
            turn(
                "user",
                {
                    "toolResult": {
                        "toolUseId": "54ec595470dd20a6f6f6db8b4f2a2f8336cf608d8485c2d6578aa40ef55e4a1c",
                        "content": [{"text": "9:00"}],
                    }
                },
                {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "Sunny"}, _IMAGE_SENT]}},
                "And tomorrow?",
            ),
            toolConfig={"tools": _SPECS},
        ),
    ),
    "tool_results_without_tools": Sent(
        ask(
            user("Time?"),
            assistant(ToolCall(id="t1", name="get_time", arguments="not JSON")),
            result("t1", "get_time"),
        ),
        sent(
            turn("user", "Time?"),
            turn(
                "assistant",
                {"toolUse": {"toolUseId": "t1", "name": "get_time", "input": {"INVALID_JSON": "not JSON"}}},
            ),
            turn("user", {"toolResult": {"toolUseId": "t1", "content": []}}),
            toolConfig={"tools": [{"toolSpec": {"name": "get_time", "inputSchema": {"json": {"type": "object"}}}}]},
            additionalModelRequestFields={"tool_choice": {"type": "none"}},
        ),
    ),
    "image_inline": Sent(
        ask(user("What are these?", _PICTURE, _PICTURE)),
        sent(turn("user", "What are these?", _IMAGE_SENT, _IMAGE_SENT)),
    ),
    "image_of_another_model": Sent(
        ask(user("Draw"), assistant("Here:", _PICTURE), user("What is on it?")),
        sent(turn("user", "Draw"), turn("assistant", "Here:"), turn("user", _IMAGE_SENT, "What is on it?")),
    ),
    "documents": Sent(
        ask(
            user(
                pdf("Q3_report (final).pdf"),
                pdf("Q3_report (final).pdf"),
                pdf(None),
                File(source=Inline(media_type="text/csv", data=CSV), name="a.csv"),
                "Summarise",
            )
        ),
        sent(
            turn(
                "user",
                document("Q3 report (final)", "pdf", PDF),
                document("Q3 report (final) (2)", "pdf", PDF),
                document("document", "pdf", PDF),
                document("a", "csv", CSV),
                "Summarise",
            )
        ),
    ),
    "document_beside_tool_results": Sent(
        ask(
            user("Time?"),
            assistant(ToolCall(id="t1", name="get_time", arguments="{}")),
            result("t1", "get_time", Text(text="9:00")),
            user(pdf("a.pdf")),
            tools=(_TIME,),
        ),
        sent(
            turn("user", "Time?"),
            turn("assistant", {"toolUse": {"toolUseId": "t1", "name": "get_time", "input": {}}}),
            turn("user", {"toolResult": {"toolUseId": "t1", "content": [{"text": "9:00"}]}}),
            turn("assistant", "I have the results."),
            turn("user", document("a", "pdf", PDF), "See the document."),
            toolConfig={"tools": [_SPECS[1]]},
        ),
    ),
    "json_object": Sent(
        ask(system="Be brief.", response_format=JsonObjectFormat()),
        sent(
            system=[
                {"text": "Be brief."},
                {"text": "Answer with a single JSON object and nothing else: no text around it and no code fence."},
            ]
        ),
    ),
    "json_schema": Sent(
        ask(response_format=JsonSchemaFormat(name="place", json_schema=_SCHEMA, description="A place", strict=True)),
        sent(
            outputConfig={
                "textFormat": {
                    "type": "json_schema",
                    "structure": {
                        "jsonSchema": {"schema": json.dumps(_CLOSED), "name": "place", "description": "A place"}
                    },
                }
            }
        ),
    ),
    "reasoning_effort": Sent(
        ask(reasoning_effort="medium", temperature=0.5, max_tokens=10_000),
        sent(
            inferenceConfig={"maxTokens": 10_000},
            additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 7500}},
        ),
    ),
    "reasoning_effort_without_a_limit": Sent(
        ask(reasoning_effort="low"),
        sent(
            inferenceConfig={"maxTokens": 64_000},
            additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
    ),
    "cache_points": Sent(
        ask(
            user(
                Text(text="One", cache=CachePoint()),
                _PICTURE.model_copy(update={"cache": CachePoint(ttl="1h")}),
                Text(text=" ", cache=CachePoint()),
            ),
            assistant(ToolCall(id="t1", name="get_time", arguments="{}", cache=CachePoint(ttl="5m"))),
            result("t1", "get_time", Text(text="9:00", cache=CachePoint(ttl="12h"))),
            user("And now?"),
            system="Long rules.\n\nToday's news.",
            system_cache=(SystemCachePoint(end=11),),
            tools=(_TIME.model_copy(update={"cache": CachePoint()}),),
        ),
        sent(
            turn("user", "One", POINT, _IMAGE_SENT, POINT_1H),
            turn("assistant", {"toolUse": {"toolUseId": "t1", "name": "get_time", "input": {}}}, POINT),
            turn("user", {"toolResult": {"toolUseId": "t1", "content": [{"text": "9:00"}]}}, POINT_1H, "And now?"),
            system=[{"text": "Long rules."}, POINT, {"text": "Today's news."}],
            toolConfig={"tools": [_SPECS[1], POINT]},
        ),
    ),
    "cache_point_of_a_key": Sent(ask(cache_key="k"), sent(turn("user", "Hello", POINT))),
    "service_tier": Sent(ask(service_tier="priority"), sent()),
    "reasoning_round_trip": Sent(
        ask(
            user("Weather in Paris?"),
            assistant(
                *REASONING.means.candidates[0].parts,
                Reasoning(text="Unsigned", issuer="bedrock"),
                Reasoning(text="Another's", signature="s", issuer="anthropic"),
                Reasoning(signature=b64encode(b"rsn_sealed by OpenAI").decode(), redacted=True, issuer="bedrock"),
            ),
            result("tooluse_1", "get_weather", Text(text="Sunny")),
            tools=(_WEATHER, _TIME),
        ),
        sent(
            turn("user", "Weather in Paris?"),
            turn(
                "assistant",
                {
                    "reasoningContent": {
                        "reasoningText": {"text": "Paris first.\nThen the time.", "signature": SIGNATURE}
                    }
                },
                {"reasoningContent": {"redactedContent": SEALED}},
                _CALL,
            ),
            turn("user", {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "Sunny"}]}}),
            toolConfig={"tools": _SPECS},
        ),
    ),
}


# --- failures ---------------------------------------------------------------------------------------------------------


def failure(status: int, kind: str, text: str, raises: type, **more: Any) -> Failure:
    headers = {
        "x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/",
        **more.pop("headers", {}),
    }
    return Failure(status, json.dumps({"message": text}).encode(), raises, headers=headers, **more)


_ROLE = "arn:aws:sts::123456789012:assumed-role/gateway-ChatRole/gateway-Chat"
_DENIED = f"User: {_ROLE} is not authorized to perform: bedrock:InvokeModel on resource: {_ROLE}"

FAILURES = {
    "bad_request": failure(
        400,
        "ValidationException",
        "The model returned the following errors: messages: roles must alternate",
        UpstreamRejected,
        message="messages: roles must alternate",
        secret="The model returned",
    ),
    "bad_key": failure(
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        CredentialsRefused,
        secret="token",
    ),
    "expired_token": failure(
        403, "ExpiredTokenException", "The security token included in the request is expired", CredentialsRefused
    ),
    "no_permission": failure(403, "AccessDeniedException", _DENIED, CredentialsRefused, secret="123456789012"),
    "not_enabled": failure(
        404,
        "ResourceNotFoundException",
        "Model use case details have not been submitted for this account. Fill out the use case details form.",
        CredentialsRefused,
        secret="use case",
    ),
    "legacy": failure(
        404,
        "ResourceNotFoundException",
        "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model.",
        CredentialsRefused,
        secret="Legacy",
    ),
    "unknown_model": failure(400, "ValidationException", "The provided model identifier is invalid.", ModelNotFound),
    "no_model": failure(404, "ResourceNotFoundException", "Could not resolve the resource", ModelNotFound),
    "too_long": failure(
        400, "ValidationException", "Input is too long for requested model.", ContextTooLong, message="too long"
    ),
    "rate_limited": failure(
        429,
        "ThrottlingException",
        "Too many tokens, please wait before trying again.",
        UpstreamRateLimited,
        headers={"retry-after": "12"},
        retry_after=12,
    ),
    "throttled": failure(429, "ThrottlingException", "Too many requests", UpstreamRateLimited, retry_after=5),
    "quota": failure(400, "ServiceQuotaExceededException", "You have exceeded a quota.", InsufficientQuota),
    "not_ready": failure(429, "ModelNotReadyException", "The model is not ready.", UpstreamOverloaded, retry_after=5),
    "overloaded": failure(503, "ServiceUnavailableException", "Try later.", UpstreamOverloaded, retry_after=5),
    "timed_out": failure(408, "ModelTimeoutException", "The model took too long.", UpstreamTimeout),
    "model_error": failure(424, "ModelErrorException", "The model failed.", UpstreamError),
    "server_error": failure(500, "InternalServerException", "Internal error", UpstreamError),
    "unnamed": Failure(429, b'{"Message":"Too many requests"}', UpstreamRateLimited, retry_after=5),
    "html": Failure(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", UpstreamError),
}


def value_of(frame: Frame) -> Any:
    """An event as a member of the union that the stream is in the service model, without its padding."""
    payload = json.loads(frame.data)
    payload.pop("p", None)
    return {frame.event: payload}


wire = ChatWire(
    adapter="bedrock",
    model=MODEL,
    env=ENVIRONMENT,
    path=f"{PATH}/converse",
    stream_path=f"{PATH}/converse-stream",
    auth=("", ""),  # a signature: test_bedrock.py compares it with botocore's
    answers={
        "text": TEXT,
        "tools": TOOLS,
        "untold_tool": UNTOLD_TOOL,
        "length": cut("max_tokens", FinishReason.LENGTH),
        "context_window": cut("model_context_window_exceeded", FinishReason.LENGTH),
        "content_filter": cut("content_filtered", FinishReason.CONTENT_FILTER),
        "guardrail": cut("guardrail_intervened", FinishReason.CONTENT_FILTER),
        "usage": USAGE,
        "citations": CITATIONS,
        "reasoning": REASONING,
        "unsigned_reasoning": UNSIGNED_REASONING,
    },
    sent=SENT,
    failures=FAILURES,
    midstream_error=b"".join([STARTED, *texts(0, "Once")[:-1], exception("throttlingException", "Too many tokens")]),
    midstream_raises=UpstreamRateLimited,
    validate_request=lambda value: validate({"modelId": MODEL, **value}, "ConverseRequest"),
    validate_answer=lambda value: validate(value, "ConverseResponse"),
    validate_chunk=lambda value: validate(value, "ConverseStreamOutput"),
    decoder=EventStreamDecoder,
    value_of=value_of,
)
