"""Usage: counted by day and model in the write that settles a request, moved out in pages, and reported from both.

The item of a key counts, for each day and model that it has used of late (a *pair*), under a short code:

    N<code>          the pair: the day's short name of three letters, then the model
    u<code><field>   one of its counters
    g                the page that it will be moved to: the month in which that was opened, and a number

When the writes of an item would be billed for less without its usage, or a month has ended, whoever has counted the
latest pair moves all of them into a row of the table `Usage`, a *page*, in two steps: the page is written, unless there
is one of that name; then what is in the page is taken out of the item, which goes on to the next page. Whoever finds an
item's page written finishes what another has begun. So a page counts if its name is before the item's, and nothing is
counted twice or lost, wherever a process dies. However many models a key uses, that costs two writes for every dozen of
pairs.
"""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from shared.schemas.limits import UsageRow
from shared.schemas.settlement import Counted
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.limits.leases import SECOND, short
from shared.stores.limits.money import day_at, day_named, month_at, month_of_day, name_of_day
from shared.stores.limits.write import Item, Write, item_of, number, send, size_of, write_units

KEPT_SECONDS = 400 * 86_400
"""How long an item that nobody uses is kept, and a page of usage."""
OTHER_MODELS = "(other models)"
"""What is counted where an item has no room for another model, since its usage could not be moved out for long."""
UNSETTLED = "(unsettled)"
"""What is counted of requests that nobody settled: their functions have died."""
PAGE = "g"
_KEY = "key#"
_DAY_LETTERS = 3
_LONGEST_NAME = 96
_MOST_BYTES = 8192
_PAIRS_IN_A_PAGE = 40  # an expression may be 4 KB long
_CODE_LETTERS = 2
_ATTEMPTS = 8
_FIRST, _LAST = "#0", "~#0"
_FIELDS = {
    "i": "input_tokens",
    "o": "output_tokens",
    "r": "cached_read_tokens",
    "w": "cache_write_tokens",
    "W": "cache_write_1h_tokens",
    "t": "reasoning_tokens",
    "I": "input_image_tokens",
    "O": "output_image_tokens",
    "a": "input_audio_tokens",
    "b": "output_audio_tokens",
    "p": "images",
    "s": "characters",
    "S": "searches",
}
_REQUESTS, _FAILURES, _COST, _AUDIO_MILLISECONDS = "q", "f", "c", "h"
_ESTIMATED, _ESTIMATED_COST = "e", "E"

Counters = Mapping[str, int]
"""The counters of one pair by their fields."""


class By(StrEnum):
    """What a report has a line for."""

    DAY = "day"
    MODEL = "model"
    KEY = "key"


# ---- In the item of a key --------------------------------------------------------------------------------------------


def counters_of(counted: Counted) -> dict[str, int]:
    """What one request adds to its pair."""
    counters = {field: getattr(counted.usage, name) for field, name in _FIELDS.items()}
    counters |= {_AUDIO_MILLISECONDS: round(counted.usage.audio_seconds * 1000), _COST: counted.cost}
    counters[_FAILURES if counted.failed else _REQUESTS] = 1
    if counted.estimated:
        counters |= {_ESTIMATED: 1, _ESTIMATED_COST: counted.cost}
    return counters


def unsettled(requests: int, cost: int) -> dict[str, int]:
    """What requests that died add to the pair of their day and UNSETTLED."""
    return {_FAILURES: requests, _COST: cost, _ESTIMATED: requests, _ESTIMATED_COST: cost}


class Counting:
    """Puts usage into one write. `seen` tells which codes are taken; a write with one that is taken since fails.

    `pairs` are how many requests it counts of each pair.
    """

    def __init__(self, write: Write, seen: Item, now: int) -> None:
        self.pairs: dict[str, int] = {}
        self._write = write
        self._first_page = _name(month_at(now), 0)
        self._names = {name: str(pair) for name, pair in seen.items() if name.startswith("N")}
        self._is_full = sum(map(len, self._names.values())) > _MOST_BYTES // 4 and _usage_bytes(seen) > _MOST_BYTES

    def add(self, at: int, model: str, counters: Counters) -> None:
        """Counts under the day of a moment and a model."""
        day = day_at(at)
        pair = day + _bounded(model)
        if self._is_full and pair not in self._names.values():
            pair = day + OTHER_MODELS
        code = self._code(pair)
        self._write.set_default(PAGE, self._first_page)
        for field, amount in counters.items():
            self._write.add(f"u{code}{field}", amount)
        self.pairs[pair] = self.pairs.get(pair, 0) + counters.get(_REQUESTS, 0) + counters.get(_FAILURES, 0)

    def _code(self, pair: str) -> str:
        digest = short(int(hashlib.sha256(pair.encode()).hexdigest(), 16))
        for letters in range(_CODE_LETTERS, len(digest)):
            name = f"N{digest[:letters]}"
            if self._names.get(name, pair) == pair:
                break
        if not self._write.changes(name):
            self._write.require_equal_or_absent(name, pair)
            self._write.set(name, pair)
        self._names[name] = pair
        return name[1:]


def _bounded(model: str) -> str:
    if len(model.encode()) <= _LONGEST_NAME:
        return model
    return f"{model[: _LONGEST_NAME // 4]}~{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def pairs_of(item: Item) -> dict[str, dict[str, int]]:
    """The pairs of an item and their counters."""
    found: dict[str, dict[str, int]] = {}
    codes = {name[1:]: found.setdefault(str(pair), {}) for name, pair in item.items() if name.startswith("N")}
    for name in item:
        if name.startswith("u"):
            codes[name[1:-1]][name[-1]] = number(item, name)
    return found


def _usage_bytes(item: Item) -> int:
    return size_of({name: value for name, value in item.items() if name[0] in "uN"})


def is_to_be_drained(item: Item, counted: Mapping[str, int], now: int, *, by_chance: bool) -> bool:
    """Whether the usage of an item is to be moved out by the process whose write has left it so, having `counted` so
    many requests of some pairs: one of those that counted a pair first, and any now and then."""
    present = pairs_of(item)
    is_first = any(_requests(present.get(pair, {})) == count for pair, count in counted.items())
    if not present or not (is_first or by_chance):
        return False
    return _month(str(item[PAGE])) < month_at(now) or _is_too_large(item)


def _is_too_large(item: Item) -> bool:
    """Whether the writes of an item would cost less without the usage in it."""
    size = size_of(item)
    return write_units(size) > write_units(size - _usage_bytes(item))


def _requests(counters: Counters) -> int:
    return counters.get(_REQUESTS, 0) + counters.get(_FAILURES, 0)


# ---- Pages -----------------------------------------------------------------------------------------------------------


def _name(month: str, page_number: int) -> str:
    return f"{month}#{page_number}"


def _month(page: str) -> str:
    return page.partition("#")[0]


def _place(page: str) -> tuple[str, int]:
    """Where a page comes in the order of an item's pages."""
    month, _, page_number = page.partition("#")
    return month, int(page_number)


def _text_of(counters: Counters) -> str:
    return " ".join(f"{field}{amount}" for field, amount in counters.items())


def _pairs_in(page: Item) -> dict[str, dict[str, int]]:
    """The pairs in a page and their counters."""
    return {
        name[1:]: {word[0]: int(word[1:]) for word in str(text).split()}
        for name, text in page.items()
        if name.startswith("@")
    }


def _removal(pairs: Mapping[str, Counters], item: Item, page: str, now: int) -> Write:
    """Takes out of an item what is in its page, and goes on to the next."""
    write = Write()
    write.require_equal(PAGE, page)
    present = pairs_of(item)
    if not pairs.keys() <= present.keys():  # others have written the page, and more into it than was seen
        write.set(PAGE, page)  # to see the item as it is
        return write
    write.set(PAGE, _name(max(_month(page), month_at(now)), _place(page)[1] + 1))
    codes = {str(pair): name[1:] for name, pair in item.items() if name.startswith("N")}
    for pair, counters in pairs.items():
        if present[pair] == counters:
            _remove(write, codes[pair], counters)
        else:
            for field, amount in counters.items():
                write.add(f"u{codes[pair]}{field}", -amount)
    return write


def _remove(write: Write, code: str, counters: Counters) -> None:
    """Removes a pair, if nothing is counted of it any more: whatever is moves one of two counters."""
    for field in (_REQUESTS, _FAILURES):
        if field in counters:
            write.require_equal(f"u{code}{field}", counters[field])
        else:
            write.require_absent(f"u{code}{field}")
    for field in counters:
        write.remove(f"u{code}{field}")
    write.remove(f"N{code}")


# ---- Reports ---------------------------------------------------------------------------------------------------------


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
            estimated=before.estimated + row.estimated,
            estimated_cost=before.estimated_cost + row.estimated_cost,
        )
    return dict(sorted(sums.items()))


class UsageStore:
    """Moves usage from the table `Limits` to the table `Usage`, and reads it from both."""

    def __init__(self, aws: Aws, limits: str, usage: str) -> None:
        self._aws = aws
        self._limits = limits
        self._usage = usage

    async def drain(self, item: Item, now: int) -> None:
        """Moves the usage of a key's item out of it, unless another process does. Raises AwsError."""
        key, page = {"id": str(item["id"])}, str(item[PAGE])
        pairs = await self._written(key["id"], page, pairs_of(item), now)
        for _ in range(_ATTEMPTS):
            outcome = await send(self._aws, self._limits, key, _removal(pairs, item, page, now), attempts=3)
            item = outcome.item
            if item.get(PAGE) != page:
                return

    async def _written(
        self, item: str, page: str, pairs: Mapping[str, Counters], now: int
    ) -> Mapping[str, Mapping[str, int]]:
        """What is in a page: as many of the pairs as it may have, unless it was written before."""
        key_id, shard = _key_and_shard(item)
        write = Write()
        write.require_absent("ttl")
        write.set("ttl", now // SECOND + KEPT_SECONDS)
        # What is of a month after the page's is not looked for in it.
        fitting = [pair for pair in pairs if month_of_day(pair[:_DAY_LETTERS]) <= _month(page)]
        for pair in fitting[:_PAIRS_IN_A_PAGE]:
            write.set(f"@{pair}", _text_of(pairs[pair]))
        key = {"key_id": key_id, "day_model": f"{page}#{shard}"}
        return _pairs_in((await send(self._aws, self._usage, key, write, attempts=3)).item)

    async def rows(self, first: str, last: str, key_id: str | None = None) -> list[UsageRow]:
        """The usage of the days from `first` to `last` (`YYYY-MM-DD`, both included), of one key or of all.

        Sorted by key, day and model. Raises AwsError.
        """
        days = name_of_day(first), name_of_day(last)
        sums: defaultdict[tuple[str, str], defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        pages: dict[str, str] = {}

        def count(key: str, pairs: Mapping[str, Counters]) -> None:
            for pair, counters in pairs.items():
                if days[0] <= pair[:_DAY_LETTERS] <= days[1]:
                    for field, amount in counters.items():
                        sums[key, pair][field] += amount

        # The items first: what is moved out of one afterwards is in a page that does not count then.
        async for item in self.items(_KEY if key_id is None else f"{_KEY}{key_id}#"):
            name = str(item["id"])
            key, _ = _key_and_shard(name)
            if key_id in (None, key):
                pages[name] = str(item.get(PAGE, _FIRST))
                count(key, pairs_of(item))
        async for row in self._rows(key_id, days):
            key, (page, _, shard) = str(row["key_id"]), str(row["day_model"]).rpartition("#")
            if _place(page) < _place(pages.get(f"{_KEY}{key}#{shard}", _LAST)):
                count(key, _pairs_in(row))
        return [
            _usage_row(key, pair, counters) for (key, pair), counters in sorted(sums.items()) if any(counters.values())
        ]

    def items(self, start: str) -> AsyncIterator[Item]:
        """The items of the table `Limits` whose ids have this start. Reads all. Raises AwsError."""
        query = {
            "TableName": self._limits,
            "FilterExpression": "begins_with(#id, :start)",
            "ExpressionAttributeNames": {"#id": "id"},
            "ExpressionAttributeValues": {":start": {"S": start}},
            "ConsistentRead": True,
        }
        return self._all("Scan", query)

    def _rows(self, key_id: str | None, days: tuple[str, str]) -> AsyncIterator[Item]:
        """The pages that may have usage of some days."""
        query: dict[str, Any] = {"TableName": self._usage, "ConsistentRead": True}
        if key_id is None:
            return self._all("Scan", query)
        # What is settled late is in a page of a later month.
        months = month_of_day(days[0]), month_of_day(days[1], later=2)
        query |= {
            "KeyConditionExpression": "key_id = :key AND day_model BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":key": {"S": key_id},
                ":first": {"S": months[0]},
                ":last": {"S": f"{months[1]}$"},  # the sign after #
            },
        }
        return self._all("Query", query)

    async def _all(self, action: str, query: Mapping[str, Any]) -> AsyncIterator[Item]:
        after: Mapping[str, Any] = {}
        while True:
            answer = await self._aws.call("dynamodb", action, {**query, **after})
            for item in answer["Items"]:
                yield item_of(item)
            if "LastEvaluatedKey" not in answer:
                return
            after = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def create_table(self) -> None:
        """Makes the table `Usage` in an empty embedded AWS; in a stack the template does. Raises AwsError."""
        names = ("key_id", "HASH"), ("day_model", "RANGE")
        table = {
            "TableName": self._usage,
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in names],
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in names],
            "BillingMode": "PAY_PER_REQUEST",
        }
        await self._aws.call("dynamodb", "CreateTable", table)


def _key_and_shard(item: str) -> tuple[str, str]:
    key_id, _, shard = item.removeprefix(_KEY).rpartition("#")
    return key_id, shard


def _usage_row(key_id: str, pair: str, counters: Counters) -> UsageRow:
    tokens = {name: counters.get(field, 0) for field, name in _FIELDS.items()}
    return UsageRow(
        key_id=key_id,
        day=day_named(pair[:_DAY_LETTERS]),
        model=pair[_DAY_LETTERS:],
        requests=counters.get(_REQUESTS, 0),
        failures=counters.get(_FAILURES, 0),
        usage=Usage(**tokens, audio_seconds=counters.get(_AUDIO_MILLISECONDS, 0) / 1000),
        cost=counters.get(_COST, 0),
        estimated=counters.get(_ESTIMATED, 0),
        estimated_cost=counters.get(_ESTIMATED_COST, 0),
    )
