"""Hedging: a second candidate is asked beside a silent one; the first to speak answers, and both are charged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.accounts import Account, account, request_to
from tests.contract.failing import Answer, Slow, Vendors, cut, environment, good, row, status
from tests.contract.spoken import EVERY_DIALECT, assert_broken_off, assert_clean_error, chatting, text_of
from tests.contract.vendor import BEGINNING

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
ATTEMPTS = "x-gateway-attempts"
A, B, C = ("deepinfra/up-a", "deepinfra/up-b", "deepinfra/up-c")
MONEY = Limits(budget_day=10**9)


@asynccontextmanager
async def gateway(
    keys: KeyStore, folder: Path, vendors: Vendors, *rows: str, **settings: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_client(keys, environment(folder, *rows) | settings, vendors) as client:
        yield client


async def ask(
    client: httpx.AsyncClient, path: str = CHAT, *, stream: bool = True, after_ms: int = 50, **fields: Any
) -> httpx.Response:
    body = chatting(path, "a", stream=stream, **{"models": ["b"], **fields})
    return await client.post(path, json=body, headers={"x-gateway-hedge": str(after_ms)})


async def book(caller: Account) -> dict[str, tuple[int, int, int]]:
    """Requests, failures and micro-dollars of each model, when nothing is reserved any more."""
    standing = await caller.standing()
    assert (standing.in_flight, standing.reserved) == (0, 0)
    rows = await caller.rows()
    assert sum(found.cost for found in rows) == standing.spent_day
    return {found.model: (found.requests, found.failures, found.cost) for found in rows}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", EVERY_DIALECT)
async def test_F18_the_second_candidate_answers_for_a_silent_one_which_is_cancelled(
    keys: KeyStore, tmp_path: Path, path: str, stream: bool
) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    async with gateway(keys, tmp_path, vendors) as client:
        response = await ask(client, path, stream=stream)
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a", "b"]
    assert slow.cancelled.is_set()
    assert response.headers[ATTEMPTS] == f"{A};cancelled, {B};200"
    assert (response.headers["x-gateway-model"], response.headers["x-gateway-backend"]) == ("b", B)
    assert b'"model":"a"' not in response.content


@pytest.mark.parametrize(
    "path", ["/v1/embeddings", "/v1/images/generations", "/v1/audio/speech", "/v1/audio/transcriptions"]
)
async def test_F18_every_other_kind_of_request_is_hedged(keys: KeyStore, tmp_path: Path, path: str) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    request = request_to(path, "a")
    fields = request.setdefault("json" if "json" in request else "data", {})
    fields.pop("size", None)
    fields["models"] = ["b"]
    if path == "/v1/audio/speech":
        fields["response_format"] = "mp3"
    async with gateway(keys, tmp_path, vendors) as client:
        response = await client.post(path, **request, headers={"x-gateway-hedge": "50"})
    assert response.status_code == 200, response.text
    assert response.headers[ATTEMPTS] == f"{A};cancelled, {B};200"
    assert slow.cancelled.is_set()


async def test_F18_a_candidate_that_answers_in_time_is_asked_alone(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    async with gateway(keys, tmp_path, vendors) as client:
        response = await ask(client, after_ms=60_000)
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a"]
    assert ATTEMPTS not in response.headers


async def test_F18_the_first_candidate_wins_where_it_speaks_first_after_all(keys: KeyStore, tmp_path: Path) -> None:
    vendors, first, second = Vendors(), Slow(), Slow()
    vendors.script("a", first)
    vendors.script("b", second)
    async with gateway(keys, tmp_path, vendors) as client:
        asking = asyncio.create_task(ask(client))
        await second.asked.wait()
        first.may_answer.set()
        response = await asking
    assert text_of(response) == "Hello there"
    assert second.cancelled.is_set()
    assert response.headers[ATTEMPTS] == f"{B};cancelled, {A};200"
    assert response.headers["x-gateway-model"] == "a"


async def test_F18_an_opening_is_silence(keys: KeyStore, tmp_path: Path) -> None:
    vendors, slow = Vendors(), Slow(opening=b": ping\n\n")
    vendors.script("a", slow)
    async with gateway(keys, tmp_path, vendors) as client:
        response = await ask(client)
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a", "b"]
    assert slow.cancelled.is_set()


@pytest.mark.parametrize("is_second_first", [False, True])
async def test_F18_of_two_that_speak_at_once_one_answers(keys: KeyStore, tmp_path: Path, is_second_first: bool) -> None:
    vendors, first, second = Vendors(), Slow(), Slow()
    vendors.script("a", first)
    vendors.script("b", second)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client))
        await second.asked.wait()
        for one in (second, first) if is_second_first else (first, second):
            one.may_answer.set()
        response = await asking
        booked = await book(caller)
    assert text_of(response) == "Hello there"
    winner = response.headers["x-gateway-model"]
    assert booked[winner] == (1, 0, 13)
    assert set(booked) <= {"a", "b"}


async def test_F18_both_are_charged_and_one_is_counted(keys: KeyStore, tmp_path: Path) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        response = await ask(caller.client, stream=False, max_tokens=10)
        booked = await book(caller)
    assert booked["b"] == (1, 0, 13)
    (requests, failures, cost) = booked["a"]
    assert (requests, failures) == (0, 1)
    assert cost >= 10
    assert response.headers["x-gateway-cost"] == f"{(cost + 13) / 1_000_000:.6f}"
    assert response.json()["usage"]["total_tokens"] == 13


async def test_F18_what_both_may_use_is_reserved(keys: KeyStore, tmp_path: Path) -> None:
    vendors, first, second = Vendors(), Slow(), Slow()
    vendors.script("a", first)
    vendors.script("b", second)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client))
        await first.asked.wait()
        alone = (await caller.standing()).reserved
        await second.asked.wait()
        both = (await caller.standing()).reserved
        second.may_answer.set()
        await asking
        await book(caller)
    assert both == 2 * alone > 0


async def test_F18_a_budget_without_room_for_both_is_kept_by_asking_one(keys: KeyStore, tmp_path: Path) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    limits = Limits(concurrency=1)
    async with account(keys, limits, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client))
        await slow.asked.wait()
        await asyncio.wait([asking], timeout=0.2)
        slow.may_answer.set()
        response = await asking
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a"]


async def test_F18_a_client_that_leaves_cancels_both_and_both_are_charged(keys: KeyStore, tmp_path: Path) -> None:
    vendors, first, second = Vendors(), Slow(), Slow()
    vendors.script("a", first)
    vendors.script("b", second)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client))
        await second.asked.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert first.cancelled.is_set()
        assert second.cancelled.is_set()
        booked = await book(caller)
    assert {model: found[:2] for model, found in booked.items()} == {"a": (0, 1), "b": (0, 1)}
    assert all(found[2] > 0 for found in booked.values())


async def test_F18_where_one_fails_the_other_goes_on_and_is_hedged_in_turn(keys: KeyStore, tmp_path: Path) -> None:
    vendors, first, second, third = Vendors(), Slow(status(500)), Slow(), Slow()
    for name, slow in zip("abc", (first, second, third), strict=True):
        vendors.script(name, slow)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client, models=["b", "c"]))
        await second.asked.wait()
        first.may_answer.set()
        await third.asked.wait()
        assert not second.cancelled.is_set()
        second.may_answer.set()
        response = await asking
        booked = await book(caller)
    assert text_of(response) == "Hello there"
    assert response.headers[ATTEMPTS] == f"{A};500, {C};cancelled, {B};200"
    assert response.headers["x-gateway-model"] == "b"
    assert booked["b"] == (1, 0, 13)
    assert set(booked) == {"b", "c"}


async def test_F18_a_stream_that_has_begun_with_a_comment_is_hedged_too(keys: KeyStore, tmp_path: Path) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    async with gateway(keys, tmp_path, vendors, GATEWAY_FIRST_EVENT_WAIT="0.001") as client:
        response = await ask(client)
    assert response.content.startswith(b":")
    assert text_of(response) == "Hello there"
    assert b'"model":"b"' in response.content


@pytest.mark.parametrize("stream", [False, True])
async def test_F18_where_the_second_fails_the_third_is_asked_beside_the_first(
    keys: KeyStore, tmp_path: Path, stream: bool
) -> None:
    vendors, first = Vendors(), Slow()
    vendors.script("a", first)
    vendors.script("b", status(500))
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        response = await ask(caller.client, models=["b", "c"], stream=stream)
        booked = await book(caller)
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a", "b", "c"]
    assert response.headers[ATTEMPTS] == f"{B};500, {A};cancelled, {C};200"
    assert booked["c"] == (1, 0, 13)
    assert set(booked) == {"a", "c"}


async def test_F18_where_all_fail_there_is_one_error(keys: KeyStore, tmp_path: Path) -> None:
    vendors, first, second = Vendors(), Slow(status(429, retry_after="9")), Slow(status(500))
    vendors.script("a", first)
    vendors.script("b", second)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        for path in EVERY_DIALECT:
            for one in (first, second):
                one.asked.clear()
                one.may_answer.clear()
            asking = asyncio.create_task(ask(caller.client, path))
            await second.asked.wait()
            first.may_answer.set()
            second.may_answer.set()
            response = await asking
            assert_clean_error(response, 429, 502)
            assert response.headers["retry-after"] == "9"
        standing = await caller.standing()
    assert (standing.in_flight, standing.reserved, standing.spent_day) == (0, 0, 0)


async def test_F18_a_passing_failure_beside_another_is_still_repeated(keys: KeyStore, tmp_path: Path) -> None:
    first = Slow(status(503))
    vendors, second = Vendors(), Slow(status(500))
    vendors.script("a", first, good)
    vendors.script("b", second)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client, stream=False))
        await second.asked.wait()
        first.may_answer.set()
        second.may_answer.set()
        response = await asking
        booked = await book(caller)
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a", "b", "a"]
    assert booked == {"a": (1, 0, 13)}


async def test_F18_the_callers_own_fault_ends_both(keys: KeyStore, tmp_path: Path) -> None:
    vendors, first, second = Vendors(), Slow(status(400)), Slow()
    vendors.script("a", first)
    vendors.script("b", second)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client, models=["b", "c"]))
        await second.asked.wait()
        first.may_answer.set()
        response = await asking
        booked = await book(caller)
    assert_clean_error(response, 400)
    assert second.cancelled.is_set()
    assert vendors.asked == ["a", "b"]
    assert response.headers["x-gateway-model"] == "a"
    assert booked["b"][2] > 0


@pytest.mark.parametrize(("then", "expected"), [(good, 200), (status(500), 400)])
async def test_F18_what_the_second_candidate_refuses_the_first_may_still_answer(
    keys: KeyStore, tmp_path: Path, then: Answer, expected: int
) -> None:
    vendors, first, second = Vendors(), Slow(then), Slow(status(400))
    vendors.script("a", first)
    vendors.script("b", second)
    async with account(keys, MONEY, environment=environment(tmp_path), vendor=vendors) as caller:
        asking = asyncio.create_task(ask(caller.client, models=["b", "c"]))
        await second.asked.wait()
        second.may_answer.set()
        await asyncio.sleep(0.1)  # twice as long as the first may be silent
        first.may_answer.set()
        response = await asking
        booked = await book(caller)
    assert response.status_code == expected
    assert vendors.asked == ["a", "b"]
    assert booked["a"][:2] == ((1, 0) if expected == 200 else (0, 1))
    assert "b" not in booked


@pytest.mark.parametrize("path", EVERY_DIALECT)
async def test_F18_an_answer_that_breaks_off_is_not_mixed_with_another(
    keys: KeyStore, tmp_path: Path, path: str
) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    vendors.script("b", cut(BEGINNING))
    async with gateway(keys, tmp_path, vendors) as client:
        response = await ask(client, path, models=["b", "c"])
    assert_broken_off(response, "Hello")
    assert vendors.asked == ["a", "b"]


async def test_F18_a_row_may_say_after_how_long(keys: KeyStore, tmp_path: Path) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    rows = (row("a", more='fallbacks = ["b"]\nhedge_after_ms = 50'), row("b"))
    async with gateway(keys, tmp_path, vendors, *rows) as client:
        response = await client.post(CHAT, json=chatting(CHAT, "a"))
    assert response.headers[ATTEMPTS] == f"{A};cancelled, {B};200"


async def test_F18_a_candidate_that_is_slow_opens_no_circuit(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    vendors.script("a", lambda request: Slow()(request))
    settings = {"GATEWAY_CIRCUIT_FAILURES": "2", "GATEWAY_LIMITS_TABLE": ""}
    async with gateway(keys, tmp_path, vendors, **settings) as client:
        for _ in range(3):
            assert text_of(await ask(client)) == "Hello there"
    assert vendors.asked == ["a", "b"] * 3


async def test_F18_without_another_candidate_nothing_changes(keys: KeyStore, tmp_path: Path) -> None:
    vendors, slow = Vendors(), Slow()
    vendors.script("a", slow)
    slow.may_answer.set()
    async with gateway(keys, tmp_path, vendors) as client:
        response = await ask(client, models=["a"])
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a"]


@pytest.mark.parametrize("value", ["49", "60001", "soon", "-50", "50.5", ""])
async def test_F18_a_wrong_time_is_refused(keys: KeyStore, tmp_path: Path, value: str) -> None:
    async with gateway(keys, tmp_path, Vendors()) as client:
        for path in EVERY_DIALECT:
            headers = {"x-gateway-hedge": value}
            response = await client.post(path, json=chatting(path, "a"), headers=headers)
            assert_clean_error(response, 400, 422)
            assert "x-gateway-hedge" in response.text


async def test_F18_a_wrong_time_in_a_row_is_an_error_at_start(keys: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model 'a', hedge_after_ms"):
        async with gateway(keys, tmp_path, Vendors(), row("a", more="hedge_after_ms = 49")):
            raise AssertionError
