"""What the attempts of one request hold of their key's limits, one after another."""

import math
from uuid import uuid4

import httpx
import pytest

from shared.gateway.chat import chat
from shared.schemas.caller import Caller, Permission
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Message, Text
from shared.schemas.context import Meter, RequestContext, RequestInfo
from shared.schemas.limits import Estimate, Limits
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.client import LIMITS, USAGE, make_services

pytestmark = pytest.mark.anyio
ENVIRONMENT = {"OPENAI_API_KEY": "sk-test", "MISTRAL_API_KEY": "sk-test"}
REQUEST = ChatRequest(model="mistral/mistral-small-latest", messages=(Message(role="user", parts=(Text(text="Hi"),)),))
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


async def test_what_an_attempt_has_cost_is_settled_before_the_next_takes_its_place(
    keys: KeyStore, aws_environment: dict[str, str]
) -> None:
    caller = Caller(
        key_id=f"key_{uuid4().hex}", tenant="t", permissions=frozenset(Permission), limits=Limits(concurrency=3)
    )
    others = LimitStore(Aws(aws_environment), LIMITS, USAGE)

    async def answer(request: httpx.Request) -> httpx.Response:
        if "mistral" not in request.url.host:
            return httpx.Response(200, json=ANSWER)
        for _ in range(2):  # of another process, which take what is free
            await others.reserve(caller, Estimate())
        return httpx.Response(200, content=b"unreadable, and so charged")

    services = make_services(keys, ENVIRONMENT, answer)
    meter = Meter(models=("gpt-4o-mini",), settling=[])
    response = await chat(services, [REQUEST], RequestContext(RequestInfo("r", math.inf), caller, meter))
    assert response.candidates[0].parts == (Text(text="Hello"),)
    assert [attempt.rpartition(";")[2] for attempt in meter.attempts] == ["unreadable", "200"]
    await services.aclose()
