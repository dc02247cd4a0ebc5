"""A body that may take long is read off the event loop, a small one at once."""

import threading

import pytest

from shared.schemas.context import Meter
from shared.web.body import json_body
from shared.web.http import Message, Request

pytestmark = pytest.mark.anyio


async def posted(body: bytes) -> tuple[bool, bool]:
    """Whether the body was parsed in another thread than the event loop's, and whether the request counts as heavy."""
    meter = Meter()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"headers": [(b"content-type", b"application/json")], "state": {"meter": meter}}
    parsed_in = await json_body(Request(scope, receive), 2**25, lambda fields: threading.get_ident(), "Send less.")
    return parsed_in != threading.get_ident(), meter.is_heavy


@pytest.mark.parametrize("body", [b"{}", b'{"a":"' + b"b" * 30_000 + b'"}'])
async def test_a_small_body_is_read_at_once(body: bytes) -> None:
    assert await posted(body) == (False, False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"' + b"b" * 40_000 + b'"}',
        b'{"a":[' + b"0," * 20_000 + b"0]}",
        b'{"tools":[{"$ref":"#"}]}',
        b'{"tools":[{"\\u0024ref":"#"}]}',
    ],
    ids=["long text", "many values", "a reference", "an escaped reference"],
)
async def test_a_body_that_may_take_long_is_read_in_a_thread(body: bytes) -> None:
    assert await posted(body) == (True, True)
