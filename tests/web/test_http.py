"""Requests and responses have the meaning that Starlette's have."""

from collections.abc import Mapping

import pytest
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.responses import StreamingResponse

from shared.web.http import ClientDisconnect, Message, Request, Response, Scope
from shared.web.json_response import LargeJson

pytestmark = pytest.mark.anyio
HEADERS = [(b"host", b"gateway"), (b"x-twice", b"first"), (b"x-twice", b"second"), (b"x-latin", b"caf\xe9")]


def scope(query: bytes = b"") -> Scope:
    return {"type": "http", "method": "GET", "path": "/", "headers": HEADERS, "query_string": query}


async def received() -> Message:
    raise AssertionError


def test_a_header_is_read_by_its_name_and_of_repeated_ones_the_first() -> None:
    ours, theirs = Request(scope(), received), StarletteRequest(scope())
    for name in ("host", "x-twice", "x-latin", "x-none"):
        assert ours.headers.get(name) == theirs.headers.get(name)


@pytest.mark.parametrize("query", [b"", b"a=1&a=2&b=", b"q=%C3%BC+x&c", b"limit=10&after=%2F", b"%zz=%"])
def test_a_query_is_read_as_starlette_reads_it(query: bytes) -> None:
    assert Request(scope(query), received).query_params == dict(StarletteRequest(scope(query)).query_params)


async def test_a_body_is_read_as_it_arrives() -> None:
    messages = [
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    assert [chunk async for chunk in Request(scope(), receive).stream()] == [b"a", b"b"]
    assert messages == []


async def test_a_client_that_leaves_before_its_body_is_there_is_noticed() -> None:
    messages = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(ClientDisconnect):
        assert [chunk async for chunk in Request(scope(), receive).stream()] == []


async def sent(response: Response | StarletteResponse) -> tuple[int, Mapping[bytes, bytes], bytes]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await response(scope(), received, send)  # type: ignore[arg-type]
    start, *bodies = messages
    assert not bodies[-1].get("more_body", False)
    return start["status"], dict(start["headers"]), b"".join(body["body"] for body in bodies)


@pytest.mark.parametrize("media_type", [None, "application/json", "text/plain", "text/event-stream", "image/png"])
@pytest.mark.parametrize(("body", "status"), [(b"hello", 200), (b"", 500), (b"", 204)])
async def test_a_response_is_sent_as_starlette_sends_it(body: bytes, status: int, media_type: str | None) -> None:
    headers = {"x-one": "1"}
    theirs = StarletteResponse(body, status, headers, media_type)
    assert await sent(Response(body, status, headers, media_type)) == await sent(theirs)


async def test_a_large_body_has_no_length_and_comes_in_chunks() -> None:
    body = {"data": [{"index": index, "text": "x" * 1000} for index in range(200)]}
    status, headers, content = await sent(LargeJson(body))
    theirs = StreamingResponse(iter([content]), media_type="application/json")
    assert (status, headers) == (theirs.status_code, dict(theirs.raw_headers))
    assert content.count(b'"index"') == 200
