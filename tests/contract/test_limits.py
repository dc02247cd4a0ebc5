"""Limits, budgets and what is told of them at every kind of endpoint, in all four dialects, from outside.

The names T26 and S37 are the contract's statements on 429.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.schemas.caller import Caller, Permission
from shared.schemas.limits import UNLIMITED, Estimate, Limits
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.client import LIMITS, USAGE, gateway_client
from tests.contract import vendor as upstream
from tests.contract.accounts import CHAT, EVERY_KIND, SANDBOX, STABLE_IMAGES, Account, account, catalog
from tests.contract.vendor import ENVIRONMENT, HEAD, MODEL, frame
from tests.contract.wire import DISTINCT, POSTS, asking, assert_error, dialect_of, events
from tests.skipped_time import skips_time

pytestmark = pytest.mark.anyio

_DURATION = re.compile(r"[0-9]+m[0-9]+(\.[0-9]{1,3})?s|[0-9]+(\.[0-9]{1,3})?s|[0-9]{1,3}ms")


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The sandbox in the place of the stable route's model too."""
    return catalog(
        tmp_path_factory.mktemp("catalog"), '[[models]]\nid = "gemini-2.5-flash-image"\nprovider = "sandbox"', "image"
    )


# --- what every answer says


def assert_told(response: httpx.Response) -> dict[str, str]:
    """That the six headers are there and read as OpenAI's do; gives them."""
    told = {name: value for name, value in response.headers.items() if name.startswith("x-ratelimit-")}
    expected = {f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}
    assert told.keys() == expected, f"{response.request.url.path}: {response.text[:300]}"
    for of in ("requests", "tokens"):
        assert 0 <= int(told[f"x-ratelimit-remaining-{of}"]) <= int(told[f"x-ratelimit-limit-{of}"])
        assert _DURATION.fullmatch(told[f"x-ratelimit-reset-{of}"])
    if dialect_of(response.request.url.path) == "envelope":
        head = "x-scaigrid-ratelimit-"
        assert response.headers[f"{head}limit"] == told["x-ratelimit-limit-requests"]
        assert response.headers[f"{head}remaining"] == told["x-ratelimit-remaining-requests"]
        assert abs(int(response.headers[f"{head}reset"]) - time.time()) <= 62
    else:
        assert not [name for name in response.headers if name.startswith("x-scaigrid")]
    return told


@pytest.mark.parametrize("limits", [Limits(), Limits(requests_per_minute=600, tokens_per_minute=10**9)])
async def test_every_answered_request_says_what_is_left(
    keys: KeyStore, drawing: dict[str, str], limits: Limits
) -> None:
    async with account(keys, limits, environment=drawing) as caller:
        for path in EVERY_KIND:
            answer = await caller.ask(path)
            assert answer.status_code == 200, answer.text
            told = assert_told(answer)
            if limits.any:
                assert told["x-ratelimit-limit-requests"] == "600"
                assert 500 < int(told["x-ratelimit-remaining-requests"]) < 600
                assert told["x-ratelimit-limit-tokens"] == str(10**9)
                assert int(told["x-ratelimit-remaining-tokens"]) < 10**9
                assert told["x-ratelimit-reset-requests"] != "0s"
            else:
                assert told["x-ratelimit-remaining-requests"] == str(UNLIMITED)
                assert told["x-ratelimit-reset-requests"] == told["x-ratelimit-reset-tokens"] == "0s"


async def test_a_stream_says_it_too(keys: KeyStore) -> None:
    async with account(keys, Limits(requests_per_minute=10, tokens_per_minute=5000)) as caller:
        for path in DISTINCT:
            assert events(answer := await caller.ask(path, stream=True))
            assert assert_told(answer)["x-ratelimit-limit-requests"] == "10"


async def test_what_is_left_is_that_of_the_tenant_where_it_has_less(keys: KeyStore) -> None:
    limits, above = Limits(requests_per_minute=500), Limits(requests_per_minute=20, tokens_per_minute=9000)
    async with account(keys, limits, above=above) as caller:
        told = assert_told(await caller.ask(CHAT))
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("20", "19")
    assert told["x-ratelimit-limit-tokens"] == "9000"


async def test_the_providers_own_429_says_it_too_and_costs_a_request_but_no_tokens(
    keys: KeyStore, drawing: dict[str, str]
) -> None:
    async with account(keys, Limits(requests_per_minute=100, tokens_per_minute=10**6)) as caller:
        paths = [path for path in EVERY_KIND if path != STABLE_IMAGES]
        for path in paths:
            answer = await caller.ask(path, "sandbox/fail-429")
            assert_error(answer, "rate_limited", retry_after=7)
            told = assert_told(answer)
            assert told["x-ratelimit-limit-requests"] == "100"
            assert "x-gateway-cost" not in answer.headers
        row = await caller.row()
        assert (row.requests, row.failures, row.usage, row.cost) == (0, len(paths), Usage(), 0)


# --- what is refused, and how

LIMIT = {"requests_per_minute": 1, "tokens_per_minute": 20_000, "concurrency": 1}
LIMIT |= {"budget_day": 10_000_000, "budget_month": 10_000_000}
WORDS = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "concurrency": "requests in flight",
    "budget_day": "money a day",
    "budget_month": "money a month",
}


WHOLE = Estimate(20_000, 10_000_000)


async def use_up(caller: Account, kind: str, whole: Estimate = WHOLE) -> None:
    """Takes all of a limit, as other requests of the key would."""
    reservation = await caller.ledger.reserve(caller.key, whole)
    if kind != "concurrency":
        await caller.ledger.settle(reservation, "other", Usage(input_tokens=2 * whole.tokens), whole.cost)


def seconds_until_more(kind: str) -> tuple[int, int]:
    """The least and the most that Retry-After may say."""
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow, next_month = today + timedelta(days=1), (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    match kind:
        case "budget_day" | "budget_month":
            seconds = int(((tomorrow if kind == "budget_day" else next_month) - now).total_seconds())
            return seconds - 60, seconds + 2
        case "concurrency":
            return 1, 1
        case "tokens_per_minute":
            return 60, 121
        case _:
            return 1, 60


def assert_refused(response: httpx.Response, *, money: bool) -> int:
    """That a request was refused for a limit of ours as its dialect says it; gives the seconds to wait."""
    assert response.headers["retry-after"].isdecimal()
    seconds = int(response.headers["retry-after"])
    assert seconds >= 1
    assert_limited(response, money=money, seconds=seconds)
    return seconds


def assert_never(response: httpx.Response, *, money: bool) -> None:
    """The same of a request that can never pass: nobody is told to come again."""
    assert "retry-after" not in response.headers
    assert_limited(response, money=money, seconds=None)
    assert "retry" not in response.json()["error"]["message"].lower()


def assert_limited(response: httpx.Response, *, money: bool, seconds: int | None) -> None:
    path = response.request.url.path
    assert response.status_code == 429, f"{path}: {response.status_code} {response.text[:500]}"
    error = response.json()["error"]
    told = {} if seconds is None else {"retry_after": seconds}
    match dialect_of(path):
        case "envelope":
            code = "BUDGET_EXCEEDED" if money else "RATE_LIMITED"
            assert error == {"code": code, "message": error["message"], **told}
            assert response.json()["meta"] == {"request_id": response.headers["x-scaigrid-request-id"]}
            assert response.json()["status"] == "error"
        case "compact":
            expected = {"code": "rate_limit_exceeded", "message": error["message"], "status": 429}
            assert error == {**expected, **told}
            assert seconds is None or re.search(rf"\b{seconds} seconds?\b", error["message"])
        case _:
            kind = (
                ("insufficient_quota", "project_spend_limit_exceeded")
                if money
                else ("rate_limit_error", "rate_limit_exceeded")
            )
            assert error["param"] is None
            assert (error["type"], error["code"]) == kind
    assert "x-gateway-cost" not in response.headers
    assert_told(response)


@pytest.mark.parametrize("kind", LIMIT)
@pytest.mark.parametrize("whose", ["key", "tenant"])
async def test_T26_S37_a_limit_that_is_used_up_refuses_everywhere_with_the_seconds_to_wait(
    keys: KeyStore, drawing: dict[str, str], whose: str, kind: str
) -> None:
    limits = Limits(**{kind: LIMIT[kind]})
    own, above = (limits, None) if whose == "key" else (None, limits)
    async with account(keys, own, above=above, environment=drawing) as caller:
        await use_up(caller, kind)
        before, rows = await caller.standing(), await caller.rows()
        for path in EVERY_KIND:
            answer = await caller.ask(path)
            seconds = assert_refused(answer, money=kind.startswith("budget"))
            least, most = seconds_until_more(kind)
            assert least <= seconds <= most
            message = answer.json()["error"]["message"]
            assert f"The {whose}'s" in message
            assert WORDS[kind] in message
        for path in DISTINCT:
            assert_refused(await caller.ask(path, stream=True), money=kind.startswith("budget"))
        # Refused calls cost nothing, and are no usage.
        assert await caller.standing() == before
        assert await caller.rows() == rows


@pytest.mark.parametrize("whose", ["key", "tenant"])
async def test_a_request_larger_than_a_whole_limit_is_told_so_and_not_to_come_again(
    keys: KeyStore, drawing: dict[str, str], whose: str
) -> None:
    for limits, money in ((Limits(tokens_per_minute=1), False), (Limits(budget_day=0), True)):
        own, above = (limits, None) if whose == "key" else (None, limits)
        async with account(keys, own, above=above, environment=drawing) as caller:
            for path in DISTINCT:
                answer = await caller.ask(path)
                assert_never(answer, money=money)
                words = f"larger than the {whose}'s whole limit of {'money a day' if money else 'tokens a minute'}"
                assert words in answer.json()["error"]["message"]
                assert_never(await caller.ask(path, stream=True), money=money)
            assert await caller.rows() == []


async def test_a_smaller_request_passes_where_a_larger_one_never_does(keys: KeyStore) -> None:
    async with account(keys, Limits(tokens_per_minute=500)) as caller:
        assert_never(await caller.ask(CHAT, max_tokens=600), money=False)
        assert (await caller.ask(CHAT, max_tokens=100)).status_code == 200


async def test_a_refused_request_takes_nothing_of_the_other_limits(keys: KeyStore) -> None:
    """The tenant refuses what the key had room for: the key gets its part back."""
    limits = Limits(requests_per_minute=5, tokens_per_minute=10_000, concurrency=2, budget_day=10**9)
    async with account(keys, limits, above=Limits(budget_day=10**6)) as caller:
        await use_up(caller, "budget_day", Estimate(1, 10**6))
        before = await caller.standing()
        for _ in range(8):
            assert_refused(await caller.ask(CHAT, max_tokens=3000), money=True)
        assert await caller.standing() == before
        alone = caller.key.model_copy(update={"tenant_limits": Limits()})
        left = (await caller.ledger.reserve(alone, Estimate())).rates
    assert left.requests.remaining == 3
    assert left.tokens.remaining >= 9_900


async def test_as_many_are_let_in_as_the_limit_says_and_no_more(keys: KeyStore) -> None:
    async with account(keys, Limits(requests_per_minute=5)) as caller:
        statuses = [answer.status_code for answer in await asyncio.gather(*(caller.ask(CHAT) for _ in range(12)))]
        assert sorted(statuses) == [200] * 5 + [429] * 7
        assert (await caller.row()).requests == 5


async def test_a_stream_holds_its_place_until_it_ends(keys: KeyStore) -> None:
    go, begun = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield upstream.BEGINNING
        begun.set()
        await go.wait()
        yield upstream.ENDING

    async with account(
        keys,
        Limits(concurrency=1),
        environment=ENVIRONMENT,
        vendor=lambda request: httpx.Response(200, content=body()),
    ) as caller:
        streaming = asyncio.create_task(caller.ask(CHAT, MODEL, stream=True))
        await asyncio.wait_for(begun.wait(), 5)
        assert (await caller.standing()).in_flight == 1
        assert assert_refused(await caller.ask(CHAT), money=False) == 1
        go.set()
        assert events(await streaming)[-1].data == b"[DONE]"
        assert (await caller.standing()).in_flight == 0
        # A refusal may be remembered for a second.
        fresh = LimitStore(keys.aws, LIMITS, USAGE)
        await fresh.cancel(await fresh.reserve(caller.key, Estimate()))


# --- tokens are settled to what was used


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_tokens_that_were_not_used_come_back(keys: KeyStore, stream: bool) -> None:
    async with account(keys, Limits(tokens_per_minute=10_000)) as caller:
        for _ in range(4):
            answer = await caller.ask(CHAT, max_tokens=9000, stream=stream)
            assert answer.status_code == 200, answer.text
        used = (await caller.row()).usage.total_tokens
        assert 40 < used < 900
        left = (await caller.ledger.reserve(caller.key, Estimate())).rates.tokens.remaining
        assert 10_000 - used - 10 <= left <= 10_000


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_tokens_beyond_those_reserved_are_taken_too(keys: KeyStore, stream: bool) -> None:
    usage = {"prompt_tokens": 6000, "completion_tokens": 3000, "total_tokens": 9000}

    def talkative(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            last = frame({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            ending = upstream.chunk({}, "stop") + last + b"data: [DONE]\n\n"
            return httpx.Response(200, content=upstream.BEGINNING + ending)
        body = upstream.hello(request).json()
        return httpx.Response(200, json={**body, "usage": usage})

    limits = Limits(tokens_per_minute=10_000)
    async with account(keys, limits, environment=ENVIRONMENT, vendor=talkative) as caller:
        assert (await caller.ask(CHAT, MODEL, max_tokens=10, stream=stream)).status_code == 200
        row = await caller.row()
        assert (row.usage.input_tokens, row.usage.output_tokens) == (6000, 3000)
        seconds = assert_refused(await caller.ask(CHAT, MODEL, max_tokens=2000), money=False)
        assert 1 <= seconds <= 12
        assert (await caller.ask(CHAT, MODEL, max_tokens=500)).status_code == 200


# --- what may be called at all


async def test_a_key_without_the_permission_is_forbidden_at_every_kind_of_endpoint(
    keys: KeyStore, drawing: dict[str, str]
) -> None:
    for given in (frozenset[Permission](), frozenset({Permission.BATCH_USE})):
        async with account(keys, environment=drawing) as caller:
            key = caller.key.model_copy(update={"permissions": given})
            await keys.put(caller.client.headers["authorization"].removeprefix("Bearer "), key)
            for path in EVERY_KIND:
                assert "models:use" in assert_error(await caller.ask(path), "permission")
            assert await caller.rows() == []


async def test_a_model_that_is_not_on_the_keys_list_is_forbidden_at_every_kind_of_endpoint(
    keys: KeyStore, drawing: dict[str, str]
) -> None:
    async with account(keys, environment=drawing, models=frozenset({"sandbox/slow"})) as caller:
        for path in EVERY_KIND:
            assert "may not use the model" in assert_error(await caller.ask(path), "model_access")
        assert await caller.rows() == []


@pytest.mark.parametrize("fields", [{"revoked": True}, {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}])
async def test_a_key_that_is_over_is_unauthorized_at_every_kind_of_endpoint(
    keys: KeyStore, fields: dict[str, Any]
) -> None:
    async with account(keys, **fields) as caller:
        for path in EVERY_KIND:
            assert_error(await caller.ask(path), "token_invalid")


# --- models of which nobody knows the price

UNPRICED = "deepinfra/somebody/new-model"


async def test_a_model_without_a_price_is_forbidden_for_keys_with_a_budget_only(keys: KeyStore) -> None:
    budgets = [Limits(budget_day=10**9), Limits(budget_month=10**9)]
    for own, above in [*((budget, None) for budget in budgets), *((None, budget) for budget in budgets)]:
        async with account(keys, own, above=above, environment=ENVIRONMENT, vendor=upstream.hello) as caller:
            for path in POSTS:
                for stream in (False, True):
                    message = assert_error(await caller.ask(path, UNPRICED, stream=stream), "model_access")
                    assert UNPRICED in message
            assert await caller.rows() == []
    async with account(keys, Limits(tokens_per_minute=10**6), environment=ENVIRONMENT, vendor=upstream.hello) as caller:
        answer = await caller.ask(CHAT, UNPRICED)
        assert answer.status_code == 200
        assert "x-gateway-cost" not in answer.headers
        assert (await caller.row()).usage.total_tokens == 13


async def test_speech_charged_by_tokens_that_nobody_counts_has_no_price(
    keys: KeyStore,
) -> None:
    gemini = {"GEMINI_API_KEY": "gemini-key"}
    async with account(keys, Limits(budget_day=10**9), environment=gemini) as caller:
        answer = await caller.ask("/v1/audio/speech", "gemini-3.8-flash-tts")
    assert answer.status_code == 403
    assert "price" in answer.json()["error"]["message"]


async def test_an_operator_may_allow_it_and_then_it_costs_nothing(keys: KeyStore) -> None:
    environment = ENVIRONMENT | {"GATEWAY_ALLOW_UNPRICED": "on"}
    async with account(keys, Limits(budget_day=1), environment=environment, vendor=upstream.hello) as caller:
        for path in DISTINCT:
            answer = await caller.ask(path, UNPRICED)
            assert answer.status_code == 200, answer.text
            assert "x-gateway-cost" not in answer.headers
        row = await caller.row()
        assert (row.requests, row.cost) == (len(DISTINCT), 0)


async def test_an_operators_price_is_what_an_answer_costs(keys: KeyStore, tmp_path: Path) -> None:
    rows = """
    [[models]]
    id = "sandbox/chat"
    price = { input = "1000", output = "2000" }
    """
    async with account(keys, Limits(budget_day=10**10), environment=catalog(tmp_path, rows)) as caller:
        answer = await caller.ask(CHAT)
        usage = answer.json()["usage"]
        cost = usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000
        assert answer.headers["x-gateway-cost"] == f"{cost / 10**6:.6f}"
        assert (await caller.row()).cost == cost
    async with account(keys, Limits(budget_day=1000), environment=catalog(tmp_path, rows)) as caller:
        assert_never(await caller.ask(CHAT, max_tokens=1), money=True)


# --- DynamoDB cannot be reached


def unreachable() -> Aws:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    return Aws(environment, transport=httpx.MockTransport(fail))


BUDGET = Limits(budget_month=10**9)
RATES = Limits(requests_per_minute=1000, concurrency=100)


@pytest.mark.parametrize(
    ("own", "above", "setting", "let_through"),
    [
        (BUDGET, None, "on", False),
        (None, BUDGET, "on", False),
        (RATES, BUDGET, "off", False),
        (RATES, None, "off", False),
        (None, RATES, "off", False),
        (RATES, None, "on", True),
        (None, RATES, "on", True),
        (None, None, "off", True),
    ],
)
@skips_time
async def test_without_dynamodb_budgets_are_closed_and_the_rest_as_the_operator_says(
    keys: KeyStore, own: Limits | None, above: Limits | None, setting: str, let_through: bool
) -> None:
    environment = {"GATEWAY_LIMITS_FAIL_OPEN": setting}
    async with account(keys, own, above=above, environment=environment, aws=unreachable()) as caller:
        for path in DISTINCT:
            answer = await caller.ask(path)
            if let_through:
                assert answer.status_code == 200, answer.text
            else:
                assert_unavailable(answer)
            assert_told(answer)
        streamed = await caller.ask(CHAT, stream=True)
        if let_through:
            assert events(streamed)[-1].data == b"[DONE]"
        else:
            assert_unavailable(streamed)


def assert_unavailable(response: httpx.Response) -> None:
    assert_error(response, "unavailable", retry_after=1)
    assert "dynamo" not in response.text.lower()


@skips_time
async def test_a_key_that_cannot_be_looked_up_is_told_to_come_back(keys: KeyStore) -> None:
    async with gateway_client(KeyStore(unreachable(), "keys")) as client:
        for path in DISTINCT:
            assert_unavailable(await client.post(path, json=asking(path)))


async def test_what_requests_under_way_together_used_is_written_together(
    keys: KeyStore, aws_environment: dict[str, str]
) -> None:
    writes, together = 0, asyncio.Barrier(10)

    async def all_at_once(request: httpx.Request) -> httpx.Response:
        await together.wait()
        return upstream.hello(request)

    class Counting(Aws):
        async def call(self, service: str, action: str, body: Any, **options: Any) -> dict[str, Any]:
            nonlocal writes
            writes += action == "UpdateItem"
            return await super().call(service, action, body, **options)

    aws = Counting(aws_environment)
    async with account(keys, Limits(concurrency=100), environment=ENVIRONMENT, vendor=all_at_once, aws=aws) as caller:
        answers = await asyncio.gather(*(caller.ask(CHAT, MODEL) for _ in range(10)))
        assert [answer.status_code for answer in answers] == [200] * 10
    assert 10 < writes < 15, "each reserves, and a few writes settle them all"


class Withholding(Aws):
    """Holds back the answers to settlements until it is told to go on."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(environment)
        self.is_asked, self.goes_on = asyncio.Event(), asyncio.Event()
        self.writes = 0

    async def call(self, service: str, action: str, body: Any, **options: Any) -> dict[str, Any]:
        self.writes += action == "UpdateItem"
        if action == "UpdateItem" and self.writes == 2:
            self.is_asked.set()
            await self.goes_on.wait()
        return await super().call(service, action, body, **options)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("limits", "waits"),
    [
        (Limits(requests_per_minute=1000, tokens_per_minute=10**7, budget_day=10**9), False),
        (Limits(concurrency=100), True),
        (Limits(requests_per_minute=1), True),
        (Limits(tokens_per_minute=1500), True),
    ],
    ids=["far from every limit", "a place that others may need", "the last request", "more than half of the tokens"],
)
async def test_a_client_waits_for_its_settlement_only_where_it_could_be_refused_for_it(
    limits: Limits, waits: bool, stream: bool, keys: KeyStore, aws_environment: dict[str, str]
) -> None:
    from functions.chat.app import app
    from shared.gateway.services import process_services
    from tests.client import make_services

    aws, key_id = Withholding(aws_environment), f"key_{uuid4().hex}"
    caller = Caller(key_id=key_id, tenant="t", permissions=frozenset({Permission.MODELS_USE}), limits=limits)
    services = make_services(KeyStore(unreachable(), "keys"), SANDBOX | {"GATEWAY_TRUST_AUTHORIZER": "on"}, aws=aws)
    app.services = lambda: services
    sent: list[bytes] = []
    has_all = asyncio.Event()
    asked = {
        "model": "sandbox/chat",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": stream,
        "max_tokens": 1000,
    }
    body = [json.dumps(asked).encode()]

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop()}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            has_all.set()

    scope = {
        "type": "http", "method": "POST", "path": CHAT, "headers": [(b"content-type", b"application/json")],
        "query_string": b"",
        "aws.event": {"requestContext": {"authorizer": {"caller": caller.model_dump_json()}}},
    }  # fmt: skip
    answering = asyncio.create_task(app(scope, receive, send))
    await aws.is_asked.wait()
    for _ in range(50):  # whatever does not wait for the settlement goes on meanwhile
        await asyncio.sleep(0)
    assert has_all.is_set() != waits
    assert not answering.done()
    aws.goes_on.set()
    await answering
    assert has_all.is_set()
    app.services = process_services
    ledger = LimitStore(keys.aws, LIMITS, USAGE)
    balance = await ledger.standing(key_id)
    assert (balance.in_flight, balance.reserved) == (0, 0)
    await services.aclose()


# --- behind API Gateway


async def test_a_function_enforces_the_limits_that_the_authorizer_told_it_of_and_looks_no_key_up(
    keys: KeyStore,
) -> None:
    from functions.chat.app import app
    from shared.gateway.services import process_services
    from tests.client import make_services

    name = uuid4().hex
    caller = Caller(
        key_id=f"key_{name}",
        tenant=name,
        permissions=frozenset({Permission.MODELS_USE}),
        limits=Limits(requests_per_minute=2),
        tenant_limits=Limits(budget_day=10**9),
    )
    services = make_services(
        KeyStore(unreachable(), "keys"), SANDBOX | {"GATEWAY_TRUST_AUTHORIZER": "on"}, aws=keys.aws
    )
    given = {"requestContext": {"authorizer": {"caller": caller.model_dump_json()}}}
    app.services = lambda: services

    async def called(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        await app({**scope, "aws.event": given}, receive, send)

    transport = httpx.ASGITransport(called)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answers = [await client.post(CHAT, json=asking(CHAT)) for _ in range(3)]
    app.services = process_services
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert_refused(answers[-1], money=False)
    ledger = LimitStore(keys.aws, LIMITS, USAGE)
    spent = sum(round(float(answer.headers["x-gateway-cost"]) * 10**6) for answer in answers[:2])
    assert (await ledger.standing(tenant=name)).spent_day == spent > 0
    await services.aclose()
