"""Reserves what a request may use before it is made, and settles what it used after: one write each."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import MINUTE, Balance, Estimate, Limits, OverBudget, Rate, Rates, Refused
from shared.schemas.usage import Usage
from shared.stores.aws import Aws, AwsError
from shared.stores.limits.account import (
    KEPT_SECONDS,
    SECOND,
    Account,
    Reason,
    Refusal,
    ReservedItem,
    Used,
    busy_buckets,
    day_of,
    give_back,
    hold,
    impossible,
    rates,
    refusal,
    released,
    reserve,
    settle,
    standing,
)
from shared.stores.limits.usage import UsageStore
from shared.stores.limits.write import Item, Write, send

LEASE_SECONDS = 900
"""As long as a Lambda function may run: whatever is older has died."""
_ATTEMPTS = 8
_REMEMBERED = 1000
_REFUSAL_MEMORY = SECOND
_LEARNING = 0.25  # what the latest find counts among all before it
_OFTEN = 0.5


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one request holds until it is settled, and `rates` for the headers of its answer."""

    item: str
    """Where its usage is counted."""
    at: int
    rates: Rates
    holds: tuple[ReservedItem, ...] = ()
    mark: str = field(default_factory=lambda: secrets.token_hex(4), repr=False)


@dataclass(frozen=True, slots=True)
class _Holder:
    """A key or a tenant: the `name` of its items but for the shard, its limits, and how much of its buckets is free to
    take."""

    name: str
    limits: Limits
    title: str
    room: int


class _NoRoom(Exception):
    """One shard refuses."""

    def __init__(self, refusal: Refusal, rates: Rates) -> None:
        super().__init__()
        self.refusal = refusal
        self.rates = rates


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: int
    since: int
    estimate: Estimate
    no_room: _NoRoom


class LimitStore:
    """The limits of all keys and tenants.

    `open_on_failure` lets the calls of keys without a budget through while DynamoDB cannot be reached; those with a
    budget are refused in any case. `lease` is how many seconds a reservation stands that nobody settles; it must be
    longer than any request may take. `clock` gives Unix microseconds, `choose` a number below its argument.
    """

    def __init__(
        self,
        aws: Aws,
        limits_table: str,
        usage_table: str,
        *,
        lease: int = LEASE_SECONDS,
        open_on_failure: bool = False,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        choose: Callable[[int], int] = random.randrange,
    ) -> None:
        self._aws = aws
        self._table = limits_table
        self._lease = lease
        self._open = open_on_failure
        self._clock = clock
        self._choose = choose
        self._seen: dict[str, Item] = {}
        self._busy: dict[str, tuple[int, dict[str, float]]] = {}
        self._refused: dict[str, _Remembered] = {}
        self.usage = UsageStore(aws, limits_table, usage_table, kept_seconds=KEPT_SECONDS)

    async def reserve(self, caller: Caller, estimate: Estimate, *, share: float = 1.0) -> Reservation:
        """Reserves one request, its tokens and its money, of the key and of its tenant.

        With a `share` below 1 it only takes from buckets that are full enough to leave the rest of a minute's requests
        and tokens to others.

        Raises Refused, or OverBudget where it is about money: then nothing is reserved anywhere. Raises
        ModelUnavailable where DynamoDB cannot be reached and the call must not go through.
        """
        now = self._clock()
        room = max(1, min(MINUTE, round(MINUTE * share)))
        key = _Holder(f"key#{caller.key_id}", caller.limits, "key", room)
        tenant = _Holder(f"tenant#{caller.tenant}", caller.tenant_limits, "tenant", room)
        reservation = Reservation(self._shard(key), now, Rates())
        try:
            for holder in (key, tenant):
                if holder.limits.any:
                    reservation = await self._and(reservation, holder, estimate, now)
        except AwsError as error:
            with suppress(AwsError):
                await self.cancel(reservation)
            if not self._open or key.limits.budgeted or tenant.limits.budgeted:
                message = "Limits cannot be checked at the moment. Try again later."
                raise ModelUnavailable(message, retry_after=1) from error
            return Reservation(self._shard(key), now, Rates())
        return reservation

    async def _and(self, before: Reservation, holder: _Holder, estimate: Estimate, now: int) -> Reservation:
        """A reservation with that of another holder. Raises Refused, when the one before has been given back."""
        try:
            held, left = await self._hold(holder, estimate, now)
        except Refused:
            with suppress(AwsError):  # its lease gives it back
                await self.cancel(before)
            raise
        item = held.account.item if holder.title == "key" else before.item
        gather_or_cancel = Rates(_less(before.rates.requests, left.requests), _less(before.rates.tokens, left.tokens))
        return Reservation(item, now, gather_or_cancel, (*before.holds, held), before.mark)

    async def settle(
        self, reservation: Reservation, model: str, usage: Usage, cost: int, *, failed: bool = False
    ) -> None:
        """Puts what a request used, and its cost in micro-dollars, in place of what it reserved, and counts both.

        `failed` where the request was answered by an error; what it used until then counts all the same. Settled
        again, nothing happens. Raises AwsError when that could not be written: then the reservation returns by its
        lease and the usage is not counted.
        """
        now = self._clock()
        own = Account(reservation.item, Limits(), self._lease)
        holds = {held.account.item: held for held in (ReservedItem(own, reservation.at), *reservation.holds)}
        writes = []
        for item, held in holds.items():
            used = Used(usage, cost, failed=failed, model=model if item == reservation.item else None)
            writes.append(self._settle(held, used, now, reservation.mark))
        await _all(writes)

    async def cancel(self, reservation: Reservation) -> None:
        """Gives everything back of a request that was never made. Raises AwsError."""
        now = self._clock()
        await _all([self._give_back(held, now, reservation.mark) for held in reservation.holds])

    async def standing(self, key_id: str | None = None, *, tenant: str | None = None) -> Balance:
        """What a key or a tenant has in flight, reserved and spent, read now. Raises AwsError."""
        name = f"key#{key_id}" if tenant is None else f"tenant#{tenant}"
        now = self._clock()
        own = Account(name, Limits(), self._lease)
        found = [item async for item in self.usage.items(f"{name}#") if _holder_of(item) == name]
        sums = [standing(own, now, item) for item in found]
        return Balance(*(sum(column) for column in zip(*sums, strict=True))) if sums else Balance(0, 0, 0, 0)

    async def create_tables(self) -> None:
        """Makes both tables in an empty embedded AWS; in a stack the template does. Raises AwsError."""
        table = {
            "TableName": self._table,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
        await self._aws.call("dynamodb", "CreateTable", table)
        await self.usage.create_table()

    # ---- Reserving ---------------------------------------------------------------------------------------------------

    def _shard(self, holder: _Holder) -> str:
        return f"{holder.name}#{self._choose(holder.limits.shard_count)}"

    async def _hold(self, holder: _Holder, estimate: Estimate, now: int) -> tuple[ReservedItem, Rates]:
        """A reservation in any of the holder's shards. Raises Refused when all of them are used up, and AwsError."""
        shards = holder.limits.shard_count
        first = self._choose(shards)
        refusals = []
        for step in range(shards):
            shard = (first + step) % shards
            account = Account(f"{holder.name}#{shard}", holder.limits.share(shard, shards), self._lease, holder.room)
            try:
                return await self._hold_one(account, holder.limits, shards, estimate, now)
            except _NoRoom as no_room:
                refusals.append(no_room)
        raise _refused(holder, min(refusals, key=_soonest))

    async def _hold_one(
        self, account: Account, whole: Limits, shards: int, estimate: Estimate, now: int
    ) -> tuple[ReservedItem, Rates]:
        """Raises _NoRoom and AwsError."""
        self._recall(account.item, estimate, now)
        seen, busy = self._guess(account.item, now)
        never = impossible(account, estimate)
        if never is not None:
            raise _NoRoom(never, rates(account, whole, shards, now, seen))
        for _ in range(_ATTEMPTS):
            made, seen = await self._send(account.item, reserve(account, estimate, now, seen, busy))
            busy = frozenset[str]()
            self._learn(account.item, busy_buckets(account, estimate, now, seen, made=made), now)
            left = rates(account, whole, shards, now, seen)
            if made:
                return hold(account, estimate, now, seen), left
            no_room = refusal(account, estimate, now, seen)
            if no_room is not None:
                raise self._remember(account, estimate, now, _NoRoom(no_room, left))
        # Others were faster every time.
        raise _NoRoom(Refusal(Reason.REQUESTS, SECOND), left)

    def _guess(self, item: str, now: int) -> tuple[Item, frozenset[str]]:
        """An item as it was seen last, and its buckets that others keep using, as far as is known."""
        since, shares = self._busy.get(item, (0, {}))
        often = (name for name, share in shares.items() if share > _OFTEN)
        return self._seen.get(item, {}), frozenset(often if now - since < MINUTE else ())

    def _learn(self, item: str, busy: frozenset[str], now: int) -> None:
        """Takes note of how often buckets are found in use."""
        _, shares = self._busy.pop(item, (0, {}))
        for name in shares.keys() | busy:
            shares[name] = shares.get(name, 0.0) * (1 - _LEARNING) + (name in busy) * _LEARNING
        self._busy[item] = now, shares
        _shorten(self._busy)

    def _recall(self, item: str, estimate: Estimate, now: int) -> None:
        """Raises _NoRoom when as much or less was refused a moment ago."""
        past = self._refused.get(item)
        if past is None or not past.since <= now < past.until:
            return
        reason = past.no_room.refusal.reason
        by_tokens = reason is Reason.TOKENS and estimate.tokens < past.estimate.tokens
        by_money = reason in (Reason.DAY, Reason.MONTH) and estimate.cost < past.estimate.cost
        if not (by_tokens or by_money):
            wait = past.no_room.refusal.wait
            passed = now - past.since
            raise _NoRoom(Refusal(reason, None if wait is None else wait - passed), past.no_room.rates)

    def _remember(self, account: Account, estimate: Estimate, now: int, no_room: _NoRoom) -> _NoRoom:
        if account.room < MINUTE:  # others may still find room
            return no_room
        item = account.item
        wait = no_room.refusal.wait or 0
        self._refused.pop(item, None)
        self._refused[item] = _Remembered(now + min(wait, _REFUSAL_MEMORY), now, estimate, no_room)
        _shorten(self._refused)
        return no_room

    # ---- Settling ----------------------------------------------------------------------------------------------------

    async def _settle(self, held: ReservedItem, used: Used, now: int, mark: str) -> None:
        seen = self._seen.get(held.account.item, {})
        expired = False
        for _ in range(_ATTEMPTS):
            write = settle(held, used, now, mark, seen, expired=expired)
            made, seen = await self._send(held.account.item, write)
            if made:
                break
            expired = released(held, seen)
        else:
            raise AwsError("dynamodb", "UpdateItem", "ConditionalCheckFailedException")
        self._refused.pop(held.account.item, None)
        with suppress(AwsError):  # the next one tries again
            await self.usage.move(held.account.item, seen, day_of(now), now // SECOND)

    async def _give_back(self, held: ReservedItem, now: int, mark: str) -> None:
        """One that the lease has given back already stays so."""
        await self._send(held.account.item, give_back(held, now, mark))
        self._refused.pop(held.account.item, None)

    async def _send(self, item: str, write: Write) -> tuple[bool, Item]:
        made, view = await send(self._aws, self._table, item, write)
        self._seen.pop(item, None)
        self._seen[item] = view
        _shorten(self._seen)
        return made, view


async def _all(writes: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Makes every write, whichever of them fails, then raises the first failure."""
    if len(writes) == 1:
        await writes[0]
        return
    for result in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _shorten(memory: dict[str, Any]) -> None:
    if len(memory) > _REMEMBERED:
        memory.pop(next(iter(memory)))


def _holder_of(item: Item) -> str:
    return str(item["id"]).rpartition("#")[0]


def _less(one: Rate, other: Rate) -> Rate:
    return min(one, other, key=lambda rate: (rate.remaining, -rate.reset))


def _soonest(no_room: _NoRoom) -> tuple[bool, int]:
    wait = no_room.refusal.wait
    return wait is None, wait or 0


def _refused(holder: _Holder, no_room: _NoRoom) -> Refused:
    """The answer to the caller."""
    reason, wait = no_room.refusal.reason, no_room.refusal.wait
    kind = OverBudget if reason in (Reason.DAY, Reason.MONTH) else Refused
    if wait is None:
        message = f"The request is larger than the {holder.title}'s whole limit of {reason.value}."
        return kind(message, retry_after=60, rates=no_room.rates)
    seconds = max(1, -(-wait // SECOND))
    unit = "second" if seconds == 1 else "seconds"
    message = f"The {holder.title}'s limit of {reason.value} is used up. Try again in {seconds} {unit}."
    return kind(message, retry_after=seconds, rates=no_room.rates)
