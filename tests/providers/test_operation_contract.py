"""What every provider of images, embeddings, transcripts and speech must do, on bytes as they come over its wire."""

import json
from contextlib import aclosing
from email.parser import BytesParser
from importlib import import_module
from typing import Any

import httpx
import pytest

from shared.errors import GatewayError, UpstreamError, UpstreamTimeout
from shared.gateway import content, images
from shared.gateway.embeddings import embed
from shared.gateway.services import Services
from shared.gateway.speech import speak
from shared.gateway.transcription import transcribe
from tests.providers.open_gateway import OpenGateway, context
from tests.providers.operation_wire import FormFile, OperationWire

pytestmark = pytest.mark.anyio

NAMES = ["openai", "gemini", "mistral", "stability", "bedrock", "sandbox"]
WIRES: dict[str, OperationWire] = {
    f"{name}-{wire.operation}": wire
    for name in NAMES
    for wire in import_module(f"tests.providers.operations.{name}").wires
}
REQUIRED_FAILURES = {"bad_request", "bad_key", "rate_limited", "server_error", "html"}

# Any bytes may be audio, where a vendor answers with nothing else.
WITH_A_FORMAT = {key: wire for key, wire in WIRES.items() if key != "openai-speech"}
of_each_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


def each(group: str) -> pytest.MarkDecorator:
    """Every wire with each name in one of its mappings."""
    found = [(key, wire, name) for key, wire in WIRES.items() for name in getattr(wire, group)]
    return pytest.mark.parametrize(
        ("wire", "name"), [(wire, name) for _, wire, name in found], ids=[f"{key}-{name}" for key, _, name in found]
    )


async def ask(services: Services, wire: OperationWire, request: Any) -> Any:
    """The canonical response by the gateway's own door."""
    match wire.operation:
        case "images":
            return await images.generate(services, request, context(), delivery="b64_json")
        case "content":
            return await content.generate(services, request, context())
        case "embeddings":
            return await embed(services, request, context())
        case "transcription":
            return await transcribe(services, request, context())
        case "speech":
            async with aclosing(speak(services, request, context())) as chunks:
                return b"".join([chunk async for chunk in chunks])


def any_request(wire: OperationWire) -> Any:
    return next(iter(wire.answers.values())).request


def form_of(request: httpx.Request, body: bytes) -> list[tuple[str, str | FormFile]]:
    """The fields and files of a multipart body, in order, read by another library than the one that wrote them."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + body)
    parts: list[tuple[str, str | FormFile]] = []
    for part in message.get_payload():
        assert not isinstance(part, str)
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(content, bytes)
        filename = part.get_filename()
        value = content.decode() if filename is None else FormFile(filename, part.get_content_type(), content)
        parts.append((name, value))
    return parts


@of_each_wire
async def test_the_test_data_has_every_scenario(wire: OperationWire) -> None:
    required = REQUIRED_FAILURES | ({"moderated"} if wire.operation == "images" else set())
    assert wire.failures.keys() >= required
    assert wire.sent
    assert wire.answers


@each("answers")
async def test_the_test_data_is_what_the_vendors_own_types_say(wire: OperationWire, name: str) -> None:
    wire.validate_answer(wire.answers[name])


@each("answers")
async def test_an_answer_has_its_meaning(wire: OperationWire, name: str, open_gateway: OpenGateway) -> None:
    data = wire.answers[name]
    headers = {"content-type": data.content_type}
    services = open_gateway(wire, lambda request: httpx.Response(200, content=data.body, headers=headers))
    assert await ask(services, wire, data.request) == data.means


@each("sent")
async def test_the_vendor_gets_what_its_types_say(wire: OperationWire, name: str, open_gateway: OpenGateway) -> None:
    data = wire.sent[name]
    seen: list[tuple[httpx.Request, bytes]] = []

    async def vendor(request: httpx.Request) -> httpx.Response:
        seen.append((request, await request.aread()))
        return httpx.Response(500)

    with pytest.raises(GatewayError):
        await ask(open_gateway(wire, vendor), wire, data.request)  # type: ignore[arg-type]
    request, body = seen[0]
    assert request.url.raw_path.decode() == data.path or str(request.url).endswith(data.path)
    header, value = wire.auth
    assert request.headers.get(header, "") == value
    assert value.removeprefix("Bearer ") not in str(request.url) or not value
    if data.form is None:
        assert json.loads(body) == data.json
    else:
        assert form_of(request, body) == list(data.form)
    wire.validate_request(data)


@each("refused")
async def test_what_the_vendor_cannot_express_is_refused_before_it_is_asked(
    wire: OperationWire, name: str, open_gateway: OpenGateway
) -> None:
    def vendor(request: httpx.Request) -> httpx.Response:
        raise AssertionError("the vendor was asked")

    request, word = wire.refused[name]
    with pytest.raises(GatewayError) as caught:
        await ask(open_gateway(wire, vendor), wire, request)
    assert caught.value.status == 400
    assert word in caught.value.message


@each("failures")
async def test_a_failure_becomes_the_callers_error(wire: OperationWire, name: str, open_gateway: OpenGateway) -> None:
    data = wire.failures[name]
    services = open_gateway(wire, lambda request: httpx.Response(data.status, content=data.body, headers=data.headers))
    with pytest.raises(data.raises) as caught:
        await ask(services, wire, any_request(wire))
    assert type(caught.value) is data.raises
    if data.retry_after is not None:
        assert caught.value.retry_after == data.retry_after
    if data.message is not None:
        assert data.message in caught.value.message
    if data.secret is not None:
        assert data.secret not in caught.value.message


@of_each_wire
async def test_a_vendor_that_cannot_be_reached_is_a_bad_gateway(wire: OperationWire, open_gateway: OpenGateway) -> None:
    def vendor(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route to secret-host.internal")

    with pytest.raises(UpstreamError) as caught:
        await ask(open_gateway(wire, vendor), wire, any_request(wire))
    assert "secret-host" not in caught.value.message


@of_each_wire
async def test_a_vendor_that_is_slow_is_a_time_out(wire: OperationWire, open_gateway: OpenGateway) -> None:
    def vendor(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too slow")

    with pytest.raises(UpstreamTimeout):
        await ask(open_gateway(wire, vendor), wire, any_request(wire))


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"data":"x"}', b"<html>", b'{"candidates":[1]}'])
@pytest.mark.parametrize("wire", WITH_A_FORMAT.values(), ids=WITH_A_FORMAT)
async def test_a_body_that_is_not_the_vendors_format_is_a_bad_gateway(
    wire: OperationWire, body: bytes, open_gateway: OpenGateway
) -> None:
    services = open_gateway(wire, lambda request: httpx.Response(200, content=body))
    with pytest.raises(UpstreamError):
        await ask(services, wire, any_request(wire))


@of_each_wire
async def test_a_provider_that_holds_back_answers_with_its_error_and_no_other(
    wire: OperationWire, open_gateway: OpenGateway
) -> None:
    """However many calls a request takes, it fails as one."""
    services = open_gateway(wire, lambda request: httpx.Response(429, headers={"retry-after": "9"}))
    with pytest.raises(GatewayError) as caught:
        await ask(services, wire, any_request(wire))
    assert (caught.value.status, caught.value.retry_after) == (429, 9)
