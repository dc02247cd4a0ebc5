"""Failures before the first event go to the next candidate, for every kind of request, and are charged exactly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.bench_outage import Outage
from shared.dialects.base import take_models
from shared.errors import ValidationFailed
from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.accounts import account, request_to
from tests.contract.failing import (
    SAID_HELLO,
    Slow,
    Vendors,
    cut,
    environment,
    garbage,
    good,
    row,
    silent,
    status,
)
from tests.contract.spoken import EVERY_DIALECT, chatting, text_of
from tests.contract.vendor import chunk
from tests.contract.wire import DISTINCT, asking, assert_error, events

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
ATTEMPTS = "x-gateway-attempts"
A, B, C = ("deepinfra/up-a", "deepinfra/up-b", "deepinfra/up-c")


@asynccontextmanager
async def gateway(
    keys: KeyStore, folder: Path, vendors: Vendors, *rows: str, **settings: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_client(keys, environment(folder, *rows) | settings, vendors) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/v1/embeddings",
        "/ai/embeddings",
        "/v1/inference/embed",
        "/v1/images/generations",
        "/v1/inference/images/generate",
        "/v1/images/edits",
        "/v1/audio/speech",
        "/v1/inference/audio/synthesize",
        "/v1/audio/transcriptions",
        "/v1/inference/audio/transcribe",
    ],
)
async def test_F01_every_other_kind_of_request_falls_back(keys: KeyStore, tmp_path: Path, path: str) -> None:
    vendors = Vendors()
    vendors.script("a", status(500))
    request = request_to(path, "a")
    if "/images/" in path:
        request.get("json", request.get("data", {})).pop("size", None)
    if path in ("/v1/audio/speech", "/v1/inference/audio/synthesize"):
        request["json"]["response_format"] = "mp3"
    if "json" in request:
        request["json"]["models"] = ["b", "c"]
    else:
        request["data"]["models"] = "b, c"
    async with gateway(keys, tmp_path, vendors) as client:
        response = await client.post(path, **request)
    assert response.status_code == 200, response.text
    assert vendors.asked == ["a", "b"]
    assert response.headers[ATTEMPTS] == f"{A};500, {B};200"
    assert response.headers["x-gateway-model"] == "b"


async def test_F02_the_requests_models_come_before_the_rows_fallbacks_and_instead_of_them(
    keys: KeyStore, tmp_path: Path
) -> None:
    rows = (row("a", more='fallbacks = ["c"]'), row("b"), row("c"))
    vendors = Vendors()
    vendors.script("a", status(500))
    async with gateway(keys, tmp_path, vendors, *rows) as client:
        named = await client.post(CHAT, json=asking(CHAT, "a", models=["b"]))
        unnamed = await client.post(CHAT, json=asking(CHAT, "a"))
    assert (named.json()["model"], unnamed.json()["model"]) == ("b", "c")
    assert vendors.asked == ["a", "b", "a", "c"]


async def test_F02_models_may_stand_alone(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    async with gateway(keys, tmp_path, vendors) as client:
        body = asking(CHAT, "a", models=["b", "c"])
        del body["model"]
        response = await client.post(CHAT, json=body)
        wrong = await client.post(CHAT, json=asking(CHAT, "a", models="b"))
    assert response.json()["model"] == "b"
    assert ATTEMPTS not in response.headers
    assert_error(wrong, "validation", field="models")


async def test_F02_at_most_five_candidates_are_tried_and_unknown_and_doubled_ones_skipped(
    keys: KeyStore, tmp_path: Path
) -> None:
    vendors = Vendors()
    names = list("abcdefg")
    for name in names:
        vendors.script(name, status(500))
    async with gateway(keys, tmp_path, vendors, *map(row, names)) as client:
        response = await client.post(CHAT, json=asking(CHAT, "unknown", models=["a", "a", "none/such", *names]))
        unknown = await client.post(CHAT, json=asking(CHAT, "unknown", models=["unknown-too"]))
    assert_error(response, "upstream")
    assert vendors.asked == list("abcde")
    assert_error(unknown, "model_not_found")


async def test_F02_models_that_the_key_may_not_use_are_skipped(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    async with account(keys, environment=environment(tmp_path), vendor=vendors, models=frozenset({"b"})) as caller:
        response = await caller.ask(CHAT, "a", models=["b"])
        forbidden = await caller.ask(CHAT, "a", models=["c"])
        partly = await caller.ask(CHAT, "a", models=["unknown"])
    assert response.json()["model"] == "b"
    assert_error(forbidden, "model_access")
    assert_error(partly, "model_not_found")
    assert vendors.asked == ["b"]


@pytest.mark.parametrize("code", [400, 422])
async def test_F03_the_callers_own_fault_goes_to_no_other_model(keys: KeyStore, tmp_path: Path, code: int) -> None:
    vendors = Vendors()
    vendors.script("a", status(code))
    async with gateway(keys, tmp_path, vendors) as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b"]))
    assert_error(response, "rejected")
    assert vendors.asked == ["a"]


async def test_F03_a_content_filter_is_final_unless_the_row_says_otherwise(keys: KeyStore, tmp_path: Path) -> None:
    def filtered(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {"message": "Refused.", "code": "content_filter"}})

    vendors = Vendors()
    vendors.script("a", filtered)
    vendors.script("b", filtered)
    rows = (row("a"), row("b", more="fallback_when_filtered = true"), row("c"))
    async with gateway(keys, tmp_path, vendors, *rows) as client:
        final = await client.post(CHAT, json=asking(CHAT, "a", models=["c"]))
        passed_on = await client.post(CHAT, json=asking(CHAT, "b", models=["c"]))
    assert_error(final, "filtered")
    assert passed_on.json()["model"] == "c"


@pytest.mark.parametrize("stream", [False, True])
async def test_F03_a_caller_who_left_is_answered_by_no_other_model(
    keys: KeyStore, tmp_path: Path, stream: bool
) -> None:
    slow = Slow()
    vendors = Vendors()
    vendors.script("a", slow)
    async with gateway(keys, tmp_path, vendors) as client:
        asked = asyncio.create_task(client.post(CHAT, json=asking(CHAT, "a", models=["b"], stream=stream)))
        await slow.asked.wait()
        asked.cancel()
        await asyncio.wait([asked])
        assert slow.cancelled.is_set()
    assert vendors.asked == ["a"]


async def test_F05_headers_and_body_name_who_answered_in_every_dialect(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    vendors.script("a", status(500))
    vendors.script("b", status(429))
    async with gateway(keys, tmp_path, vendors) as client:
        for path in EVERY_DIALECT:
            response = await client.post(path, json=chatting(path, "a", models=["b", "c"]))
            assert response.headers["x-gateway-model"] == "c"
            assert response.headers["x-gateway-backend"] == C
            assert response.headers[ATTEMPTS] == f"{A};500, {B};429, {C};200"
            body = response.json()
            assert body.get("data", body)["model"] == "c"


async def test_F04_candidates_that_cannot_do_what_is_needed_are_skipped(keys: KeyStore, tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    rows = (row("a"), row("b", capabilities="chat"), row("c"))
    vendors = Vendors()
    vendors.script("a", status(500))
    async with gateway(keys, tmp_path, vendors, *rows) as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b", "c"], tools=tools))
        first = await client.post(CHAT, json=asking(CHAT, "b", models=["c"], tools=tools))
        none = await client.post(CHAT, json=asking(CHAT, "b", models=["unknown"], tools=tools))
    assert (response.json()["model"], first.json()["model"]) == ("c", "c")
    assert_error(none, "unsupported")
    assert vendors.asked == ["a", "c", "c"]


async def test_F04_a_context_that_is_too_small_goes_to_a_larger_one(keys: KeyStore, tmp_path: Path) -> None:
    def too_long(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {"message": "Too long.", "code": "context_length_exceeded"}})

    rows = [row(name, more=f"context_length = {size}") for name, size in (("a", 1000), ("b", 900), ("c", 2000))]
    vendors = Vendors()
    vendors.script("a", too_long)
    async with gateway(keys, tmp_path, vendors, *rows) as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b", "c"]))
        vendors.script("c", too_long)
        none = await client.post(CHAT, json=asking(CHAT, "a", models=["b", "c"]))
    assert response.json()["model"] == "c"
    assert_error(none, "too_long")
    assert vendors.asked == ["a", "c", "a", "c"]


async def test_F05_the_row_with_its_own_name_echoes_it_and_others_are_named_by_their_id(
    keys: KeyStore, tmp_path: Path
) -> None:
    rows = (row("a", more='aliases = ["alias-a"]'), row("b", more='aliases = ["alias-b"]'))
    vendors = Vendors()
    async with gateway(keys, tmp_path, vendors, *rows) as client:
        first = await client.post(CHAT, json=asking(CHAT, "alias-a", models=["alias-b"]))
        vendors.script("a", status(429))
        second = await client.post(CHAT, json=asking(CHAT, "alias-a", models=["alias-b"]))
    assert (first.json()["model"], second.json()["model"]) == ("alias-a", "b")
    assert ATTEMPTS not in first.headers


async def test_F06_when_all_fail_the_last_error_is_answered_with_the_soonest_retry_after(
    keys: KeyStore, tmp_path: Path
) -> None:
    vendors = Vendors()
    vendors.script("a", status(429, retry_after="30"))
    vendors.script("b", status(429, retry_after="7"))
    vendors.script("c", status(500))
    async with gateway(keys, tmp_path, vendors) as client:
        for path in DISTINCT:
            response = await client.post(path, json=asking(path, "a", models=["b", "c"], stream=True))
            assert response.headers["retry-after"] == "7"
            assert response.status_code == 502
            assert response.headers[ATTEMPTS] == f"{A};429, {B};429, {C};500"


async def test_F06_a_short_retry_after_is_waited_for_where_nothing_else_is_left(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    vendors.script("a", status(429, retry_after="1"), good)
    vendors.script("b", status(500))
    async with gateway(keys, tmp_path, vendors) as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b"]))
        vendors.script("a", status(429, retry_after="3"))
        long = await client.post(CHAT, json=asking(CHAT, "a"))
    assert text_of(response) == "Hello there"
    assert response.headers[ATTEMPTS] == f"{A};429, {B};500, {A};200"
    assert_error(long, "rate_limited", retry_after=3)
    assert vendors.asked == ["a", "b", "a", "a"]


async def test_F01_a_whole_answer_that_breaks_off_is_asked_for_again(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    vendors.script("a", cut(b'{"choices": [{"index": 0, "message": {"content": "Hel'))
    async with gateway(keys, tmp_path, vendors) as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b"]))
    assert text_of(response) == "Hello there"
    assert vendors.asked == ["a", "b"]


async def test_F07_an_attempt_that_is_refused_costs_nothing_and_the_model_that_answers_is_counted(
    keys: KeyStore, tmp_path: Path
) -> None:
    vendors = Vendors()
    vendors.script("a", status(500))
    budget = Limits(budget_day=10**9)
    async with account(keys, budget, environment=environment(tmp_path), vendor=vendors) as caller:
        response = await caller.ask(CHAT, "a", models=["b"])
        assert text_of(response) == "Hello there"
        counted = await caller.row()
    assert (counted.model, counted.requests, counted.failures) == ("b", 1, 0)
    assert counted.cost == 13
    assert response.headers["x-gateway-cost"] == "0.000013"


async def test_F07_an_attempt_that_spent_tokens_is_charged_to_its_own_model(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    vendors.script("a", garbage)
    budget = Limits(budget_day=10**9)
    async with account(keys, budget, environment=environment(tmp_path), vendor=vendors) as caller:
        response = await caller.ask(CHAT, "a", models=["b"])
        assert text_of(response) == "Hello there"
        assert response.json()["usage"]["total_tokens"] == 13
        rows = {found.model: found for found in await caller.rows()}
        standing = await caller.standing()
    assert (rows["a"].requests, rows["a"].failures, rows["a"].estimated) == (0, 1, 1)
    assert (rows["b"].requests, rows["b"].failures, rows["b"].cost) == (1, 0, 13)
    assert standing.spent_day == rows["a"].cost + rows["b"].cost
    assert rows["a"].cost > 0
    assert (standing.in_flight, standing.reserved) == (0, 0)


async def test_F07_the_reservation_covers_the_dearest_candidate(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    settings = environment(tmp_path, row("a", price=1), row("b", price=1000))
    async with account(keys, Limits(budget_day=20_000), environment=settings, vendor=vendors) as caller:
        alone = await caller.ask(CHAT, "a", max_tokens=10)
        both = await caller.ask(CHAT, "a", models=["b"], max_tokens=100)
    assert alone.status_code == 200
    assert both.status_code == 429
    assert vendors.asked == ["a"]


async def test_F07_a_budget_is_not_exceeded_by_attempts_that_each_cost(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    for name in "abc":
        vendors.script(name, garbage)
    async with account(keys, Limits(budget_day=400), environment=environment(tmp_path), vendor=vendors) as caller:
        response = await caller.ask(CHAT, "a", models=["b", "c"], max_tokens=200)
        standing = await caller.standing()
    assert response.status_code == 502
    assert vendors.asked == ["a"]
    assert 0 < standing.spent_day <= 400


async def test_F08_a_stream_that_says_nothing_in_time_goes_to_the_next(keys: KeyStore, tmp_path: Path) -> None:
    opening = chunk({"role": "assistant", "content": ""})
    vendors = Vendors()
    vendors.script("a", silent())
    vendors.script("b", silent(opening + b": ping\n\n"))
    async with gateway(keys, tmp_path, vendors, GATEWAY_FIRST_EVENT_TIMEOUT="0.01") as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b", "c"], stream=True))
    assert text_of(response) == "Hello there"
    assert response.headers[ATTEMPTS] == f"{A};timeout, {B};timeout, {C};200"
    assert [event for event in events(response) if b'"role":"assistant"' in event.data][1:] == []


async def test_F08_the_last_candidate_may_take_longer(keys: KeyStore, tmp_path: Path) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b": ping\n\n"
        for _ in range(5):
            await asyncio.sleep(0)
        yield SAID_HELLO + chunk({}, "stop") + b"data: [DONE]\n\n"

    vendors = Vendors()
    vendors.script("a", lambda request: httpx.Response(200, content=slow()))
    async with gateway(keys, tmp_path, vendors, GATEWAY_FIRST_EVENT_TIMEOUT="0") as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", stream=True))
    assert text_of(response) == "Hello"


async def test_all_attempts_share_one_deadline(keys: KeyStore, tmp_path: Path) -> None:
    vendors = Vendors()
    vendors.script("a", silent())
    async with gateway(keys, tmp_path, vendors, GATEWAY_UPSTREAM_TIMEOUT="0.05") as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b"]))
    assert_error(response, "timeout")
    assert vendors.asked == ["a"]


async def test_a_misspelt_fallback_in_a_row_is_an_error_at_start(keys: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model 'a', fallbacks: unknown model 'nobody'"):
        async with gateway(keys, tmp_path, Vendors(), row("a", more='fallbacks = ["nobody"]')):
            raise AssertionError


async def test_the_log_has_every_attempt(keys: KeyStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vendors = Vendors()
    vendors.script("a", status(429))
    async with gateway(keys, tmp_path, vendors) as client:
        await client.post(CHAT, json=asking(CHAT, "a", models=["b"]))
    lines: list[Any] = caplog.records
    (failed,) = [line for line in lines if line.msg == "provider call failed"]
    (request,) = [line for line in lines if line.msg == "request"]
    assert (failed.attempt, failed.status, failed.upstream_model) == (1, 429, "up-a")
    assert request.attempts == f"{A};429, {B};200"
    assert request.model == "b"


async def test_F08_a_stream_that_has_begun_with_a_comment_still_falls_back(keys: KeyStore, tmp_path: Path) -> None:
    waits = {"GATEWAY_FIRST_EVENT_WAIT": "0.001", "GATEWAY_FIRST_EVENT_TIMEOUT": "0.05"}
    vendors = Vendors()
    vendors.script("a", silent())
    async with gateway(keys, tmp_path, vendors, **waits) as client:
        response = await client.post(CHAT, json=asking(CHAT, "a", models=["b"], stream=True))
    assert response.content.startswith(b":")
    assert text_of(response) == "Hello there"
    assert b'"model":"b"' in response.content


def test_F02_anthropics_way_to_name_fallbacks_is_read_where_it_is_spoken() -> None:
    named = {"model": "a", "fallbacks": [{"model": "b", "max_tokens": 1}, {"model": "c"}]}
    assert take_models(dict(named), with_fallbacks=True) == ("b", "c")
    assert take_models(dict(named)) == ()
    with pytest.raises(ValidationFailed, match="fallbacks"):
        take_models({"model": "a", "fallbacks": ["b"]}, with_fallbacks=True)


async def test_F01_nearly_all_requests_of_a_bad_quarter_of_an_hour_are_answered() -> None:
    """What `make bench-outage` measures of a whole hour."""
    tried = await Outage(seconds=900, between=12).run()
    assert tried["call"].share < 0.75
    assert tried["alone"].share < 0.9
    assert tried["failing"].share == 1
