"""Bedrock's own parts: signatures, binary frames, exceptions, and a scripted service that AWS's SDK takes for it."""

import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError

from shared.catalog import Catalog
from shared.errors import (
    CredentialsRefused,
    GatewayError,
    UnsupportedFeature,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
)
from shared.framing import Frame
from shared.gateway.chat import chat, chat_events
from shared.gateway.embeddings import embed
from shared.gateway.services import Services
from shared.providers.bedrock.chat import adapter
from shared.providers.bedrock.event_stream import EXCEPTION, EventStreamDecoder
from shared.schemas.chat import ChatRequest, ChatResponse, NamedTool, Tool
from shared.schemas.content import CachePoint, File, Image, Message, Reasoning, Remote, Text, ToolCall, ToolResult
from shared.schemas.embedding import EmbeddingRequest
from shared.schemas.events import collect
from shared.schemas.model import Model
from shared.settings import Settings
from shared.stores.keys import KeyStore
from tests.client import make_services, stream_of
from tests.providers.canonical import assistant, result, user
from tests.providers.open_gateway import OpenGateway, context
from tests.providers.operations.bedrock import COHERE, COHERE_BODY
from tests.providers.operations.bedrock import embeddings as embeddings_wire
from tests.providers.scripted_bedrock import ScriptedBedrock, scripted_bedrock, signature
from tests.providers.wires import bedrock
from tests.providers.wires.bedrock import CREDENTIALS, ENVIRONMENT, MODEL, STARTED, exception, framed, message

pytestmark = pytest.mark.anyio

TEXT, TOOLS = bedrock.wire.answers["text"], bedrock.wire.answers["tools"]
EVENT_STREAM = {"content-type": "application/vnd.amazon.eventstream"}


def question(model: str = MODEL, *, stream: bool = False, **more: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=more.pop("messages", (user("Hello"),)), stream=stream, **more)


def body_for(request: ChatRequest) -> Any:
    """What the vendor gets for a request."""
    return adapter.call(request, model_of(request.model)).json


def model_of(name: str) -> Model:
    return Catalog.load(Settings.from_environment(ENVIRONMENT)).find(name)


# --- frames -----------------------------------------------------------------------------------------------------------


def decoded(*chunks: bytes) -> list[Frame]:
    decoder = EventStreamDecoder()
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


def headered(kind: int, value: bytes) -> bytes:
    """A message with one header of any type before that which names the event."""
    header = b"\x01x" + bytes([kind]) + value
    named = message(b"{}", {":message-type": "event", ":event-type": "messageStop"})
    head = header + named[12:-6]
    return framed(head, b"{}")


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("answer", bedrock.wire.answers)
def test_botocores_decoder_reads_the_same_frames(answer: str) -> None:
    """B02."""
    stream = bedrock.wire.answers[answer].stream
    reference = EventStreamBuffer()
    reference.add_data(stream)
    assert decoded(stream) == [Frame(each.payload, each.headers[":event-type"]) for each in reference]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((0, b""), (1, b""), (2, b"\x01"), (3, b"\x00\x01"), (4, bytes(4)), (5, bytes(8)), (8, bytes(8))),
        *((6, b"\x00\x03abc"), (7, b"\x00\x03abc"), (9, bytes(16))),
    ],
)
def test_headers_of_every_type_are_read_past(kind: int, value: bytes) -> None:
    data = headered(kind, value)
    reference = EventStreamBuffer()
    reference.add_data(data)
    assert [each.headers[":event-type"] for each in reference] == ["messageStop"]
    assert decoded(data) == [Frame(b"{}", "messageStop")]


def test_every_flipped_bit_is_detected() -> None:
    """B02."""
    data = bedrock.wire.answers["length"].stream
    for bit in range(len(data) * 8):
        with pytest.raises(UpstreamIncomplete, match="corrupt"):
            decoded(flipped(data, bit))


@pytest.mark.parametrize(
    "head",
    [b"\x05ab", b"\x01x\x0b", b"\x01x\x07\x00\x09abc", b"\x01x\x04\x00", b"\x01\xff\x07\x00\x01a", b"\x01x"],
    ids=["name", "type", "string", "integer", "no text", "end"],
)
def test_headers_that_do_not_fit_are_corrupt(head: bytes) -> None:
    with pytest.raises(UpstreamIncomplete, match="corrupt"):
        decoded(framed(head, b"{}"))


def test_frames_before_a_corrupt_message_are_delivered() -> None:
    corrupt = flipped(STARTED, 8 * (len(STARTED) - 5))
    decoder = EventStreamDecoder()
    frames = iter(decoder.feed(STARTED + STARTED + corrupt))
    assert [next(frames).event, next(frames).event] == ["messageStart", "messageStart"]
    with pytest.raises(UpstreamIncomplete):
        next(frames)


def test_messages_of_other_kinds_are_told_apart() -> None:
    failed = message(b"", {":message-type": "error", ":error-code": "InternalError", ":error-message": "Oh"})
    unknown = message(b"{}", {":message-type": "greeting"})
    assert decoded(unknown + failed + exception("throttlingException", "Slow")) == [
        Frame(b"Oh", f"{EXCEPTION}InternalError"),
        Frame(b'{"message": "Slow"}', f"{EXCEPTION}throttlingException"),
    ]


# --- exceptions inside a stream ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "raised"),
    [
        (exception("internalServerException", "Internal"), UpstreamError),
        (exception("modelStreamErrorException", "The stream failed"), UpstreamError),
        (exception("throttlingException", "Too many tokens"), UpstreamRateLimited),
        (exception("serviceUnavailableException", "Try later"), UpstreamOverloaded),
        (exception("validationException", "messages: wrong"), UpstreamRejected),
        (exception("accessDeniedException", "User is not authorized to do this"), CredentialsRefused),
        (exception("exceptionOfTomorrow", "?"), UpstreamError),
        (message(b"", {":message-type": "error", ":error-code": "x", ":error-message": "y"}), UpstreamError),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value.__name__,
)
async def test_an_exception_inside_a_stream_is_that_error(
    broken: bytes, raised: type[GatewayError], open_gateway: OpenGateway
) -> None:
    """B03."""
    pieces = [STARTED, broken]
    services = open_gateway(bedrock.wire, lambda request: httpx.Response(200, content=stream_of(pieces)))
    with pytest.raises(GatewayError) as caught:
        await collect(chat_events(services, [question(stream=True)], context()))
    assert type(caught.value) is raised


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_bedrock_could_not_parse_is_a_bad_gateway(
    reason: str, stream: bool, open_gateway: OpenGateway
) -> None:
    counts = bedrock.counts(3, 4)
    streamed = b"".join([STARTED, *bedrock.texts(0, "{"), *bedrock.ended(reason, counts)])
    content = streamed if stream else bedrock.body([{"text": "{"}], reason, counts)
    services = open_gateway(bedrock.wire, lambda request: httpx.Response(200, content=content))
    with pytest.raises(UpstreamIncomplete):
        await collect(chat_events(services, [question(stream=stream)], context()))


async def test_a_stream_needs_its_stop_reason_and_its_usage(open_gateway: OpenGateway) -> None:
    """B02. Some models send the usage first."""
    stop, metadata = bedrock.ended("end_turn", bedrock.counts(3, 4))
    for ending, complete in ([[stop], False], [[metadata], False], [[metadata, stop], True], [[stop, metadata], True]):
        pieces = [STARTED, *bedrock.texts(0, "Hi"), *ending]
        services = open_gateway(
            bedrock.wire, lambda request, pieces=pieces: httpx.Response(200, content=b"".join(pieces))
        )
        asking = collect(chat_events(services, [question(stream=True)], context()))
        if complete:
            assert (await asking).usage.output_tokens == 4
        else:
            with pytest.raises(UpstreamIncomplete):
                await asking


async def test_events_and_blocks_of_tomorrow_are_skipped(open_gateway: OpenGateway) -> None:
    start = {
        "contentBlockIndex": 1,
        "start": {"toolUse": {"toolUseId": "s", "name": "search", "type": "server_tool_use"}},
    }
    pieces = [
        STARTED,
        bedrock.event("eventOfTomorrow", {"x": 1}),
        bedrock.event("contentBlockStart", start),
        *bedrock.deltas(1, {"toolUse": {"input": "{}"}}, {"citation": {"title": "t"}}, {"toolResult": [{"text": "r"}]}),
        bedrock.stopped(1),
        *bedrock.texts(2, "Hi"),
        *bedrock.ended("end_turn", bedrock.counts(3, 4)),
    ]
    services = open_gateway(bedrock.wire, lambda request: httpx.Response(200, content=b"".join(pieces)))
    response = await collect(chat_events(services, [question(stream=True)], context()))
    assert response.candidates[0].parts == (Text(text="Hi"),)


# --- what other models take -------------------------------------------------------------------------------------------

_TIME = Tool(name="get_time", strict=True)
_DOCUMENT = File(source=Remote(url="https://example.com/a.pdf"))


def test_results_stand_alone_where_a_model_refuses_anything_beside_them() -> None:
    asked = question(
        "mistral.mistral-large-3-675b-instruct",
        messages=(
            user("Time?"),
            assistant(ToolCall(id="call_1", name="get_time", arguments="{}")),
            result("call_1", "get_time", Text(text="9:00")),
            user("And now?"),
        ),
        tools=(_TIME,),
    )
    roles = [(turn["role"], next(iter(turn["content"][0]))) for turn in body_for(asked)["messages"]]
    assert roles == [
        ("user", "text"),
        ("assistant", "toolUse"),
        ("user", "toolResult"),
        ("assistant", "text"),
        ("user", "text"),
    ]
    called, resulting = (body_for(asked)["messages"][at]["content"][0] for at in (1, 2))
    assert called["toolUse"]["toolUseId"] == resulting["toolResult"]["toolUseId"]
    assert len(called["toolUse"]["toolUseId"]) == 9


@pytest.mark.parametrize(
    ("model", "status"), [(MODEL, "error"), ("amazon.nova-pro-v1:0", "error"), ("deepseek.v3.2", None)]
)
def test_a_tools_failure_is_told_where_the_model_knows_of_it(model: str, status: str | None) -> None:
    failed = ToolResult(call_id="t", name="get_time", content=(Text(text="No clock"),), is_error=True)
    turns = (
        user("Time?"),
        assistant(ToolCall(id="t", name="get_time", arguments="{}")),
        Message(role="tool", parts=(failed,)),
    )
    blocks = body_for(question(model, messages=turns, tools=(_TIME,)))["messages"][2]["content"]
    assert blocks[0]["toolResult"].get("status") == status


@pytest.mark.parametrize(("model", "strict"), [(MODEL, True), ("anthropic.claude-sonnet-5-5", None)])
def test_a_strict_tool_is_strict_where_the_model_takes_it(model: str, strict: bool | None) -> None:
    (tool,) = body_for(question(model, tools=(_TIME,)))["toolConfig"]["tools"]
    assert tool["toolSpec"].get("strict") is strict


def test_no_call_is_asked_for_in_words_where_a_model_has_no_such_choice() -> None:
    called = (user("?"), assistant(ToolCall(id="t", name="get_time", arguments="{}")), result("t", "get_time"))
    body = body_for(question("amazon.nova-pro-v1:0", messages=called, tools=(_TIME,), tool_choice="none"))
    assert body["system"] == [{"text": "Answer without calling a tool."}]
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["get_time"]
    assert "additionalModelRequestFields" not in body


@pytest.mark.parametrize(
    ("model", "returned"),
    [(MODEL, ["signed", "sealed"]), ("openai.gpt-6-sol", ["rsn_"]), ("deepseek.v3.2", [])],
)
def test_reasoning_is_returned_to_the_family_that_it_came_from(model: str, returned: list[str]) -> None:
    parts = (
        Reasoning(text="signed", signature="s", issuer="bedrock"),
        Reasoning(signature="c2VhbGVk", redacted=True, issuer="bedrock"),  # "sealed"
        Reasoning(signature="cnNuX3NlYWxlZA==", redacted=True, issuer="bedrock"),  # "rsn_sealed"
        Reasoning(signature="not base64", redacted=True, issuer="openai"),
    )
    turn = body_for(question(model, messages=(user("?"), assistant(*parts, "Hi"), user("?"))))["messages"][1]
    found = [block["reasoningContent"] for block in turn["content"] if "reasoningContent" in block]
    assert len(found) == len(returned)


def fields_for(model: str, **more: Any) -> Any:
    return body_for(question(model, **more)).get("additionalModelRequestFields")


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        ("anthropic.claude-haiku-5-5", None, None),
        (
            "anthropic.claude-haiku-5-5",
            "minimal",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}},
        ),
        ("anthropic.claude-haiku-5-5", "none", {"thinking": {"type": "disabled"}}),
        ("anthropic.claude-sonnet-5-5", "none", {"thinking": {"type": "between_tools"}}),
        ("anthropic.claude-opus-5-5", "none", {"output_config": {"effort": "low"}}),
        ("openai.gpt-6-sol", "none", {"reasoning": {"effort": "none"}}),
        ("openai.gpt-6-sol", "minimal", {"reasoning": {"effort": "low"}}),
        ("openai.gpt-6-sol", "max", {"reasoning": {"effort": "xhigh"}}),
        ("openai.gpt-oss-120b-1:0", "none", {"reasoning_effort": "low"}),
        ("openai.gpt-oss-120b-1:0", "xhigh", {"reasoning_effort": "high"}),
        ("amazon.nova-2-lite-v1:0", "low", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ("amazon.nova-2-lite-v1:0", "none", None),
        ("amazon.nova-pro-v1:0", "high", None),
        ("deepseek.v3.2", "high", None),
    ],
)
def test_an_effort_is_asked_for_in_the_words_of_the_models_vendor(
    model: str, effort: Any, fields: dict[str, Any] | None
) -> None:
    """B01."""
    assert fields_for(model, reasoning_effort=effort) == fields


def test_novas_highest_effort_has_no_limits_and_a_limit_keeps_it_from_it() -> None:
    asked = {"reasoning_effort": "high", "temperature": 0.5}
    unlimited = body_for(question("amazon.nova-2-lite-v1:0", **asked))
    assert unlimited["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "high"
    assert "inferenceConfig" not in unlimited
    limited = body_for(question("amazon.nova-2-lite-v1:0", max_tokens=50, **asked))
    assert limited["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "medium"
    assert limited["inferenceConfig"] == {"maxTokens": 50, "temperature": 0.5}


def test_a_budget_for_thinking_is_kept_or_refused() -> None:
    budget = {"reasoning_effort": "medium", "reasoning_budget": 2000}
    thinking = fields_for(MODEL, max_tokens=4000, **budget)["thinking"]
    assert thinking == {"type": "enabled", "budget_tokens": 2000}
    with pytest.raises(GatewayError, match="max_tokens"):
        body_for(question(max_tokens=1500, **budget))


def test_a_model_that_does_not_think_has_no_room_for_it() -> None:
    """Thinking would be refused in a turn that began without it."""
    messages = (user("?"), assistant(ToolCall(id="t", name="get_time", arguments="{}")), result("t", "get_time"))
    asked = question(messages=messages, reasoning_effort="low", max_tokens=1024, thinking_tokens=8192)
    assert body_for(asked)["inferenceConfig"] == {"maxTokens": 1024}


def test_changed_history_before_thoughts_that_are_bound_to_it_is_no_error() -> None:
    said = assistant(Reasoning(text="Hm", signature="s", issuer="bedrock"), "Hi")
    fields = fields_for("anthropic.claude-sonnet-5-5", messages=(user("?"), said, user("?")))
    binding = {"prefix_mismatch_behavior": "drop_block"}
    assert fields == {
        "anthropic_beta": ["thinking-binding-controls-2026-08-01"],
        "thinking": {"type": "adaptive", "block_binding": binding},
    }


@pytest.mark.parametrize(("model", "kept"), [("amazon.nova-pro-v1:0", 1), ("deepseek.v3.2", 0)])
def test_cache_points_are_for_models_that_have_them(model: str, kept: int) -> None:
    point = CachePoint(ttl="1h")
    tool = _TIME.model_copy(update={"cache": point})
    body = body_for(question(model, messages=(user(Text(text="Long", cache=point)),), tools=(tool,)))
    points = [block for block in body["messages"][0]["content"] if "cachePoint" in block]
    assert points == [{"cachePoint": {"type": "default"}}] * kept
    assert all("toolSpec" in block for block in body["toolConfig"]["tools"])


@pytest.mark.parametrize(
    ("tier", "sent"),
    [("flex", {"type": "flex"}), ("priority", {"type": "priority"}), ("scale", {"type": "reserved"}), ("auto", None)],
)
def test_a_service_tier_goes_by_bedrocks_name(tier: Any, sent: Any) -> None:
    assert body_for(question("amazon.nova-pro-v1:0", service_tier=tier)).get("serviceTier") == sent


async def test_the_tier_that_has_served_is_told(open_gateway: OpenGateway) -> None:
    told = {**json.loads(TEXT.body), "serviceTier": {"type": "priority"}}
    services = open_gateway(bedrock.wire, lambda request: httpx.Response(200, json=told))
    assert (await chat(services, [question()], context())).service_tier == "priority"


def test_sampling_and_stops_are_left_out_where_a_model_refuses_them() -> None:
    asked = {"temperature": 0.5, "top_p": 0.9, "stop": ("END",), "max_tokens": 9}
    assert body_for(question("openai.gpt-6-sol", **asked))["inferenceConfig"] == {"maxTokens": 9}
    assert body_for(question("amazon.nova-pro-v1:0", **asked))["inferenceConfig"] == {
        "maxTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    }


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"temperature": 1.5}, "temperature"),
        ({"logprobs": True}, "logprobs"),
        ({"image_output": True}, "image output"),
        ({"messages": (user(_DOCUMENT),)}, "by URL"),
        ({"messages": (user(Image(source=Remote(url="https://example.com/a.png"))),)}, "by URL"),
        ({"messages": ()}, "messages"),
    ],
)
def test_what_a_model_cannot_take_is_refused(asked: dict[str, Any], word: str) -> None:
    with pytest.raises(GatewayError, match=word) as raised:
        body_for(question(**asked))
    assert raised.value.status == 400


def test_a_forced_tool_is_refused_where_the_model_cannot_be_forced() -> None:
    for choice in ("required", NamedTool(name="get_time")):
        with pytest.raises(UnsupportedFeature, match="tool_choice"):
            body_for(question("anthropic.claude-opus-5-5", tools=(_TIME,), tool_choice=choice))


# --- signatures and credentials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [CREDENTIALS["AWS_SESSION_TOKEN"], None], ids=["token", "no token"])
@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        "bedrock/arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
        "mistral.ministral-3-14b-instruct",
    ],
)
@pytest.mark.parametrize("base_url", ["https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com", None])
async def test_a_request_is_signed_as_botocore_signs_it(
    model: str, base_url: str | None, token: str | None, keys: KeyStore
) -> None:
    """B07."""
    seen: list[httpx.Request] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=TEXT.body)

    environment = {name: value for name, value in ENVIRONMENT.items() if name != "BEDROCK_BASE_URL"}
    if base_url:
        environment["BEDROCK_BASE_URL"] = base_url
    if token is None:
        del environment["AWS_SESSION_TOKEN"]
    services = make_services(keys, environment, vendor)
    await chat(services, [question(model)], context())
    await services.aclose()
    (request,) = seen
    assert f"{request.url.scheme}://{request.url.host}" == base_url or request.url.host == (
        "bedrock-runtime.eu-west-1.amazonaws.com"
    )
    headers = dict(request.headers)
    assert ("x-amz-security-token" in headers) is (token is not None)
    expected = signature("POST", str(request.url), headers, request.content, "eu-west-1", token=token)
    assert headers["authorization"] == expected
    assert "host" in expected
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in repr(services.__dict__)


async def test_a_bedrock_api_key_stands_in_for_a_signature(keys: KeyStore) -> None:
    seen: list[httpx.Request] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=TEXT.body)

    services = make_services(keys, {**ENVIRONMENT, "AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-x"}, vendor)
    await chat(services, [question()], context())
    assert seen[0].headers["authorization"] == "Bearer bedrock-api-key-x"
    assert "x-amz-date" not in seen[0].headers


async def test_without_credentials_the_operator_is_told_and_nothing_is_sent(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, log: list[dict[str, Any]]
) -> None:
    """B03."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-embedded-aws's")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    services = make_services(keys, {"BEDROCK_REGION": "eu-west-1"})
    with pytest.raises(CredentialsRefused) as raised:
        await chat(services, [question()], context())
    assert raised.value.unsent
    assert "NoCredentials" in log[-1]["advice"]
    assert "NoCredentials" not in raised.value.message


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("no_permission", ("bedrock:InvokeModelWithResponseStream", "parameter Bedrock", "123456789012")),
        ("not_enabled", ("Enable the model", "use case details have not been submitted")),
        ("legacy", ("living model", "Legacy")),
        ("expired_token", ("its clock", "expired")),
        ("quota", ("Service Quotas",)),
    ],
)
async def test_the_operators_log_says_what_to_enable(
    failure: str, words: Sequence[str], open_gateway: OpenGateway, log: list[dict[str, Any]]
) -> None:
    """B03."""
    data = bedrock.FAILURES[failure]
    answer = httpx.Response(data.status, headers=dict(data.headers), content=data.body)
    with pytest.raises(GatewayError) as raised:
        await chat(open_gateway(bedrock.wire, lambda request: answer), [question()], context())
    for word in words:
        assert word in log[-1]["advice"]
        assert word not in raised.value.message


@pytest.fixture
def log() -> Iterator[list[dict[str, Any]]]:
    """What was logged besides the messages."""
    from shared.observability import logger

    lines: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.__dict__)

    handler = Handler()
    logger().addHandler(handler)
    yield lines
    logger().removeHandler(handler)


async def test_coheres_tokens_are_those_of_the_header(open_gateway: OpenGateway) -> None:
    """B05."""
    headers = {"x-amzn-bedrock-input-token-count": "17"}
    services = open_gateway(embeddings_wire, lambda request: httpx.Response(200, json=COHERE_BODY, headers=headers))
    response = await embed(services, EmbeddingRequest(COHERE, ("hello", "world")), context())
    assert response.usage.input_tokens == 17


# --- on loopback, beside AWS's SDK ------------------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[ScriptedBedrock]:
    with scripted_bedrock() as service:
        yield service


@asynccontextmanager
async def gateway_to(service: ScriptedBedrock, keys: KeyStore) -> AsyncIterator[Services]:
    """The gateway with real connections."""
    settings = Settings.from_environment({**ENVIRONMENT, "BEDROCK_BASE_URL": service.url})
    services = Services(settings, keys, aws=keys.aws)
    yield services
    await services.aclose()


@pytest.fixture
def sdk(service: ScriptedBedrock) -> Iterator[Any]:
    client = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=service.url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=CREDENTIALS["AWS_SESSION_TOKEN"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def sdk_message(events: Sequence[Any]) -> list[Any]:
    """The text and the tool calls of a stream that the SDK has read."""
    blocks: dict[int, Any] = {}
    for event in events:
        if start := event.get("contentBlockStart"):
            blocks[start["contentBlockIndex"]] = [start["start"]["toolUse"]["name"], ""]
        if delta := event.get("contentBlockDelta"):
            index, value = delta["contentBlockIndex"], delta["delta"]
            if "text" in value:
                blocks[index] = blocks.get(index, "") + value["text"]
            elif "toolUse" in value:
                blocks[index][1] += value["toolUse"]["input"]
    return [blocks[index] for index in sorted(blocks)]


def gateway_message(response: ChatResponse) -> list[Any]:
    return [
        [part.name, "" if part.arguments == "{}" else part.arguments] if isinstance(part, ToolCall) else part.text
        for part in response.candidates[0].parts
        if isinstance(part, ToolCall | Text)
    ]


@pytest.mark.parametrize("answer", ["text", "tools", "usage", "guardrail"])
async def test_the_gateway_reads_what_the_sdk_reads(
    answer: str, service: ScriptedBedrock, sdk: Any, keys: KeyStore
) -> None:
    """B01, B02, B07."""
    data = bedrock.wire.answers[answer]
    asked = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    service.respond(data.body)
    whole = sdk.converse(**asked)
    service.respond(*(data.stream[at : at + 7] for at in range(0, len(data.stream), 7)), headers=EVENT_STREAM)
    events = list(sdk.converse_stream(**asked)["stream"])
    async with gateway_to(service, keys) as services:
        streamed = await collect(chat_events(services, [question(stream=True)], context()))
        service.respond(data.body)
        assert await chat(services, [question()], context()) == streamed == data.means
    assert sdk_message(events) == gateway_message(streamed)
    assert whole["usage"]["outputTokens"] == events[-1]["metadata"]["usage"]["outputTokens"]
    assert whole["usage"]["outputTokens"] == streamed.usage.output_tokens
    assert [action for _, action, _ in service.asked] == ["converse", "converse-stream", "converse-stream", "converse"]


async def test_the_sdk_sees_the_same_errors(service: ScriptedBedrock, sdk: Any, keys: KeyStore) -> None:
    """B03."""
    asked = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    failure = bedrock.FAILURES["throttled"]
    service.respond(failure.body, status=failure.status, headers=failure.headers)
    with pytest.raises(ClientError) as refused:
        sdk.converse(**asked)
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    async with gateway_to(service, keys) as services:
        with pytest.raises(UpstreamRateLimited):
            await chat(services, [question()], context())
    service.respond(STARTED, exception("throttlingException", "Slow"), headers=EVENT_STREAM)
    stream = sdk.converse_stream(**asked)["stream"]
    with closing(stream), pytest.raises(EventStreamError, match="throttlingException"):
        list(stream)


async def test_a_signature_of_another_region_is_refused(service: ScriptedBedrock, keys: KeyStore) -> None:
    """B07."""
    service.region = "us-east-1"
    service.respond(TEXT.body)
    async with gateway_to(service, keys) as services:
        with pytest.raises(CredentialsRefused):
            await chat(services, [question()], context())


async def test_vectors_come_from_a_model_that_takes_one_text_a_call(service: ScriptedBedrock, keys: KeyStore) -> None:
    """B05."""
    service.respond(json.dumps({"embedding": [1.0, 2.0], "inputTextTokenCount": 3}).encode())
    async with gateway_to(service, keys) as services:
        request = EmbeddingRequest("amazon.titan-embed-text-v2:0", ("a", "b", "c"))
        response = await embed(services, request, context())
    assert [list(vector) for vector in response.vectors] == [[1.0, 2.0]] * 3
    assert response.usage.input_tokens == 9
    assert sorted(body["inputText"] for _, _, body in service.asked) == ["a", "b", "c"]
