"""A body that may take long is read off the event loop, a small one at once."""

import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from shared.errors import GatewayError
from shared.schemas.context import Meter
from shared.web.body import json_body

pytestmark = pytest.mark.anyio


async def posted(body: bytes) -> tuple[bool, bool]:
    """Whether the body was parsed in another thread than the event loop's, and whether the request counts as heavy."""
    app = FastAPI()
    meter = Meter()

    def parse(fields: Any) -> int:
        return threading.get_ident()

    @app.post("/")
    async def endpoint(request: Request) -> dict[str, bool]:
        request.scope.setdefault("state", {})["meter"] = meter
        try:
            parsed_in = await json_body(request, 2**25, parse, "Send less.")
        except GatewayError as error:
            return {"failed": bool(error.message)}
        return {"elsewhere": parsed_in != threading.get_ident()}

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.post("/", content=body, headers={"content-type": "application/json"})
    return answer.json()["elsewhere"], meter.is_heavy


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
