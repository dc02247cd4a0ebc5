"""Every way in which a provider fails, in every dialect of chat, whole and streamed: one answer or one clean error."""

from pathlib import Path

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.accounts import account
from tests.contract.failing import SAID_HELLO, Answer, Vendors, cut, environment, garbage, raising, silent, status
from tests.contract.spoken import EVERY_DIALECT, assert_broken_off, assert_clean_error, chatting, text_of
from tests.contract.vendor import chunk

pytestmark = pytest.mark.anyio
ATTEMPTS = "x-gateway-attempts"
A, B = ("deepinfra/up-a", "deepinfra/up-b")
WAYS = [(path, stream) for path in EVERY_DIALECT for stream in (False, True)]
# Before the first event: how often the model is then called, and the outcome, None if that differs for streams.
FAILURES: dict[str, tuple[Answer, int, str | None]] = {
    "connect": (raising(httpx.ConnectError("refused")), 2, "connect"),
    "reset": (raising(httpx.ReadError("reset")), 2, "connect"),
    "429": (status(429), 1, "429"),
    "429 with Retry-After": (status(429, retry_after="1"), 1, "429"),
    "500": (status(500), 1, "500"),
    "502": (status(502), 2, "502"),
    "503": (status(503), 2, "503"),
    "529": (status(529), 2, "529"),
    "504": (status(504), 1, "504"),
    "401": (status(401), 1, "401"),
    "403": (status(403), 1, "403"),
    "404": (status(404), 1, "404"),
    "402": (status(402), 1, "402"),
    "time-out": (raising(httpx.ReadTimeout("late")), 1, "timeout"),
    "cut": (cut(), 1, "cut"),
    "cut after an opening": (cut(chunk({"role": "assistant", "content": ""})), 1, "cut"),
    "garbage": (garbage, 1, None),
}
# Those after which the provider may have charged for what it did.
UNCERTAIN = {"reset", "504", "time-out", "cut", "cut after an opening", "garbage"}


@pytest.mark.parametrize("failure", FAILURES)
async def test_F01_F07_a_failure_before_the_first_event_goes_to_the_next_candidate_and_is_charged_once(
    keys: KeyStore, tmp_path: Path, failure: str
) -> None:
    answer, calls, outcome = FAILURES[failure]
    vendors = Vendors()
    vendors.script("a", answer)
    budget = Limits(budget_day=10**9)
    async with account(keys, budget, environment=environment(tmp_path), vendor=vendors) as caller:
        for path, stream in WAYS:
            vendors.asked.clear()
            response = await caller.client.post(path, json=chatting(path, "a", models=["b"], stream=stream))
            assert text_of(response) == "Hello there"
            assert vendors.asked == ["a"] * calls + ["b"]
            assert response.headers["x-gateway-model"] == "b"
            assert response.headers["x-gateway-backend"] == B
            assert b'"model":"a"' not in response.content
            *failed, answered = response.headers[ATTEMPTS].split(", ")
            assert answered == f"{B};200"
            assert len(failed) == calls
            assert outcome is None or failed == [f"{A};{outcome}"] * calls
        rows = {found.model: found for found in await caller.rows()}
        standing = await caller.standing()
    assert (rows["b"].requests, rows["b"].failures, rows["b"].cost) == (len(WAYS), 0, 13 * len(WAYS))
    assert rows.keys() == ({"a", "b"} if failure in UNCERTAIN else {"b"})
    assert (standing.in_flight, standing.reserved) == (0, 0)
    assert standing.spent_day == sum(found.cost for found in rows.values())


@pytest.mark.parametrize("failure", FAILURES)
async def test_F06_where_every_candidate_fails_there_is_one_error_in_the_dialect(
    keys: KeyStore, tmp_path: Path, failure: str
) -> None:
    answer, _, _ = FAILURES[failure]
    vendors = Vendors()
    for name in "ab":
        vendors.script(name, answer)
    async with gateway_client(keys, environment(tmp_path) | {"GATEWAY_LIMITS_TABLE": ""}, vendors) as client:
        for path, stream in WAYS:
            response = await client.post(path, json=chatting(path, "a", models=["b"], stream=stream))
            assert_clean_error(response, 404, 429, 502, 503, 504)
            assert ATTEMPTS in response.headers


async def test_F08_silence_goes_to_the_next_candidate_of_a_stream_and_is_one_error_of_a_whole_answer(
    keys: KeyStore, tmp_path: Path
) -> None:
    settings = environment(tmp_path) | {"GATEWAY_LIMITS_TABLE": ""}
    vendors = Vendors()
    vendors.script("a", silent(b" "))
    async with gateway_client(keys, settings | {"GATEWAY_FIRST_EVENT_TIMEOUT": "0.01"}, vendors) as client:
        for path in EVERY_DIALECT:
            response = await client.post(path, json=chatting(path, "a", models=["b"], stream=True))
            assert text_of(response) == "Hello there"
            assert response.headers[ATTEMPTS] == f"{A};timeout, {B};200"
    async with gateway_client(keys, settings | {"GATEWAY_UPSTREAM_TIMEOUT": "0.05"}, vendors) as client:
        for path in EVERY_DIALECT:
            assert_clean_error(await client.post(path, json=chatting(path, "a", models=["b"])), 504)


@pytest.mark.parametrize("error", [httpx.ReadError("broken"), httpx.RemoteProtocolError("peer closed")])
async def test_F01_nothing_is_tried_again_after_the_first_event(
    keys: KeyStore, tmp_path: Path, error: Exception
) -> None:
    vendors = Vendors()
    vendors.script("a", cut(SAID_HELLO, error))
    async with gateway_client(keys, environment(tmp_path) | {"GATEWAY_LIMITS_TABLE": ""}, vendors) as client:
        for path in EVERY_DIALECT:
            vendors.asked.clear()
            response = await client.post(path, json=chatting(path, "a", models=["b"], stream=True))
            assert_broken_off(response, "Hello")
            assert vendors.asked == ["a"]
