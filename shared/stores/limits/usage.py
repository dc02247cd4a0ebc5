"""Usage: counted in the write that settles a request, moved to rows of its own later, and reported from both."""

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from shared.schemas.limits import UsageRow
from shared.schemas.usage import Usage
from shared.stores.aws import Aws, AwsError
from shared.stores.limits.write import Item, Write, number, view_of

_MANY_PAIRS = 8
_PAIRS_AT_ONCE = 24
_CONSISTENT_TRIES = 5
_KEY = "key#"
# The names of attributes are paid for with every write.
_FIELDS = {
    "i": "input_tokens",
    "o": "output_tokens",
    "r": "cached_read_tokens",
    "w": "cache_write_tokens",
    "t": "reasoning_tokens",
    "I": "input_image_tokens",
    "O": "output_image_tokens",
    "a": "input_audio_tokens",
    "b": "output_audio_tokens",
    "p": "images",
    "s": "characters",
}
_REQUESTS, _FAILURES, _COST, _AUDIO_MILLISECONDS = "q", "f", "c", "h"

Counters = Mapping[str, int]
"""The counters of one day and model by their short names."""
_Place = tuple[str, tuple[str, str]]
"""A key, a day and a model."""


class By(StrEnum):
    """What a report has a line for."""

    DAY = "day"
    MODEL = "model"
    KEY = "key"


def count(write: Write, day: str, model: str, usage: Usage, cost: int, *, failed: bool) -> None:
    """Adds one request to the usage in the item of its key. `day` is `YYYYMMDD`."""
    counted = {code: getattr(usage, name) for code, name in _FIELDS.items()}
    counted |= {_AUDIO_MILLISECONDS: round(usage.audio_seconds * 1000), _COST: cost}
    counted[_FAILURES if failed else _REQUESTS] = 1
    for code, amount in counted.items():
        write.add(f"u:{day}:{code}:{model}", amount)


def summed(rows: Iterable[UsageRow], by: By) -> dict[str, UsageRow]:
    """The rows added up for each day, model or key; what is not asked for is empty in a sum."""
    sums: dict[str, UsageRow] = {}
    for row in rows:
        name = {By.DAY: row.day, By.MODEL: row.model, By.KEY: row.key_id}[by]
        empty = UsageRow(
            key_id=name if by is By.KEY else "", day=name if by is By.DAY else "", model=name if by is By.MODEL else ""
        )
        before = sums.get(name, empty)
        sums[name] = replace(
            before,
            requests=before.requests + row.requests,
            failures=before.failures + row.failures,
            usage=before.usage + row.usage,
            cost=before.cost + row.cost,
        )
    return dict(sorted(sums.items()))


class UsageStore:
    """Moves usage from the table `limits` to the table `usage`, and reads it from both."""

    def __init__(self, aws: Aws, limits: str, usage: str, *, kept_seconds: int) -> None:
        self._aws = aws
        self._limits = limits
        self._usage = usage
        self._kept_seconds = kept_seconds

    async def move(self, item: str, seen: Item, today: str, now: int) -> None:
        """Moves usage of past days out of an item that holds much of it. `now` is in Unix seconds.

        In one transaction, so that nothing is counted twice or lost; when another process came first, nothing happens.
        Raises AwsError.
        """
        past = {pair: counters for pair, counters in _pairs(seen).items() if pair[0] < today}
        if not item.startswith(_KEY) or len(past) < _MANY_PAIRS:
            return
        moved = dict(sorted(past.items())[:_PAIRS_AT_ONCE])
        write = Write()
        write.add("g", 1)
        for (day, model), counters in moved.items():
            # Every request that is settled moves one of these two.
            for code in (_REQUESTS, _FAILURES):
                if code in counters:
                    write.require_equal(f"u:{day}:{code}:{model}", counters[code])
                else:
                    write.require_absent(f"u:{day}:{code}:{model}")
            for code in counters:
                write.remove(f"u:{day}:{code}:{model}")
        key_id = _key_id(item)
        rows = [{"Update": self._row(key_id, pair, counters, now)} for pair, counters in moved.items()]
        body = {
            "TransactItems": [{"Update": write.body(self._limits, item)}, *rows],
            "ClientRequestToken": secrets.token_hex(16),
        }
        try:
            await self._aws.call("dynamodb", "TransactWriteItems", body)
        except AwsError as error:
            if error.code != "TransactionCanceledException":
                raise

    def _row(self, key_id: str, pair: tuple[str, str], counters: Counters, now: int) -> dict[str, Any]:
        codes = list(counters)
        adds = ", ".join(f"#{position} :{position}" for position in range(len(codes)))
        names = {f"#{position}": code for position, code in enumerate(codes)} | {"#ttl": "ttl"}
        values = {f":{position}": {"N": str(counters[code])} for position, code in enumerate(codes)}
        return {
            "TableName": self._usage,
            "Key": {"key_id": {"S": key_id}, "day_model": {"S": "#".join(pair)}},
            "UpdateExpression": f"SET #ttl = :ttl ADD {adds}",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values | {":ttl": {"N": str(now + self._kept_seconds)}},
        }

    async def rows(self, first: str, last: str, key_id: str | None = None) -> list[UsageRow]:
        """The usage of the days from `first` to `last` (`YYYY-MM-DD`, both included), of one key or of all.

        Sorted by key, day and model. Raises AwsError.
        """
        days = first.replace("-", ""), last.replace("-", "")
        moves, items = await self._items(key_id)
        for _ in range(_CONSISTENT_TRIES):
            moved = [pair async for pair in self._moved(key_id, days)]
            before = moves
            moves, latest = await self._items(key_id)
            if moves == before:
                break
            items = latest
        else:
            raise AwsError("dynamodb", "Scan", "UsageKeepsMoving")
        sums: defaultdict[tuple[str, str, str], defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (key, (day, model)), counters in (*moved, *items):
            if days[0] <= day <= days[1]:
                for code, amount in counters.items():
                    sums[key, day, model][code] += amount
        return [_usage_row(*names, counters) for names, counters in sorted(sums.items())]

    async def _items(self, key_id: str | None) -> tuple[dict[str, int], list[tuple[_Place, Counters]]]:
        """How often usage was moved out of every item, and what is in it."""
        moves: dict[str, int] = {}
        found: list[tuple[_Place, Counters]] = []
        async for item in self.items(_KEY if key_id is None else f"{_KEY}{key_id}#"):
            name = str(item["id"])
            if key_id in (None, _key_id(name)):
                moves[name] = number(item, "g")
                found += [((_key_id(name), pair), counters) for pair, counters in _pairs(item).items()]
        return moves, found

    def items(self, start: str) -> AsyncIterator[Item]:
        """The items of the table `limits` whose ids have this start. Reads all. Raises AwsError."""
        query = {
            "TableName": self._limits,
            "FilterExpression": "begins_with(#id, :start)",
            "ExpressionAttributeNames": {"#id": "id"},
            "ExpressionAttributeValues": {":start": {"S": start}},
            "ConsistentRead": True,
        }
        return self._pages("Scan", query)

    async def _moved(self, key_id: str | None, days: tuple[str, str]) -> AsyncIterator[tuple[_Place, Counters]]:
        query: dict[str, Any] = {"TableName": self._usage, "ConsistentRead": True}
        if key_id is not None:
            query |= {
                "KeyConditionExpression": "key_id = :key AND day_model BETWEEN :first AND :last",
                "ExpressionAttributeValues": {
                    ":key": {"S": key_id},
                    ":first": {"S": days[0]},
                    ":last": {"S": f"{days[1]}$"},  # the sign after #
                },
            }
        async for item in self._pages("Scan" if key_id is None else "Query", query):
            day, _, model = str(item["day_model"]).partition("#")
            counters = {name: value for name, value in item.items() if isinstance(value, int) and name != "ttl"}
            yield (str(item["key_id"]), (day, model)), counters

    async def _pages(self, action: str, query: Mapping[str, Any]) -> AsyncIterator[Item]:
        after: Mapping[str, Any] = {}
        while True:
            answer = await self._aws.call("dynamodb", action, {**query, **after})
            for item in answer["Items"]:
                yield view_of(item)
            if "LastEvaluatedKey" not in answer:
                return
            after = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def create_table(self) -> None:
        """Makes the table `usage` in an empty embedded AWS; in a stack the template does. Raises AwsError."""
        names = ("key_id", "HASH"), ("day_model", "RANGE")
        table = {
            "TableName": self._usage,
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in names],
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in names],
            "BillingMode": "PAY_PER_REQUEST",
        }
        await self._aws.call("dynamodb", "CreateTable", table)


def _key_id(item: str) -> str:
    return item.removeprefix(_KEY).rpartition("#")[0]


def _pairs(item: Item) -> dict[tuple[str, str], dict[str, int]]:
    """The usage in an item by day and model."""
    pairs: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for name in item:
        if name.startswith("u:"):
            _, day, code, model = name.split(":", 3)
            pairs[day, model][code] = number(item, name)
    return dict(pairs)


def _usage_row(key_id: str, day: str, model: str, counters: Counters) -> UsageRow:
    tokens = {name: counters.get(code, 0) for code, name in _FIELDS.items()}
    return UsageRow(
        key_id=key_id,
        day=f"{day[:4]}-{day[4:6]}-{day[6:]}",
        model=model,
        requests=counters.get(_REQUESTS, 0),
        failures=counters.get(_FAILURES, 0),
        usage=Usage(**tokens, audio_seconds=counters.get(_AUDIO_MILLISECONDS, 0) / 1000),
        cost=counters.get(_COST, 0),
    )
