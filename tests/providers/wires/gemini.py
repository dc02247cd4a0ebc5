"""What goes over Gemini's wire: bodies and streams in the layout of the real service, `\\r\\n` and spacing included."""

import json
from collections.abc import Sequence
from typing import Any

from google.genai import types

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
from shared.schemas.chat import (
    Candidate,
    ChatRequest,
    ChatResponse,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    TokenLogprob,
    Tool,
    ToolChoice,
    TopLogprob,
)
from shared.schemas.content import Audio, File, Image, Inline, Message, Part, Reasoning, Text, ToolCall, ToolResult
from shared.schemas.usage import FinishReason, Usage
from tests.providers.canonical import user
from tests.providers.wire import Answer, ChatWire, Failure, Sent

MODEL = "gemini-2.5-flash"
UPSTREAM = "gemini-3.5-flash-lite"  # what the catalog has the public id stand for
PATH = f"/v1beta/models/{UPSTREAM}:generateContent"
STREAM_PATH = f"/v1beta/models/{UPSTREAM}:streamGenerateContent?alt=sse"
RESPONSE_ID = "QUVVadTSNJ6_qtsPvN7J8Q0"
SIGNATURE = "EpwICpkIAXLI2nxlU6gsWZaZHRYkX1orzuM8vSUFwaAt1JRxEC2hJzPAcAu3PWaK+z7X/PIyTTqF"
PLACEHOLDER = "skip_thought_signature_validator"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
TEXT_ONLY = [{"modality": "TEXT", "tokenCount": 8}]


# --- the answers' bytes


def usage(**counts: Any) -> dict[str, Any]:
    return {**counts, "serviceTier": "standard"}


def response(parts: Sequence[Any], counts: dict[str, Any], finish: str | None = None, **candidate: Any) -> Any:
    """A GenerateContentResponse with one candidate."""
    value: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    if finish:
        value["finishReason"] = finish
    return envelope([{**value, "index": 0, **candidate}], counts)


def envelope(candidates: Sequence[Any], counts: dict[str, Any]) -> Any:
    return {
        "candidates": list(candidates),
        "usageMetadata": counts,
        "modelVersion": UPSTREAM,
        "responseId": RESPONSE_ID,
    }


def body(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def stream(*chunks: Any) -> bytes:
    frames = (json.dumps(chunk, ensure_ascii=False, separators=(",", ": ")) for chunk in chunks)
    return "".join(f"data: {frame}\r\n\r\n" for frame in frames).encode()


def means(*parts: Part, finish: FinishReason, usage: Usage, logprobs: Any = None) -> ChatResponse:
    return ChatResponse(
        candidates=(Candidate(parts=parts, finish_reason=finish, logprobs=logprobs),),
        usage=usage,
        service_tier="default",
    )


def call(name: str, args: Any, **extra: Any) -> Any:
    return {"name": name, "args": args, **extra}


GREETING = "Grüß dich! 👋 How can I help?"
PLAIN = usage(promptTokenCount=8, candidatesTokenCount=11, totalTokenCount=19, promptTokensDetails=TEXT_ONLY)
FIRST = usage(promptTokenCount=8, candidatesTokenCount=4, totalTokenCount=12, promptTokensDetails=TEXT_ONLY)
PLAIN_USAGE = Usage(input_tokens=8, output_tokens=11)

TEXT = Answer(
    body=body(response([{"text": GREETING}], PLAIN, "STOP")),
    stream=stream(
        response([{"text": GREETING[:7]}], FIRST),
        response([{"text": GREETING[7:]}], PLAIN),
        response([{"text": ""}], PLAIN, "STOP"),
    ),
    means=means(Text(text=GREETING), finish=FinishReason.STOP, usage=PLAIN_USAGE),
)

SIGNED_TEXT = Answer(
    body=body(response([{"text": GREETING, "thoughtSignature": SIGNATURE}], PLAIN, "STOP")),
    stream=stream(
        response([{"text": GREETING[:7]}], FIRST),
        response([{"text": GREETING[7:]}], PLAIN),
        response([{"text": "", "thoughtSignature": SIGNATURE}], PLAIN, "STOP"),
    ),
    means=means(
        Text(text=GREETING),
        Reasoning(signature=SIGNATURE, issuer="gemini"),
        finish=FinishReason.STOP,
        usage=PLAIN_USAGE,
    ),
)

PARIS = call("get_weather", {"city": "Paris", "days": 2}, id="k3x8q1zv")
ZURICH = call("get_weather", {"city": "Zürich", "opts": {"wind": True}}, id="p0b7m2wd")
TOOLS = Answer(
    body=body(
        response(
            [
                {"text": "Let me look."},
                {"functionCall": PARIS, "thoughtSignature": SIGNATURE},
                {"functionCall": ZURICH},
            ],
            PLAIN,
            "STOP",
            finishMessage="Model generated function call(s).",
        )
    ),
    stream=stream(
        response([{"text": "Let me"}], FIRST),
        response([{"text": " look."}], FIRST),
        response([{"functionCall": PARIS, "thoughtSignature": SIGNATURE}], FIRST),
        response([{"functionCall": ZURICH}], PLAIN),
        response([{"text": ""}], PLAIN, "STOP", finishMessage="Model generated function call(s)."),
    ),
    means=means(
        Text(text="Let me look."),
        ToolCall(
            id="k3x8q1zv",
            name="get_weather",
            arguments='{"city":"Paris","days":2}',
            signature=SIGNATURE,
            issuer="gemini",
        ),
        ToolCall(id="p0b7m2wd", name="get_weather", arguments='{"city":"Zürich","opts":{"wind":true}}'),
        finish=FinishReason.TOOL_CALLS,
        usage=PLAIN_USAGE,
    ),
)

LENGTH = Answer(
    body=body(response([{"text": "Once upon a"}], PLAIN, "MAX_TOKENS")),
    stream=stream(response([{"text": "Once upon"}], FIRST), response([{"text": " a"}], PLAIN, "MAX_TOKENS")),
    means=means(Text(text="Once upon a"), finish=FinishReason.LENGTH, usage=PLAIN_USAGE),
)

# A thinking model may have spent the whole limit on thinking: the content then has no parts.
THOUGHT_AWAY_USAGE = usage(promptTokenCount=15, totalTokenCount=17, thoughtsTokenCount=2)
THOUGHT_AWAY_BODY = envelope(
    [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}], THOUGHT_AWAY_USAGE
)
THOUGHT_AWAY = Answer(
    body=body(THOUGHT_AWAY_BODY),
    stream=stream(THOUGHT_AWAY_BODY),
    means=means(finish=FinishReason.LENGTH, usage=Usage(input_tokens=15, output_tokens=2, reasoning_tokens=2)),
)

RATINGS = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]
CONTENT_FILTER = Answer(
    body=body(response([{"text": "First you"}], PLAIN, "SAFETY", safetyRatings=RATINGS)),
    stream=stream(
        response([{"text": "First you"}], FIRST),
        envelope([{"finishReason": "SAFETY", "index": 0, "safetyRatings": RATINGS}], PLAIN),
    ),
    means=means(Text(text="First you"), finish=FinishReason.CONTENT_FILTER, usage=PLAIN_USAGE),
)

BLOCKED_BODY = {
    "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
    "usageMetadata": usage(promptTokenCount=8, totalTokenCount=8, promptTokensDetails=TEXT_ONLY),
    "modelVersion": UPSTREAM,
    "responseId": RESPONSE_ID,
}
BLOCKED_PROMPT = Answer(
    body=body(BLOCKED_BODY),
    stream=stream(BLOCKED_BODY),
    means=means(finish=FinishReason.CONTENT_FILTER, usage=Usage(input_tokens=8)),
)

FULL_USAGE = usage(
    promptTokenCount=3000,
    candidatesTokenCount=20,
    totalTokenCount=3130,
    cachedContentTokenCount=2048,
    promptTokensDetails=[
        {"modality": "TEXT", "tokenCount": 2600},
        {"modality": "IMAGE", "tokenCount": 258},
        {"modality": "AUDIO", "tokenCount": 142},
    ],
    cacheTokensDetails=[{"modality": "TEXT", "tokenCount": 2048}],
    toolUsePromptTokenCount=10,
    thoughtsTokenCount=100,
)
USAGE = Answer(
    body=body(response([{"text": "42"}], FULL_USAGE, "STOP")),
    stream=stream(
        response([{"text": "4"}], usage(promptTokenCount=3000, totalTokenCount=3050, thoughtsTokenCount=50)),
        response([{"text": "2"}], FULL_USAGE, "STOP"),
    ),
    means=means(
        Text(text="42"),
        finish=FinishReason.STOP,
        usage=Usage(
            input_tokens=3010,
            output_tokens=120,
            cached_read_tokens=2048,
            reasoning_tokens=100,
            input_image_tokens=258,
            input_audio_tokens=142,
        ),
    ),
)

THINKING = usage(promptTokenCount=29, candidatesTokenCount=10, totalTokenCount=241, thoughtsTokenCount=202)
REASONING = Answer(
    body=body(
        response(
            [
                {"text": "**Weighing it**\n\nI need the weather.\n\n\n", "thought": True},
                {"functionCall": call("get_weather", {"city": "Oslo"}), "thoughtSignature": SIGNATURE},
                {"functionCall": call("get_time", {})},
            ],
            THINKING,
            "STOP",
        )
    ),
    stream=stream(
        response(
            [{"text": "**Weighing it**\n\n", "thought": True}],
            usage(promptTokenCount=29, totalTokenCount=102, thoughtsTokenCount=73),
        ),
        response(
            [{"text": "I need the weather.\n\n\n", "thought": True}],
            usage(promptTokenCount=29, totalTokenCount=231, thoughtsTokenCount=202),
        ),
        response(
            [
                {"functionCall": call("get_weather", {"city": "Oslo"}), "thoughtSignature": SIGNATURE},
                {"functionCall": call("get_time", {})},
            ],
            THINKING,
        ),
        response([{"text": ""}], THINKING, "STOP"),
    ),
    means=means(
        Reasoning(text="**Weighing it**\n\nI need the weather.\n\n\n", issuer="gemini"),
        ToolCall(
            id=f"call_{RESPONSE_ID}_0_0",
            name="get_weather",
            arguments='{"city":"Oslo"}',
            signature=SIGNATURE,
            issuer="gemini",
        ),
        ToolCall(id=f"call_{RESPONSE_ID}_0_1", name="get_time", arguments="{}"),
        finish=FinishReason.TOOL_CALLS,
        usage=Usage(input_tokens=29, output_tokens=212, reasoning_tokens=202),
    ),
)

HI = {"token": "Hi", "tokenId": 2151, "logProbability": -0.25}
DOT = {"token": ".", "tokenId": 235265}
LOGPROBS = Answer(
    body=body(
        response(
            [{"text": "Hi."}],
            PLAIN,
            "STOP",
            avgLogprobs=-0.125,
            logprobsResult={
                "topCandidates": [
                    {"candidates": [HI, {"token": "Hé", "tokenId": 7, "logProbability": -1.5}]},
                    {"candidates": [DOT]},
                ],
                "chosenCandidates": [HI, DOT],
            },
        )
    ),
    stream=stream(
        response(
            [{"text": "Hi"}],
            FIRST,
            logprobsResult={
                "topCandidates": [{"candidates": [HI, {"token": "Hé", "tokenId": 7, "logProbability": -1.5}]}],
                "chosenCandidates": [HI],
            },
        ),
        response(
            [{"text": "."}],
            PLAIN,
            "STOP",
            logprobsResult={"topCandidates": [{"candidates": [DOT]}], "chosenCandidates": [DOT]},
        ),
    ),
    means=means(
        Text(text="Hi."),
        finish=FinishReason.STOP,
        usage=PLAIN_USAGE,
        logprobs=(
            TokenLogprob(
                token="Hi",
                logprob=-0.25,
                bytes=(72, 105),
                top_logprobs=(
                    TopLogprob(token="Hi", logprob=-0.25, bytes=(72, 105)),
                    TopLogprob(token="Hé", logprob=-1.5, bytes=(72, 195, 169)),
                ),
            ),
            TokenLogprob(
                token=".",
                logprob=0.0,
                bytes=(46,),
                top_logprobs=(TopLogprob(token=".", logprob=0.0, bytes=(46,)),),
            ),
        ),
    ),
)


# --- requests


def request(*messages: Message, **options: Any) -> ChatRequest:
    return ChatRequest(model=MODEL, messages=messages or (user("Hi"),), **options)


def assistant(*parts: Part | str) -> Message:
    return user(*parts).model_copy(update={"role": "assistant"})


def tool(*results: ToolResult) -> Message:
    return Message(role="tool", parts=results)


def content(role: str, *parts: Any) -> Any:
    return {"role": role, "parts": list(parts)}


HELLO = content("user", {"text": "Hi"})
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = Tool(name="get_weather", description="The weather of a city", parameters=PARAMETERS)
CLOCK = Tool(name="get_time")
DECLARATIONS = [
    {
        "functionDeclarations": [
            {"name": "get_weather", "description": "The weather of a city", "parametersJsonSchema": PARAMETERS},
            {"name": "get_time", "description": ""},
        ]
    }
]


def with_choice(choice: ToolChoice, config: Any) -> Sent:
    return Sent(
        request=request(tools=(WEATHER, CLOCK), tool_choice=choice),
        json={"contents": [HELLO], "tools": DECLARATIONS, "toolConfig": {"functionCallingConfig": config}},
    )


ANSWERED = ToolCall(id="c1", name="get_weather", arguments='{"city":"Paris"}')
TIMED = ToolCall(id="c2", name="get_time", arguments="{}")

SENT = {
    "minimal": Sent(request=request(), json={"contents": [HELLO]}),
    "streamed": Sent(request=request(stream=True), json={"contents": [HELLO]}, path=STREAM_PATH),
    "everything": Sent(
        request=request(
            system="Be brief.",
            max_tokens=100,
            temperature=1.5,
            top_p=0.9,
            stop=("END", "STOP"),
            seed=7,
            reasoning_effort="low",
            presence_penalty=0.5,
            frequency_penalty=-0.5,
            logit_bias={"50256": -100},
            logprobs=True,
            top_logprobs=3,
            verbosity="low",
            user="user-1",
            metadata={"team": "blue"},
        ),
        json={
            "contents": [HELLO],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {
                "maxOutputTokens": 100,
                "temperature": 1.5,
                "topP": 0.9,
                "stopSequences": ["END", "STOP"],
                "seed": 7,
                "responseLogprobs": True,
                "logprobs": 3,
                "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
            },
        },
    ),
    "multi_turn": Sent(
        request=request(
            user("Hi"),
            assistant("Hello"),
            Message(role="system", parts=(Text(text="Now in German."),)),
            user("How are you?"),
        ),
        json={
            "contents": [
                HELLO,
                content("model", {"text": "Hello"}),
                content("user", {"text": "Now in German."}, {"text": "How are you?"}),
            ]
        },
    ),
    "tools": Sent(
        request=request(tools=(WEATHER, CLOCK), parallel_tool_calls=False),
        json={"contents": [HELLO], "tools": DECLARATIONS},
    ),
    "tool_choice_auto": with_choice("auto", {"mode": "AUTO"}),
    "tool_choice_none": with_choice("none", {"mode": "NONE"}),
    "tool_choice_required": with_choice("required", {"mode": "ANY"}),
    "tool_choice_named": with_choice(NamedTool(name="get_time"), {"mode": "ANY", "allowedFunctionNames": ["get_time"]}),
    "tools_strict": Sent(
        request=request(tools=(WEATHER.model_copy(update={"strict": True}), CLOCK)),
        json={
            "contents": [HELLO],
            "tools": DECLARATIONS,
            "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
        },
    ),
    "tool_results": Sent(
        request=request(
            user("Weather and time?"),
            assistant("One moment.", ANSWERED, TIMED),
            tool(ToolResult(call_id="c2", name="get_time", content=(Text(text="12:00"),))),
            tool(ToolResult(call_id="c1", name="get_weather", content=(Text(text='{"sky":'), Text(text='"blue"}')))),
            user("So?"),
        ),
        json={
            "contents": [
                content("user", {"text": "Weather and time?"}),
                content(
                    "model",
                    {"text": "One moment."},
                    {
                        "functionCall": {"id": "c1", "name": "get_weather", "args": {"city": "Paris"}},
                        "thoughtSignature": PLACEHOLDER,
                    },
                    {"functionCall": {"id": "c2", "name": "get_time", "args": {}}},
                ),
                content(
                    "user",
                    {
                        "functionResponse": {
                            "id": "c1",
                            "name": "get_weather",
                            "response": {"output": '{"sky":\n"blue"}'},
                        }
                    },
                    {"functionResponse": {"id": "c2", "name": "get_time", "response": {"output": "12:00"}}},
                ),
                content("user", {"text": "So?"}),
            ]
        },
    ),
    "image_inline": Sent(
        request=request(user("What is it?", Image(source=Inline(media_type="image/png", data=PNG), detail="low"))),
        json={
            "contents": [
                content("user", {"text": "What is it?"}, {"inlineData": {"mimeType": "image/png", "data": PNG}})
            ]
        },
    ),
    "audio_and_file": Sent(
        request=request(
            user(
                Audio(data="SUQzBAA=", format="mp3"),
                File(source=Inline(media_type="application/pdf", data="JVBERi0="), name="a.pdf"),
            )
        ),
        json={
            "contents": [
                content(
                    "user",
                    {"inlineData": {"mimeType": "audio/mp3", "data": "SUQzBAA="}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
                )
            ]
        },
    ),
    "json_object": Sent(
        request=request(response_format=JsonObjectFormat()),
        json={"contents": [HELLO], "generationConfig": {"responseMimeType": "application/json"}},
    ),
    "json_schema": Sent(
        request=request(
            response_format=JsonSchemaFormat(
                name="city",
                json_schema={
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "title": "City",
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "minLength": 1},
                        "kind": {"const": "city"},
                        "at": {"$ref": "#/$defs/Place", "description": "where"},
                    },
                    "required": ["name", "kind", "at"],
                    "additionalProperties": False,
                    "$defs": {"Place": {"type": "object", "properties": {"lat": {"type": "number"}}}},
                },
                strict=True,
            )
        ),
        json={
            "contents": [HELLO],
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "kind": {"type": "string", "enum": ["city"]},
                        "at": {"type": "object", "properties": {"lat": {"type": "number"}}, "description": "where"},
                    },
                    "required": ["name", "kind", "at"],
                    "additionalProperties": False,
                },
            },
        },
    ),
    "reasoning_round_trip": Sent(
        request=request(
            user("Weather in Oslo?"),
            assistant(*REASONING.means.candidates[0].parts),
            tool(
                ToolResult(call_id=f"call_{RESPONSE_ID}_0_0", name="get_weather", content=(Text(text="snow"),)),
                ToolResult(call_id=f"call_{RESPONSE_ID}_0_1", name="get_time", content=(Text(text="noon"),)),
            ),
        ),
        json={
            "contents": [
                content("user", {"text": "Weather in Oslo?"}),
                content(
                    "model",
                    {"text": "**Weighing it**\n\nI need the weather.\n\n\n", "thought": True},
                    {
                        "functionCall": {
                            "id": f"call_{RESPONSE_ID}_0_0",
                            "name": "get_weather",
                            "args": {"city": "Oslo"},
                        },
                        "thoughtSignature": SIGNATURE,
                    },
                    {"functionCall": {"id": f"call_{RESPONSE_ID}_0_1", "name": "get_time", "args": {}}},
                ),
                content(
                    "user",
                    {
                        "functionResponse": {
                            "id": f"call_{RESPONSE_ID}_0_0",
                            "name": "get_weather",
                            "response": {"output": "snow"},
                        }
                    },
                    {
                        "functionResponse": {
                            "id": f"call_{RESPONSE_ID}_0_1",
                            "name": "get_time",
                            "response": {"output": "noon"},
                        }
                    },
                ),
            ]
        },
    ),
}


# --- errors


def error(code: int, status: str, message: str, *details: Any) -> Any:
    value: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": {**value, "details": list(details)} if details else value}


BAD_KEY_DETAIL = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}
QUOTA_MESSAGE = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits.\nPlease retry in 36.9s."
)
QUOTA = error(
    429,
    "RESOURCE_EXHAUSTED",
    QUOTA_MESSAGE,
    {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
            {
                "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            }
        ],
    },
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36.9s"},
)
OVERLOADED = error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
FAILURES = {
    "bad_request": Failure(
        status=400,
        body=body(error(400, "INVALID_ARGUMENT", "Logprobs is not enabled for this model")),
        raises=UpstreamRejected,
        message="Logprobs is not enabled for this model",
    ),
    "bad_request_in_an_array": Failure(
        status=400,
        body=body([error(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum")]),
        raises=ContextTooLong,
        message="The input token count exceeds the maximum",
    ),
    "bad_key": Failure(
        status=403,
        body=body(error(403, "PERMISSION_DENIED", "Your API key AIzaSyXX was reported as leaked.")),
        raises=CredentialsRefused,
        secret="leaked",
    ),
    "bad_key_as_400": Failure(
        status=400,
        body=body(error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", BAD_KEY_DETAIL)),
        raises=CredentialsRefused,
        secret="API key",
    ),
    "no_billing": Failure(
        status=400,
        body=body(error(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")),
        raises=CredentialsRefused,
        secret="location",
    ),
    "no_credit": Failure(
        status=402,
        body=body(error(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.")),
        raises=InsufficientQuota,
        secret="prepayment",
    ),
    "rate_limited": Failure(status=429, body=body(QUOTA), raises=UpstreamRateLimited, retry_after=37, secret="billing"),
    "rate_limited_with_header": Failure(
        status=429,
        body=body(error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).")),
        raises=UpstreamRateLimited,
        headers={"retry-after": "12"},
        retry_after=12,
    ),
    "unknown_model": Failure(
        status=404,
        body=body(error(404, "NOT_FOUND", "models/gemini-x is not found for API version v1beta.")),
        raises=ModelNotFound,
    ),
    "server_error": Failure(
        status=500, body=body(error(500, "INTERNAL", "An internal error has occurred.")), raises=UpstreamError
    ),
    "overloaded": Failure(status=503, body=body(OVERLOADED), raises=UpstreamOverloaded, retry_after=5),
    "deadline": Failure(
        status=504,
        body=body(error(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.")),
        raises=UpstreamTimeout,
    ),
    "html": Failure(
        status=502,
        body=b"<!DOCTYPE html>\n<html lang=en><title>Error 502 (Server Error)!!1</title></html>",
        raises=UpstreamError,
        secret="html",
    ),
}


# --- the SDK's types


def validate_request(value: Any) -> None:
    """Every field has to be known to the SDK, except the body itself, which it has no type for."""
    for item in value["contents"]:
        types.Content.model_validate(item)
    types.Content.model_validate(value.get("systemInstruction", {}))
    for item in value.get("tools", ()):
        types.Tool.model_validate(item)
    types.ToolConfig.model_validate(value.get("toolConfig", {}))
    types.GenerationConfig.model_validate(value.get("generationConfig", {}))
    types.ServiceTier(value.get("serviceTier", "standard"))
    known = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier"}
    assert value.keys() <= known


def validate_answer(value: Any) -> None:
    counts = dict(value["usageMetadata"])
    counts.pop("serviceTier", None)  # sent by the service, not yet in the SDK's type
    types.GenerateContentResponse.model_validate({**value, "usageMetadata": counts})


def validate_chunk(value: Any) -> None:
    """A chunk is an answer, or the error that ends a stream."""
    if "error" not in value:
        validate_answer(value)


wire = ChatWire(
    adapter="gemini",
    model=MODEL,
    env={"GEMINI_API_KEY": "AIza-test-key", "GEMINI_BASE_URL": "https://vendor.test"},
    path=PATH,
    stream_path=STREAM_PATH,
    auth=("x-goog-api-key", "AIza-test-key"),
    answers={
        "text": TEXT,
        "signed_text": SIGNED_TEXT,
        "tools": TOOLS,
        "length": LENGTH,
        "thought_away": THOUGHT_AWAY,
        "content_filter": CONTENT_FILTER,
        "blocked_prompt": BLOCKED_PROMPT,
        "usage": USAGE,
        "reasoning": REASONING,
        "logprobs": LOGPROBS,
    },
    sent=SENT,
    failures=FAILURES,
    midstream_error=stream(response([{"text": "Once upon"}], FIRST), OVERLOADED),
    midstream_raises=UpstreamOverloaded,
    validate_request=validate_request,
    validate_answer=validate_answer,
    validate_chunk=validate_chunk,
)
