"""What every chat provider must do, on bytes as they come over its wire."""

import json
from collections.abc import AsyncIterator, Callable
from importlib import import_module

import httpx
import pytest

from shared.errors import (
    GatewayError,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
)
from shared.gateway.chat import chat, chat_events
from shared.gateway.services import Services
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.content import Message, Text
from shared.schemas.events import Finished, Started, collect
from tests.client import stream_of
from tests.providers.open_gateway import OpenGateway, context
from tests.providers.wire import ChatWire

pytestmark = pytest.mark.anyio

NAMES = ["openai", "openai_responses", "anthropic", "gemini", "bedrock", "sandbox"]
WIRES: dict[str, ChatWire] = {name: import_module(f"tests.providers.wires.{name}").wire for name in NAMES}
REQUIRED_ANSWERS = {"text", "tools", "length", "content_filter", "usage"}
REQUIRED_SENT = {"minimal", "everything", "multi_turn", "tools", "tool_results", "image_inline", "json_schema"}
REQUIRED_FAILURES = {"bad_request", "bad_key", "rate_limited", "server_error", "overloaded", "html"}

of_each_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=NAMES)
of_each_answer = pytest.mark.parametrize(
    ("wire", "answer"),
    [(wire, answer) for wire in WIRES.values() for answer in wire.answers],
    ids=[f"{name}-{answer}" for name, wire in WIRES.items() for answer in wire.answers],
)
of_each_sent = pytest.mark.parametrize(
    ("wire", "sent"),
    [(wire, sent) for wire in WIRES.values() for sent in wire.sent],
    ids=[f"{name}-{sent}" for name, wire in WIRES.items() for sent in wire.sent],
)
of_each_failure = pytest.mark.parametrize(
    ("wire", "failure"),
    [(wire, failure) for wire in WIRES.values() for failure in wire.failures],
    ids=[f"{name}-{failure}" for name, wire in WIRES.items() for failure in wire.failures],
)


def question(wire: ChatWire, *, stream: bool = False) -> ChatRequest:
    message = Message(role="user", parts=(Text(text="Hello"),))
    return ChatRequest(model=wire.model, messages=(message,), max_tokens=100, stream=stream)


def answering(body: bytes, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, content=body)


def streaming(*chunks: bytes) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(200, content=stream_of(chunks))


async def streamed(services: Services, wire: ChatWire) -> ChatResponse:
    return await collect(chat_events(services, [question(wire, stream=True)], context()))


def frame_ends(wire: ChatWire, stream: bytes) -> list[int]:
    """The offsets at which an event of the stream is complete."""
    decoder = wire.decoder()
    return [at + 1 for at in range(len(stream)) if list(decoder.feed(stream[at : at + 1]))]


@of_each_wire
async def test_the_test_data_has_every_scenario(wire: ChatWire) -> None:
    assert wire.answers.keys() >= REQUIRED_ANSWERS
    assert wire.sent.keys() >= REQUIRED_SENT
    assert wire.failures.keys() >= REQUIRED_FAILURES


@of_each_answer
async def test_the_test_data_is_what_the_vendors_own_types_say(wire: ChatWire, answer: str) -> None:
    wire.validate_answer(json.loads(wire.answers[answer].body))
    for frame in wire.decoder().feed(wire.answers[answer].stream):
        if frame.data != b"[DONE]":
            wire.validate_chunk(wire.value_of(frame))


@of_each_answer
async def test_an_answer_means_the_same_whole_and_streamed(
    wire: ChatWire, answer: str, open_gateway: OpenGateway
) -> None:
    data = wire.answers[answer]
    whole = await chat(open_gateway(wire, answering(data.body)), [question(wire)], context())
    folded = await streamed(open_gateway(wire, streaming(data.stream)), wire)
    assert whole == data.means
    assert folded == data.means


@of_each_answer
async def test_a_stream_may_be_split_at_every_byte(wire: ChatWire, answer: str, open_gateway: OpenGateway) -> None:
    data = wire.answers[answer]
    single_bytes = [data.stream[at : at + 1] for at in range(len(data.stream))]
    assert await streamed(open_gateway(wire, streaming(*single_bytes)), wire) == data.means
    whole = list(wire.decoder().feed(data.stream))
    for at in range(len(data.stream)):
        decoder = wire.decoder()
        assert [*decoder.feed(data.stream[:at]), *decoder.feed(data.stream[at:])] == whole


@of_each_answer
async def test_a_stream_starts_once_and_finishes_each_candidate_once(
    wire: ChatWire, answer: str, open_gateway: OpenGateway
) -> None:
    data = wire.answers[answer]
    services = open_gateway(wire, streaming(data.stream))
    events = [event async for event in chat_events(services, [question(wire, stream=True)], context())]
    assert isinstance(events[0], Started)
    assert sum(isinstance(event, Started) for event in events) == 1
    finished = [event.index for event in events if isinstance(event, Finished)]
    assert sorted(finished) == [candidate.index for candidate in data.means.candidates]
    assert isinstance(events[-1], Finished)


@of_each_answer
async def test_a_stream_cut_off_is_an_error_and_never_a_shorter_answer(
    wire: ChatWire, answer: str, open_gateway: OpenGateway
) -> None:
    data = wire.answers[answer]
    ends = frame_ends(wire, data.stream)
    failed = 0
    for end in [0, *ends[:-1]]:
        try:
            folded = await streamed(open_gateway(wire, streaming(data.stream[:end])), wire)
        except UpstreamError:
            failed += 1
        else:  # what follows was only the vendor's goodbye
            assert folded.candidates == data.means.candidates
    assert failed >= len(ends) // 2


@of_each_wire
async def test_a_connection_that_breaks_mid_stream_is_an_error(wire: ChatWire, open_gateway: OpenGateway) -> None:
    stream = wire.answers["text"].stream

    async def breaking() -> AsyncIterator[bytes]:
        yield stream[: len(stream) // 2]
        raise httpx.ReadError("connection reset")

    services = open_gateway(wire, lambda request: httpx.Response(200, content=breaking()))
    with pytest.raises(UpstreamError):
        await streamed(services, wire)


@of_each_wire
async def test_an_error_inside_the_stream_is_that_error(wire: ChatWire, open_gateway: OpenGateway) -> None:
    with pytest.raises(wire.midstream_raises):
        await streamed(open_gateway(wire, streaming(wire.midstream_error)), wire)


@of_each_sent
async def test_a_request_reaches_the_vendor_as_its_own_types_want_it(
    wire: ChatWire, sent: str, open_gateway: OpenGateway
) -> None:
    data = wire.sent[sent]
    seen: list[httpx.Request] = []

    def upstream(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = wire.answers["text"]
        return httpx.Response(200, content=answer.stream if data.request.stream else answer.body)

    services = open_gateway(wire, upstream)
    if data.request.stream:
        await collect(chat_events(services, [data.request], context()))
    else:
        await chat(services, [data.request], context())
    body = json.loads(seen[0].content)
    assert body == data.json
    wire.validate_request(body)
    expected_path = data.path or (wire.stream_path if data.request.stream else wire.path)
    assert seen[0].url.raw_path.decode() == expected_path
    assert seen[0].headers["x-request-id"] == "r-1"
    name, value = wire.auth
    if name:
        assert seen[0].headers[name] == value
        assert value.split()[-1] not in str(seen[0].url)


@of_each_wire
async def test_a_streamed_call_goes_to_the_vendors_streaming_address(wire: ChatWire, open_gateway: OpenGateway) -> None:
    seen: list[str] = []

    def upstream(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, content=wire.answers["text"].stream)

    await streamed(open_gateway(wire, upstream), wire)
    assert seen == [wire.stream_path]


@of_each_failure
@pytest.mark.parametrize("stream", [False, True])
async def test_a_vendors_error_becomes_ours(
    wire: ChatWire, failure: str, stream: bool, open_gateway: OpenGateway
) -> None:
    data = wire.failures[failure]
    answer = httpx.Response(data.status, headers=dict(data.headers), content=data.body)
    services = open_gateway(wire, lambda request: answer)
    asking = streamed(services, wire) if stream else chat(services, [question(wire)], context())
    with pytest.raises(GatewayError) as raised:
        await asking
    assert type(raised.value) is data.raises
    if data.retry_after is not None:
        assert raised.value.retry_after == data.retry_after
    if isinstance(raised.value, RateLimited):
        assert raised.value.retry_after
        assert raised.value.retry_after >= 1
    assert (data.message or "") in raised.value.message
    assert data.secret is None or data.secret not in raised.value.message


@of_each_wire
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>oops</html>", b"[]", b"null", b'"x"', b"{}", b'{"choices":1}', b"[" * 100_000, b"\xff\xfe"],
    ids=["empty", "html", "list", "null", "string", "object", "wrong", "deep", "bytes"],
)
async def test_a_body_that_is_not_the_vendors_format_is_a_bad_gateway(
    wire: ChatWire, body: bytes, open_gateway: OpenGateway
) -> None:
    with pytest.raises(UpstreamError):
        await chat(open_gateway(wire, answering(body)), [question(wire)], context())


@of_each_wire
@pytest.mark.parametrize("data", [b"<html>", b"[]", b"null", b'"x"', b'{"choices":1,"candidates":1,"type":1}', b"\xff"])
async def test_a_stream_that_is_not_the_vendors_format_is_a_bad_gateway(
    wire: ChatWire, data: bytes, open_gateway: OpenGateway
) -> None:
    with pytest.raises(UpstreamError):
        await streamed(open_gateway(wire, streaming(b"data: " + data + b"\n\n")), wire)


@of_each_wire
async def test_a_vendor_that_cannot_be_reached_is_a_bad_gateway(wire: ChatWire, open_gateway: OpenGateway) -> None:
    def upstream(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route to 10.1.2.3", request=request)

    with pytest.raises(UpstreamError) as raised:
        await chat(open_gateway(wire, upstream), [question(wire)], context())
    assert "10.1.2.3" not in raised.value.message


@of_each_wire
async def test_a_vendor_that_does_not_answer_is_a_time_out(wire: ChatWire, open_gateway: OpenGateway) -> None:
    def upstream(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(UpstreamTimeout):
        await chat(open_gateway(wire, upstream), [question(wire)], context())
