"""Gateways race for one key through their HTTP door, on a DynamoDB that fails: every answer is right or says when to
come back, no budget is exceeded, and the usage is what clients got."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.schemas.caller import Caller, Key, Permission
from shared.schemas.limits import Balance, Estimate, Limits, UsageRow
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LEASE_SECONDS, LimitStore
from shared.stores.limits.usage import UNSETTLED, By, summed
from tests.client import frames
from tests.functions.raced_gateways import INPUT_TOKENS, text_of
from tests.stores.dynamodb_process import dynamodb

pytestmark = pytest.mark.anyio
GATEWAYS = 8
CLIENTS_EACH = 2
KEY, TENANT = "raced", "t"
TOKEN = "sk-raced"
TABLES = {
    "GATEWAY_KEYS_TABLE": "raced-keys",
    "GATEWAY_LIMITS_TABLE": "raced-limits",
    "GATEWAY_USAGE_TABLE": "raced-usage",
}
PATH = "/v1/chat/completions"
MODEL, LEAVERS_MODEL = "said", "left"
MOST_TOKENS, PRICE = 50, 20
DEAREST = MOST_TOKENS * PRICE
"""What a request reserves, in micro-dollars: its input is free."""
CATALOG = f"""
[providers.stub]
adapter = "openai"
base_url = "http://provider.test/v1"
api_key_env = "STUB_API_KEY"

[[models]]
id = "{MODEL}"
provider = "stub"
upstream = "{MODEL}"
capabilities = ["chat"]
price = {{ output = {PRICE} }}

[[models]]
id = "{LEAVERS_MODEL}"
provider = "stub"
upstream = "{LEAVERS_MODEL}"
capabilities = ["chat"]
price = {{ output = {PRICE} }}
"""
NOTHING = UsageRow(key_id="", day="", model="")
UNTIL_TOMORROW = 60
QUIET_SECONDS = 30
DAY = "2031-05-15"


@dataclass
class Gateway:
    """A process and what its clients have seen: the tokens of each answer, the status of each refusal, how many have
    left, and how many were cut off by the death of the process."""

    process: int
    url: str
    served: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    leavers: int = 0
    cut_off: int = 0
    is_killed: bool = False

    def kill(self) -> None:
        self.is_killed = True
        os.kill(self.process, signal.SIGKILL)


@contextmanager
def gateways(environment: dict[str, str], ahead: int) -> Iterator[list[Gateway]]:
    """Gateways that are configured by `environment`; at the end they have settled everything."""
    command = [sys.executable, "-m", "tests.functions.raced_gateways", str(GATEWAYS), str(ahead)]
    variables = {"PATH": os.environ.get("PATH", ""), "STUB_API_KEY": "x", **TABLES, **environment}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    ) as processes:
        assert processes.stdin is not None
        assert processes.stdout is not None
        started = [processes.stdout.readline().split() for _ in range(GATEWAYS)]
        running = [Gateway(int(process), f"http://127.0.0.1:{port}") for process, port in started]
        try:
            yield running
        except BaseException:
            for gateway in running:
                gateway.kill()
            raise
        processes.stdin.close()
        assert processes.wait() == 0


@asynccontextmanager
async def opened(environment: dict[str, str], ahead: int, later: int = 0) -> AsyncIterator[LimitStore]:
    """The test's own store, so many seconds later."""
    aws = Aws(environment)
    tables = TABLES["GATEWAY_LIMITS_TABLE"], TABLES["GATEWAY_USAGE_TABLE"]
    yield LimitStore(aws, *tables, clock=lambda: time.time_ns() // 1000 + ahead + later * 1_000_000)
    await aws.aclose()


async def create_key(environment: dict[str, str], limits: Limits, tenant_limits: Limits) -> None:
    aws = Aws(environment)
    keys = KeyStore(aws, TABLES["GATEWAY_KEYS_TABLE"])
    await keys.create_table()
    await keys.put(
        TOKEN,
        Key(key_id=KEY, tenant=TENANT, permissions=frozenset(Permission), limits=limits, tenant_limits=tenant_limits),
    )
    await aws.aclose()


def before_noon() -> int:
    """How far this machine's clock is behind noon of `DAY`, in microseconds: then the race does not meet midnight."""
    noon = datetime.fromisoformat(f"{DAY}T12:00:00").replace(tzinfo=UTC).timestamp()
    return round((noon - time.time()) * 1_000_000)


async def use(
    gateway: Gateway, chance: random.Random, *, requests: int, leaving: float, served_until_kill: int
) -> None:
    """One client of a gateway: makes requests until the budget is spent, or so many. With such a chance it leaves while
    it is answered. Kills the gateway when its clients have got so many answers."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client:
        for _ in range(requests):
            tokens = chance.randint(1, MOST_TOKENS)
            if chance.random() < leaving:
                gateway.leavers += 1
                await leave(client, chance, tokens)
                continue
            try:
                response = await client.post(PATH, json=body_of(MODEL, tokens, streamed=chance.random() < 0.5))
            except httpx.TransportError:
                assert gateway.is_killed
                gateway.cut_off += 1
                return
            if response.status_code == 200:
                check(response, tokens)
                gateway.served.append(tokens)
                if len(gateway.served) == served_until_kill:
                    gateway.kill()
                    return
                continue
            assert response.status_code in (429, 503), response.text
            assert response.json()["error"]["message"]
            gateway.refused.append(response.status_code)
            seconds = int(response.headers["retry-after"])
            assert seconds >= 1
            if seconds >= UNTIL_TOMORROW:
                return
            await asyncio.sleep(chance.uniform(0, 0.2))


async def leave(client: httpx.AsyncClient, chance: random.Random, tokens: int) -> None:
    """Leaves at any moment: while the request is being reserved, or after the beginning of its answer."""
    body = body_of(LEAVERS_MODEL, tokens, streamed=True)
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(chance.choice([None, chance.uniform(0, 0.2)])),
            client.stream("POST", PATH, json=body) as response,
        ):
            await anext(response.aiter_raw())


def body_of(model: str, tokens: int, *, streamed: bool) -> dict[str, Any]:
    message = {"role": "user", "content": str(tokens)}
    options = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    return {"model": model, "messages": [message], "max_tokens": MOST_TOKENS, **options}


def check(response: httpx.Response, tokens: int) -> None:
    """Whether an answer is what the provider said, whole."""
    if response.headers["content-type"].startswith("text/event-stream"):
        *events, done = frames(response.content)
        assert done == "[DONE]"
        choices = [choice for event in events for choice in event["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        usage, reason = events[-1]["usage"], choices[-1]["finish_reason"]
    else:
        whole = response.json()
        usage, reason = whole["usage"], whole["choices"][0]["finish_reason"]
        text = whole["choices"][0]["message"]["content"]
    assert (text, reason) == (text_of(tokens), "stop")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (INPUT_TOKENS, tokens)


async def race(
    running: list[Gateway],
    store: LimitStore,
    *,
    requests: int = 1000,
    leaving: float = 0.0,
    served_until_kill: Callable[[int], int] = lambda number: 0,
) -> list[Balance]:
    """Lets the clients of all gateways make their requests, and returns what the key's balance was all the while."""
    clients = [
        use(
            gateway,
            random.Random(number),
            requests=requests,
            leaving=leaving,
            served_until_kill=served_until_kill(number % GATEWAYS),
        )
        for number, gateway in enumerate(running * CLIENTS_EACH)
    ]
    seen = list[Balance]()

    async def watch() -> None:
        while True:
            seen.append(await store.standing(KEY))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return seen


async def quiet(store: LimitStore) -> None:
    """Waits until nothing is reserved or in flight."""
    async with asyncio.timeout(QUIET_SECONDS):
        while await is_busy(store):  # noqa: ASYNC110 - what it waits for happens in other processes
            await asyncio.sleep(0.1)


async def is_busy(store: LimitStore) -> bool:
    balances = await store.standing(KEY), await store.standing(tenant=TENANT)
    return any(balance.in_flight or balance.reserved for balance in balances)


async def usage_of(store: LimitStore) -> dict[str, UsageRow]:
    return summed(await store.usage.rows(DAY, DAY, KEY), By.MODEL)


def served(running: list[Gateway]) -> tuple[int, int, int]:
    """How many answers clients have got, their tokens, and their cost."""
    tokens = [count for gateway in running for count in gateway.served]
    return len(tokens), sum(tokens), PRICE * sum(tokens)


@pytest.fixture
def catalog(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG, "utf-8")
    return {"GATEWAY_CATALOG": str(file)}


async def test_gateways_count_exactly_what_their_clients_got_while_dynamodb_fails_and_clients_leave(
    catalog: dict[str, str],
) -> None:
    budget, concurrency, ahead = 30_000, 12, before_noon()
    limits = Limits(budget_day=budget, concurrency=concurrency, requests_per_minute=3000)
    with dynamodb(faults=0.2) as (well, faulty):
        await create_key(well, limits, Limits(budget_month=10**9, concurrency=100))
        async with opened(well, ahead) as store:
            await store.create_tables()
            with gateways({**faulty, **catalog}, ahead) as running:
                seen = await race(running, store, leaving=0.2)
                await quiet(store)
            rows = await usage_of(store)
            balances = await store.standing(KEY), await store.standing(tenant=TENANT)
    assert max(balance.spent_day + balance.reserved for balance in seen) <= budget
    assert max(balance.in_flight for balance in seen) <= concurrency
    said, left = rows.pop(MODEL), rows.pop(LEAVERS_MODEL, NOTHING)
    assert rows == {}
    assert (said.requests, said.usage.output_tokens, said.cost) == served(running)
    assert (said.failures, said.estimated, said.usage.input_tokens) == (0, 0, said.requests * INPUT_TOKENS)
    assert left.requests + left.failures <= sum(gateway.leavers for gateway in running)
    assert left.cost <= DEAREST * (left.requests + left.failures)
    spent = said.cost + left.cost
    assert balances == (Balance(0, 0, spent, spent),) * 2
    assert budget - DEAREST < spent <= budget
    assert {status for gateway in running for status in gateway.refused} == {429, 503}


async def test_what_killed_gateways_answered_is_never_missing_from_a_budget(catalog: dict[str, str]) -> None:
    budget, ahead = 40_000, before_noon()
    with dynamodb(faults=0.1) as (well, faulty):
        await create_key(well, Limits(budget_day=budget, concurrency=40), Limits())
        async with opened(well, ahead) as store:
            await store.create_tables()
            with gateways({**faulty, **catalog}, ahead) as running:
                seen = await race(running, store, requests=8, served_until_kill=lambda number: 3 if number % 2 else 0)
            before = await store.standing(KEY)
        async with opened(well, ahead, later=2 * LEASE_SECONDS) as store:
            left = await store.standing(KEY)
            await take_back_the_dead(store, budget)
            rows = await usage_of(store)
    assert sum(gateway.is_killed for gateway in running) == GATEWAYS // 2
    assert max(balance.spent_day + balance.reserved for balance in seen) <= budget
    assert max(balance.in_flight for balance in seen) <= 40
    count, _, cost = served(running)
    # What the dead had under way is charged as it was reserved, as long as nobody tells more.
    charged = before.spent_day + before.reserved
    assert left == Balance(0, 0, charged, charged)
    assert cost <= charged <= budget
    assert sum(row.cost for row in rows.values()) == charged
    unsettled = rows.get(UNSETTLED, NOTHING)
    assert (unsettled.failures, unsettled.cost) == (before.in_flight, before.reserved)
    counted = rows[MODEL].requests + unsettled.failures
    assert count <= counted <= count + sum(gateway.cut_off for gateway in running)


async def take_back_the_dead(store: LimitStore, budget: int) -> None:
    """Makes a request, which takes back what has died, and gives it back."""
    caller = Caller(key_id=KEY, tenant=TENANT, permissions=frozenset(), limits=Limits(budget_day=budget))
    await store.cancel(await store.reserve(caller, Estimate()))
    await store.flush(60)
