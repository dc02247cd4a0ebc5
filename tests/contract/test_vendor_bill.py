"""A provider that keeps its own bill: whatever goes wrong, keys with a budget are charged that much at least, and not
twice as much over a run."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.contract import vendor as upstream
from tests.contract.accounts import CHAT, Account, account, catalog
from tests.contract.vendor import ENVIRONMENT, HEAD, frame
from tests.gateway.test_metering import leave

pytestmark = pytest.mark.anyio

MODEL = "billed"
INPUT_PRICE, OUTPUT_PRICE = 1, 10
"""Micro-dollars a token."""
ROW = f'''
[[models]]
id = "{MODEL}"
provider = "deepinfra"
upstream = "billed"
capabilities = ["chat"]
max_output_tokens = 400
price = {{ input = "{INPUT_PRICE}", output = "{OUTPUT_PRICE}" }}
'''
MAX_TOKENS = 200
WORD = "word "


class Provider:
    """Counts a token for each word of a prompt, and for each word that it generates, also those that nobody gets."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.behave: Callable[[httpx.Request], httpx.Response] = self.answer
        self.bill = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return self.behave(request)

    def _charge(self, request: httpx.Request, generated: int) -> dict[str, int]:
        prompt = len(json.loads(request.content)["messages"][-1]["content"].split())
        self.bill += prompt * INPUT_PRICE + generated * OUTPUT_PRICE
        return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}

    def _generate(self) -> int:
        return self._chance.randint(MAX_TOKENS // 2, MAX_TOKENS)

    def answer(self, request: httpx.Request) -> httpx.Response:
        words = self._generate()
        usage = self._charge(request, words)
        if json.loads(request.content).get("stream"):
            said = upstream.BEGINNING + upstream.chunk({"content": WORD}) * (words - 1) + upstream.chunk({}, "stop")
            told = frame({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            return httpx.Response(200, content=said + told + b"data: [DONE]\n\n")
        message = {"role": "assistant", "content": WORD * words}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return httpx.Response(200, json={**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})

    def time_out(self, request: httpx.Request) -> httpx.Response:
        self._charge(request, self._generate())
        raise httpx.ReadTimeout("late")

    def break_connection(self, request: httpx.Request) -> httpx.Response:
        self._charge(request, self._generate())
        raise httpx.ReadError("broken")

    def answer_garbage(self, request: httpx.Request) -> httpx.Response:
        self._charge(request, self._generate())
        return httpx.Response(200, content=b'{"choices": [{"mess')

    def refuse(self, request: httpx.Request) -> httpx.Response:
        status = self._chance.choice([401, 429, 500, 503])
        return httpx.Response(status, json={"error": {"message": "no"}})

    def answer_504(self, request: httpx.Request) -> httpx.Response:
        self._charge(request, self._generate())
        return httpx.Response(504)

    def break_off(self, request: httpx.Request) -> httpx.Response:
        """A stream that breaks off; of a whole response only the beginning arrives."""
        words = self._generate()
        self._charge(request, words)

        async def body() -> AsyncIterator[bytes]:
            yield upstream.BEGINNING
            for _ in range(words - 1):
                yield upstream.chunk({"content": WORD})
            raise httpx.ReadError("broken")

        return httpx.Response(200, content=body())

    def talk_on(self, request: httpx.Request) -> httpx.Response:
        """A stream that says some words, and stops generating when nobody listens."""
        words = self._generate()
        self._charge(request, words)

        async def body() -> AsyncIterator[bytes]:
            yield upstream.BEGINNING
            for _ in range(words - 1):
                yield upstream.chunk({"content": WORD})
            await asyncio.Event().wait()

        return httpx.Response(200, content=body())


async def ask(caller: Account, chance: random.Random, *, stream: bool) -> None:
    prompt = " ".join(["question"] * chance.randint(1, 40))
    messages = [{"role": "user", "content": prompt}]
    await caller.ask(CHAT, MODEL, messages=messages, max_tokens=MAX_TOKENS, stream=stream)


async def ask_and_leave(caller: Account, chance: random.Random, provider: Provider) -> None:
    """The client leaves a stream when it has got all that was said, and the provider would go on."""
    original = provider._generate
    words = original()
    provider._generate = lambda: words  # type: ignore[method-assign]
    await leave(caller, after=words, model=MODEL)
    provider._generate = original  # type: ignore[method-assign]


SCENARIOS = ["answer", "time_out", "break_connection", "answer_garbage", "refuse", "answer_504", "break_off", "talk_on"]


async def play(caller: Account, provider: Provider, chance: random.Random, scenario: str) -> tuple[int, int]:
    """What the provider bills for a request, and what its key is charged."""
    provider.behave = getattr(provider, scenario)
    billed, charged = provider.bill, (await caller.standing()).spent_day
    with suppress(httpx.ReadError):  # a stream that breaks off does so for the client, too
        if scenario == "talk_on":
            await ask_and_leave(caller, chance, provider)
        else:
            await ask(caller, chance, stream=chance.random() < 0.5)
    standing = await caller.standing()
    assert (standing.in_flight, standing.reserved) == (0, 0)
    return provider.bill - billed, standing.spent_day - charged


def environment(folder: Path) -> dict[str, str]:
    return {**ENVIRONMENT, **catalog(folder, ROW)}


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_no_scenario_charges_less_than_the_provider_bills(keys: KeyStore, tmp_path: Path, scenario: str) -> None:
    chance = random.Random(scenario)
    provider = Provider(chance)
    async with account(keys, Limits(budget_day=10**9), environment=environment(tmp_path), vendor=provider) as caller:
        for _ in range(6):
            billed, charged = await play(caller, provider, chance, scenario)
            assert charged >= billed
            assert (billed > 0) == (scenario != "refuse")
            if scenario == "answer":
                assert charged == billed
            if scenario == "refuse":
                assert charged == 0


@pytest.mark.parametrize("seed", range(3))
async def test_over_a_run_nobody_is_charged_twice_the_bill(keys: KeyStore, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    provider = Provider(chance)
    limits: dict[str, Any] = {"budget_day": 10**9, "budget_month": 10**9, "tokens_per_minute": 10**7}
    async with account(keys, Limits(**limits), environment=environment(tmp_path), vendor=provider) as caller:
        for _ in range(40):
            billed, charged = await play(caller, provider, chance, chance.choice(SCENARIOS))
            assert charged >= billed
        spent = (await caller.standing()).spent_day
        assert provider.bill <= spent <= 2 * provider.bill
        assert sum(row.cost for row in await caller.rows()) == spent
