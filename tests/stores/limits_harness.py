"""A store of limits on fresh tables: with a clock that is set by hand, and a DynamoDB that can be told to fail."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.schemas.caller import Caller
from shared.schemas.limits import Estimate, Limits, Refused
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.store import LimitStore
from shared.stores.limits.write import Item, item_of

SECOND = 1_000_000
NOON = int(datetime(2031, 11, 21, 12, tzinfo=UTC).timestamp()) * SECOND
REQUEST = Estimate(tokens=10, cost=10)


class CountingTransport(httpx.AsyncBaseTransport):
    """Counts what is asked of DynamoDB by action, and can lose answers, fail, or keep requests back.

    `lose_answers` and `answer_500` are for how many of the next calls; they are done all the same, and how many of them
    AWS has not refused is counted in `done_unheard`. `throttle` refuses
    the next calls, `down_for` all that contain these bytes. `keep_back` keeps the next one, which then fails for its
    sender, for `deliver_late`.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.counts: dict[str, int] = {}
        self.refused = 0
        self.longest = 0
        self.lose_answers = 0
        self.answer_500 = 0
        self.done_unheard = 0
        self.throttle = 0
        self.keep_back = 0
        self.kept: list[httpx.Request] = []
        self.down_for: bytes | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down_for is not None and self.down_for in request.content:
            raise httpx.ConnectError("down")
        if self.keep_back:
            self.keep_back -= 1
            self.kept.append(request)
            raise httpx.ReadTimeout("kept back")
        if self.throttle:
            self.throttle -= 1
            return httpx.Response(400, json={"__type": "x#ProvisionedThroughputExceededException"})
        self._check(request)
        response = await self.inner.handle_async_request(request)
        self.refused += response.status_code == 400
        self.done_unheard += response.status_code == 200 and bool(self.lose_answers or self.answer_500)
        if self.lose_answers:
            self.lose_answers -= 1
            await response.aclose()
            raise httpx.ReadTimeout("lost")
        if self.answer_500:
            self.answer_500 -= 1
            await response.aclose()
            return httpx.Response(500, json={"__type": "x#InternalServerError"})
        return response

    def _check(self, request: httpx.Request) -> None:
        action = request.headers["x-amz-target"].partition(".")[2]
        self.counts[action] = self.counts.get(action, 0) + 1
        body = json.loads(request.content)
        for name in ("UpdateExpression", "ConditionExpression"):
            self.longest = max(self.longest, len(body.get(name, "")))
        # Here moto is more lenient than DynamoDB, which lets an update name an attribute once, and has no empty ranges.
        updated = re.findall(r"#\d+", re.sub(r"if_not_exists\([^)]*\)", "", body.get("UpdateExpression", "")))
        assert len(updated) == len(set(updated)), body
        for low, high in re.findall(r"BETWEEN (:\d+) AND (:\d+)", body.get("ConditionExpression", "")):
            values = body["ExpressionAttributeValues"]
            assert "N" not in values[low] or int(values[low]["N"]) <= int(values[high]["N"]), body

    async def deliver_late(self) -> None:
        """Delivers what was kept back; nobody gets the answers."""
        for request in self.kept:
            response = await self.inner.handle_async_request(request)
            await response.aread()
        self.kept.clear()


class Harness:
    """A store on fresh tables, its clock in microseconds, and what it asks of DynamoDB."""

    def __init__(self, environment: Mapping[str, str], dynamodb: httpx.AsyncBaseTransport, name: str) -> None:
        self.now = NOON
        self.environment = environment
        self.tables = f"{name}-limits"[-200:], f"{name}-usage"[-200:]
        self.transport = CountingTransport(dynamodb)
        self.shards: list[int] = []
        self.store = self.process()

    def process(self, **options: Any) -> LimitStore:
        """Another process on the same tables."""
        return LimitStore(
            Aws(self.environment, transport=self.transport),
            *self.tables,
            clock=lambda: self.now,
            choose=lambda below: self.shards.pop(0) % below if self.shards else 0,
            **options,
        )

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    async def writes(self) -> int:
        written = self.transport.counts.get("UpdateItem", 0)
        self.transport.counts.clear()
        return written

    async def items(self) -> list[Item]:
        """The items of the table `Limits`, by their ids."""
        aws = Aws(self.environment, transport=self.transport)
        items = (await aws.call("dynamodb", "Scan", {"TableName": self.tables[0]}))["Items"]
        return sorted(map(item_of, items), key=lambda item: str(item["id"]))

    async def put(self, item: dict[str, Any]) -> None:
        """Writes an item of the table `Limits`."""
        query = {"TableName": self.tables[0], "Item": item}
        await Aws(self.environment, transport=self.transport).call("dynamodb", "PutItem", query)

    async def pages(self) -> list[dict[str, Any]]:
        """The rows of the table `Usage`."""
        aws = Aws(self.environment, transport=self.transport)
        found: list[dict[str, Any]] = (await aws.call("dynamodb", "Scan", {"TableName": self.tables[1]}))["Items"]
        return found


def caller(key: str = "k", tenant: Limits | None = None, **limits: int) -> Caller:
    return Caller(
        key_id=key,
        tenant="t",
        permissions=frozenset(),
        limits=Limits(**limits),
        tenant_limits=tenant or Limits(),
    )


async def refusal(store: LimitStore, who: Caller, estimate: Estimate = REQUEST) -> Refused:
    with pytest.raises(Refused) as raised:
        await store.reserve(who, estimate)
    return raised.value


def tokens(count: int) -> Usage:
    return Usage(input_tokens=count)
