"""Requests of the Responses API to OpenAI's own models: they go out as they came, and cost what is known."""

import json
import math
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.errors import UnsupportedFeature
from shared.gateway.chat import chat, chat_events
from shared.gateway.estimates import of_chat
from shared.gateway.services import Services
from shared.schemas.chat import ChatRequest, HostedTool
from shared.schemas.context import RequestContext, RequestInfo
from shared.schemas.events import OriginalEvent, TextDelta
from shared.schemas.limits import Limits
from shared.schemas.model import Model
from shared.schemas.original import Original
from shared.stores.keys import KeyStore
from tests.client import KEYS, TOKEN, make_services
from tests.contract.all_vendors import ENVIRONMENT, hello
from tests.providers.canonical import user
from tests.providers.wires import openai_responses as wire

pytestmark = pytest.mark.anyio

BODY: dict[str, Any] = {"model": "gpt-6-sol", "input": "Hello", "a_field_of_2027": True}
INTERPRETER = HostedTool(wire="responses", name="code_interpreter")


class Vendors:
    """All vendors at once, remembering what they were asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: bytes | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return hello(request) if self.answer is None else httpx.Response(200, content=self.answer)

    @property
    def sent(self) -> Any:
        (request,) = self.requests
        return json.loads(request.content)


@pytest.fixture
def vendors() -> Vendors:
    return Vendors()


@pytest.fixture
async def services(keys: KeyStore, vendors: Vendors) -> AsyncIterator[Services]:
    services = make_services(keys, ENVIRONMENT, vendors)
    yield services
    await services.aclose()


def asked(model: str = "gpt-6-sol", body: Any = BODY, **fields: Any) -> ChatRequest:
    original = Original("responses", body)
    return ChatRequest(model=model, messages=(user("Hello"),), original=original, **fields)


def context(*, budgeted: bool = False) -> RequestContext:
    limits = Limits(budget_day=10_000_000) if budgeted else Limits()
    key = KEYS[TOKEN].model_copy(update={"key_id": f"key_{uuid4().hex}", "limits": limits})
    return RequestContext(RequestInfo("r-1", math.inf), key)


async def test_it_reaches_openai_as_it_came_and_the_answer_comes_back_as_it_is(
    services: Services, vendors: Vendors
) -> None:
    answer = await chat(services, [asked()], context())
    assert (vendors.sent["model"], vendors.sent["a_field_of_2027"]) == ("gpt-6-sol", True)
    assert answer.original is not None
    assert answer.original.body["object"] == "response"


async def test_it_is_translated_for_any_other_vendor(services: Services, vendors: Vendors) -> None:
    for model in ("claude-sonnet-5", "gemini-3.8-flash", "deepseek-flash"):
        vendors.requests.clear()
        answer = await chat(services, [asked(model)], context())
        assert "a_field_of_2027" not in vendors.sent
        assert answer.original is None


async def test_P08_a_vendors_own_tool_goes_to_that_vendor_and_is_a_400_elsewhere(
    services: Services, vendors: Vendors
) -> None:
    tools = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    request = asked(body={**BODY, "tools": tools}, hosted_tools=(INTERPRETER,))
    await chat(services, [request], context())
    assert vendors.sent["tools"] == tools
    for model in ("claude-sonnet-5", "openai/gpt-5.6-sol", "groq/openai/gpt-oss-120b"):
        with pytest.raises(UnsupportedFeature, match="code_interpreter"):
            await chat(services, [request.model_copy(update={"model": model})], context())


async def test_an_image_of_the_vendors_own_tool_is_in_the_event_that_came_and_not_stored(
    services: Services, vendors: Vendors
) -> None:
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": wire.PNG}
    vendors.answer = wire.stream(wire.response([drawn], wire.counts(1, 1)))
    events = [event async for event in chat_events(services, [asked(stream=True)], context())]
    assert any(isinstance(event, OriginalEvent) and wire.PNG in str(event.original.body) for event in events)
    assert not any(isinstance(event, TextDelta) for event in events)


@pytest.mark.parametrize(
    ("field", "body", "hosted"),
    [
        ("tools", {}, (INTERPRETER,)),
        ("a_field_of_2027", BODY, ()),
        ("prompt", {"prompt": {"id": "pmpt_1"}}, ()),
        ("context_management", {"context_management": [{"type": "compaction"}]}, ()),
        ("reasoning.mode", {"reasoning": {"mode": "pro"}}, ()),
        ("prompt_cache_options.ttl", {"prompt_cache_options": {"ttl": "12h"}}, ()),
    ],
)
async def test_keys_with_a_budget_are_refused_what_cannot_be_priced(
    services: Services, vendors: Vendors, field: str, body: Any, hosted: tuple[HostedTool, ...]
) -> None:
    request = asked(body={"model": "gpt-6-sol", "input": "Hello", **body}, hosted_tools=hosted)
    await chat(services, [request], context())
    vendors.requests.clear()
    with pytest.raises(UnsupportedFeature) as raised:
        await chat(services, [request], context(budgeted=True))
    assert [detail.field for detail in raised.value.details] == [field]
    assert not vendors.requests
    if not hosted:
        other = request.model_copy(update={"model": "claude-sonnet-5"})  # to which it does not go
        await chat(services, [other], context(budgeted=True))


async def test_keys_with_a_budget_may_send_what_is_priced(services: Services, vendors: Vendors) -> None:
    known = {
        **wire.sent(instructions="Be brief.", reasoning={"effort": "high", "mode": "standard"}, stream=None),
        "store": True,
        "client_metadata": {"a": "b"},
        "prompt_cache_options": {"mode": "implicit", "ttl": "30m"},
        "a_null": None,
    }
    await chat(services, [asked(body=known)], context(budgeted=True))
    assert len(vendors.requests) == 1


def test_what_is_beside_the_messages_counts_in_what_a_request_costs_at_most() -> None:
    model = Model(id="m", provider="p", upstream="u", owned_by="p")
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "g" * 1000}
    drawn = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "A" * 1_000_000}
    said = {"role": "user", "content": "Hello"}

    def most(*items: Any) -> int:
        return of_chat([asked(body={"input": [said, *items]})], model)[1].input_tokens

    assert most(thought) - most() >= 1000
    assert 5000 <= most(drawn) - most() <= 20_000
