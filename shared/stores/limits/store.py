"""Reserves what a request may use before it is made, and settles what it used after: one write each."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from shared.dataclass import dataclass
from shared.errors import ModelUnavailable
from shared.schemas.caller import Caller
from shared.schemas.limits import (
    MINUTE,
    Balance,
    Estimate,
    Limits,
    Rate,
    Rates,
    Reason,
    Refused,
    too_large,
    used_up,
)
from shared.schemas.settlement import Counted, ReservedItem, Settlement, SettlementMessage, Used
from shared.schemas.usage import Usage
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.limits import account as accounts
from shared.stores.limits.account import SEATS, Account, Part
from shared.stores.limits.bucket import Guesses, in_use
from shared.stores.limits.leases import SECOND, over_at, slot_at, taken_back
from shared.stores.limits.marks import Marks, asks_for_seat
from shared.stores.limits.money import PLACES
from shared.stores.limits.recent import Recent
from shared.stores.limits.settling import Deferred, Settler
from shared.stores.limits.usage import UsageStore, is_to_be_drained
from shared.stores.limits.write import Item, Outcome, Write, number, send

LEASE_SECONDS = 900
"""As long as a Lambda function may run: whatever is older has died."""
_ROUNDS = 8
"""How often a write is composed anew for an item that turned out otherwise than it was seen."""
_SENDINGS = 3
_REFUSAL_MEMORY = SECOND
_GIVING_BACK_SECONDS = 1.0
_BELIEVED_SKEW = 300 * SECOND
"""AWS refuses calls of a clock that is further off."""
_FIRST_TOOK = 5.0 * SECOND
_LEARNING = 0.25  # what the latest request counts among all before it
_BY_CHANCE = 0.02


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one request holds of its key's limits and of its tenant's until it is settled, and `rates` for the headers
    of its answer.

    `counted` is where its usage is counted: the first of the key's, or, for a key without limits, one that holds
    nothing.
    """

    counted: ReservedItem
    rates: Rates
    key: tuple[ReservedItem, ...] = ()
    tenant: tuple[ReservedItem, ...] = ()
    is_roomy: bool = False
    """Whether nobody can be refused for what it holds beyond its end: more than half of every limit was free, and
    requests in flight are not limited, of which others may have begun any number since."""
    ending: "list[asyncio.Future[bool]]" = field(default_factory=list, repr=False, compare=False)
    """Filled when it is settled or cancelled, so that this is done once."""

    @property
    def at(self) -> int:
        """When it was made, in Unix microseconds."""
        return self.counted.at


@dataclass(frozen=True, slots=True)
class _Holder:
    """A key or a tenant: the `name` of its items but for the shard, its limits, and how much of its buckets is free to
    take."""

    name: str
    limits: Limits
    whose: str
    room: int

    def accounts(self, first: int, lease: int) -> Iterator[Account]:
        """Its items, from the `first` on. Nearly every request needs that one alone."""
        shards = self.limits.shard_count
        for step in range(shards):
            shard = (first + step) % shards
            part = self.limits.share(shard, shards)
            yield Account(f"{self.name}#{shard}", self.whose, self.limits, part, shards, lease, self.room)


@dataclass(slots=True)
class _Memory:
    """What this process knows of an item, or of all items of a key or a tenant.

    `seen` is the item as the latest answer had it, `own` how many requests of this process are under way there.
    `refused` is the latest refusal, of when, for how many tokens and micro-dollars, and in how much `room` of the
    buckets. `acknowledged` are marks that
    nobody needs any more, and their sets; of those sets there are two for each `turn`.
    """

    seen: Item = field(default_factory=dict)
    is_roomy: bool = True
    own: int = 0
    refused: Refused | None = None
    refused_at: int = 0
    asked: tuple[int, int] = (0, 0)
    room: int = MINUTE
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    turn: bool = False


class LimitStore:
    """The limits of all keys and tenants.

    `lease` is how many seconds a reservation stands that nobody settles; it must be longer than any request may take.
    `open_on_failure` lets the calls of keys without a budget through while DynamoDB cannot be reached; those with a
    budget are refused in any case. `deferred` takes the settlements that could not be written for `patience` seconds.
    `gather` is for how many seconds a settlement may wait for others of its item, so that one write does for all: only
    while this process has other requests under way there, and more than half of every limit is free. `clock` gives
    Unix microseconds, and is corrected by AWS's where that shows another time; `choose` a number below its argument.
    """

    def __init__(
        self,
        aws: Aws,
        limits_table: str,
        usage_table: str,
        *,
        lease: int = LEASE_SECONDS,
        open_on_failure: bool = False,
        deferred: Deferred | None = None,
        patience: float = 20.0,
        gather: float = 0.0,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        choose: Callable[[int], int] = random.randrange,
    ) -> None:
        self._aws = aws
        self._table = limits_table
        self._lease = lease
        self._open = open_on_failure
        self._clock = clock
        self._choose = choose
        self._memories = Recent(_Memory)
        self._guesses = Guesses()
        self._marks = Marks()
        self._took = _FIRST_TOOK
        self._gather = gather
        self._settler = Settler(
            self._apply,
            self._forget,
            deferred,
            patience=patience,
            gather=gather,
            may_gather=self._may_gather,
        )
        self.usage = UsageStore(aws, limits_table, usage_table)

    # ---- For the gateway ---------------------------------------------------------------------------------------------

    async def reserve(self, caller: Caller, estimate: Estimate, *, share: float = 1.0) -> Reservation:
        """Reserves one request, its tokens and its money, of the key and of its tenant.

        With a `share` below 1 it only takes from buckets that are full enough to leave the rest of a minute's requests
        and tokens to others.

        Raises Refused, or OverBudget where it is about money: then nothing is reserved anywhere. Raises
        ModelUnavailable where DynamoDB cannot be reached and the call must not go through.
        """
        if caller.limits.any or caller.tenant_limits.any:
            await self._aws.learn_time()
        now = self._now()
        room = max(1, min(MINUTE, round(MINUTE * share)))
        key = _Holder(f"key#{caller.key_id}", caller.limits, "key", room)
        tenant = _Holder(f"tenant#{caller.tenant}", caller.tenant_limits, "tenant", room)
        for holder in (key, tenant):
            self._refuse_without_asking(holder, estimate, now)
        held: dict[str, tuple[ReservedItem, ...]] = {"key": (), "tenant": ()}
        rates = Rates()
        try:
            for holder in (key, tenant):
                if holder.limits.any:
                    held[holder.whose], left = await self._hold(holder, estimate, now)
                    rates = Rates(_less(rates.requests, left.requests), _less(rates.tokens, left.tokens))
        except Refused:
            await self._given_back(held["key"])
            raise
        except AwsError as error:
            await self._given_back(held["key"])
            if not self._open or key.limits.budgeted or tenant.limits.budgeted:
                message = "Limits cannot be checked at the moment. Try again later."
                raise ModelUnavailable(message, retry_after=1) from error
            return self._under_way(Reservation(self._nothing(key, now), Rates()))
        except BaseException:  # the client has left
            self._give_back(held["key"])
            raise
        counted = held["key"][0] if held["key"] else self._nothing(key, now)
        is_roomy = all(self._memories.of(one.item).is_roomy for one in (*held["key"], *held["tenant"]))
        is_counted = key.limits.concurrency is not None or tenant.limits.concurrency is not None
        return self._under_way(
            Reservation(counted, rates, held["key"], held["tenant"], is_roomy=is_roomy and not is_counted)
        )

    def settle(
        self,
        reservation: Reservation,
        model: str,
        usage: Usage,
        cost: int,
        *,
        failed: bool = False,
        estimated: bool = False,
    ) -> "asyncio.Future[bool]":
        """Puts what a request used, and its cost in micro-dollars, in place of what it reserved, and counts both.

        Returns at once. What can be awaited is whether that has been written, or could not be and was left for another
        process (`deferred`); it raises nothing, and to stop waiting stops nothing. `failed` where the request was
        answered by an error; what it used until then counts all the same. `estimated` where nobody told what it used.
        Settled again, nothing happens.
        """
        counted = Counted(model, usage, cost, failed, estimated)
        return self._end(reservation, Used(usage.total_tokens, cost, counted))

    def cancel(self, reservation: Reservation) -> "asyncio.Future[bool]":
        """Gives everything back of a request that was never made; for the rest as `settle`."""
        return self._end(reservation, None)

    def finish(self, reservation: Reservation) -> "asyncio.Future[bool]":
        """Ends a request that has used no model: it counts as one of a minute, and nowhere else; for the rest as
        `settle`."""
        return self._end(reservation, Used(0, 0))

    def gathers(self, reservation: Reservation) -> bool:
        """Whether the settlement of a reservation that has ended waits for others of this process."""
        items = {one.item for one in (reservation.counted, *reservation.key, *reservation.tenant)}
        return self._gather > 0 and any(self._may_gather(item) for item in items)

    async def settle_deferred(self, text: str) -> None:
        """Writes what another process has deferred. Raises AwsError, and ValueError for a text that is none of it."""
        by_item: dict[str, list[Settlement]] = {}
        for settlement in SettlementMessage.read(text).settlements:
            by_item.setdefault(settlement.held.item, []).append(settlement)
        for item, settlements in by_item.items():
            await self._apply(item, settlements)

    async def flush(self, seconds: float) -> None:
        """Waits for everything that is still to be written, for so long at most; what is left then is deferred."""
        await self._settler.flush(seconds)

    # ---- For the operator --------------------------------------------------------------------------------------------

    async def standing(self, key_id: str | None = None, *, tenant: str | None = None) -> Balance:
        """What a key or a tenant has in flight, reserved and spent, read now. Raises AwsError."""
        name = f"key#{key_id}" if tenant is None else f"tenant#{tenant}"
        now = self._now()
        found = [item async for item in self.usage.items(f"{name}#") if str(item["id"]).rpartition("#")[0] == name]
        sums = [accounts.balance(self._lease, now, item) for item in found]
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

    def _refuse_without_asking(self, holder: _Holder, estimate: Estimate, now: int) -> None:
        """Raises Refused where a request can never pass, or as much or less was refused a moment ago."""
        limits = holder.limits
        asked = (
            (Reason.TOKENS, estimate.tokens, limits.tokens_per_minute),
            (Reason.DAY, estimate.cost, limits.budget_day),
            (Reason.MONTH, estimate.cost, limits.budget_month),
        )
        for reason, need, limit in asked:
            if limit is not None and need > limit:
                account = next(holder.accounts(0, self._lease))
                rates = accounts.rates(account, now, self._memories.of(account.item).seen)
                raise too_large(holder.whose, reason, need, limit, rates)
        self._recall(holder.name, estimate.tokens, estimate.cost, now, room=holder.room)

    async def _hold(self, holder: _Holder, estimate: Estimate, now: int) -> tuple[tuple[ReservedItem, ...], Rates]:
        """A reservation in one of the holder's items, or in parts in several where none has room for all of it.

        Raises Refused and AwsError; then nothing is reserved, or what may be is being given back.
        """
        limits = holder.limits
        whole = Part(
            estimate.tokens if limits.tokens_per_minute is not None else 0, estimate.cost if limits.budgeted else 0
        )
        order: list[Account] = []
        refusals = []
        for account in holder.accounts(self._choose(limits.shard_count), self._lease):
            order.append(account)
            if accounts.fits_when_empty(account, whole):
                try:
                    held, rates = await self._hold_one(account, whole, now)
                except Refused as refused:
                    refusals.append(refused)
                else:
                    return (held,), rates
        if len(order) > 1:
            try:
                return await self._hold_in_parts(order, whole, now)
            except Refused as refused:
                refusals.append(refused)
        soonest = min(refusals, key=lambda refused: refused.wait or 0)
        self._remember(holder.name, estimate.tokens, estimate.cost, now, soonest, room=holder.room)
        raise soonest

    async def _hold_in_parts(
        self, order: Sequence[Account], whole: Part, now: int
    ) -> tuple[tuple[ReservedItem, ...], Rates]:
        """Takes of each item what it has left, until that is all. Raises Refused and AwsError, as `_hold` does."""
        held: list[ReservedItem] = []
        rest, rates, refused = whole, Rates(), used_up(order[0].whose, Reason.REQUESTS, SECOND, Rates())
        if not self._have_room(order, whole, now):
            raise self._refusal_of_all(order, whole, now) or refused
        try:
            for account in order:
                for with_place in (True, False) if rest.place else (False,):
                    tokens, cost = accounts.room(account, now, self._memories.of(account.item).seen)
                    part = Part(_lesser(rest.tokens, tokens), _lesser(rest.cost, cost), with_place)
                    if part == Part(0, 0, place=False):
                        continue
                    try:
                        one, rates = await self._hold_one(account, part, now)
                    except Refused as why:
                        refused = why
                        continue
                    held.append(one)
                    rest = Part(rest.tokens - part.tokens, rest.cost - part.cost, rest.place and not with_place)
                    break
                if rest == Part(0, 0, place=False):
                    return tuple(held), rates
        except BaseException:
            self._give_back(held)
            raise
        await self._given_back(held)
        raise self._refusal_of_all(order, rest, now) or refused

    def _have_room(self, order: Sequence[Account], whole: Part, now: int) -> bool:
        """Whether all items together seem to have room for a part."""
        rooms = [accounts.room(account, now, self._memories.of(account.item).seen) for account in order]
        tokens = [tokens for tokens, _ in rooms if tokens is not None]
        costs = [cost for _, cost in rooms if cost is not None]
        return (not tokens or sum(tokens) >= whole.tokens) and (not costs or sum(costs) >= whole.cost)

    def _refusal_of_all(self, order: Sequence[Account], part: Part, now: int) -> Refused | None:
        """Why none of the items has room for a part, by that which will have it first."""
        found = (accounts.refusal(account, part, now, self._memories.of(account.item).seen) for account in order)
        return min((refused for refused in found if refused), key=lambda refused: refused.wait or 0, default=None)

    async def _hold_one(self, account: Account, part: Part, now: int) -> tuple[ReservedItem, Rates]:
        """A reservation of a part in one item. Raises Refused and AwsError."""
        item, memory = account.item, self._memories.of(account.item)
        self._recall(item, part.tokens, part.cost, now, room=account.room, place=part.place)
        takes = accounts.takes(account, part)
        busy: frozenset[str] | None = self._guesses.in_use(item, takes, now, memory.seen)
        held, doubtful = self._blank(account, part, now), False
        for _ in range(_ROUNDS):
            before, pace = memory.seen, number(memory.seen, PLACES) / self._took
            write = accounts.reserve(account, part, held, now, before, busy=busy, pace=pace)
            try:
                outcome = await self._send(item, write)
            except BaseException as error:  # also where the client has left, and its request is on its way
                is_unknown = doubtful or not isinstance(error, AwsError) or error.may_be_done
                self._not_held(account, part, held, doubtful=is_unknown)
                raise
            doubtful = doubtful or outcome.doubtful
            if busy is not None:
                found = busy if outcome.made else in_use(takes, now, outcome.item)
                self._guesses.learn(item, takes, now, before, found)
            if outcome.made or (doubtful and accounts.stands(held, outcome.item)):
                if asks_for_seat(held.mark) and not doubtful:
                    self._marks.sit(item, number(outcome.item, SEATS))
                memory.is_roomy = accounts.is_roomy(account, now, outcome.item)
                held = accounts.reserved(account, part, held, outcome.item, doubtful=doubtful)
                return held, accounts.rates(account, now, outcome.item)
            if accounts.is_taken(held, outcome.item):
                held = self._blank(account, part, now)
            elif (refused := accounts.refusal(account, part, now, outcome.item)) is not None:
                self._not_held(account, part, held, doubtful=doubtful)
                self._remember(item, part.tokens, part.cost, now, refused, room=account.room)
                raise refused
            busy = None
        self._not_held(account, part, held, doubtful=doubtful)
        # Others were faster every time.
        raise used_up(account.whose, Reason.REQUESTS, SECOND, accounts.rates(account, now, memory.seen))

    def _blank(self, account: Account, part: Part, now: int) -> ReservedItem:
        """What is to be reserved, under a new mark."""
        return ReservedItem(
            account.item,
            self._marks.new(account.item, place=part.place),
            now,
            slot_at(account.lease, now),
            over_at(now),
            cost=part.cost,
            tokens_per_minute=account.limits.tokens_per_minute,
        )

    def _nothing(self, key: _Holder, now: int) -> ReservedItem:
        """Where the usage of a key is counted that has reserved nothing."""
        item = f"{key.name}#{self._choose(key.limits.shard_count)}"
        return ReservedItem(item, self._marks.new(item), now, None, over_at(now))

    def _not_held(self, account: Account, part: Part, held: ReservedItem, *, doubtful: bool) -> None:
        """Sees to it that nothing is reserved, where it is doubtful that nothing is."""
        if doubtful:
            self._give_back([accounts.reserved(account, part, held, {}, doubtful=True)])
        else:
            self._marks.free(held.item, held.mark)

    def _give_back(self, held: Sequence[ReservedItem]) -> "list[asyncio.Future[bool]]":
        return [self._settler.add(Settlement(one, None)) for one in held]

    async def _given_back(self, held: Sequence[ReservedItem]) -> None:
        """Gives back, and waits for that a little."""
        if written := self._give_back(held):
            await asyncio.wait(written, timeout=_GIVING_BACK_SECONDS)

    def _under_way(self, reservation: Reservation) -> Reservation:
        for item in {one.item for one in (reservation.counted, *reservation.key, *reservation.tenant)}:
            self._memories.of(item).own += 1
        return reservation

    def _recall(self, name: str, tokens: int, cost: int, now: int, *, room: int, place: bool = True) -> None:
        """Raises Refused when as much or less was refused a moment ago, to one that may take as much of the buckets."""
        memory = self._memories.get(name)
        if memory is None or (refused := memory.refused) is None or room > memory.room:
            return
        wait, passed = refused.wait or 0, now - memory.refused_at
        if not 0 <= passed < min(wait, _REFUSAL_MEMORY):
            return
        match refused.reason:
            case Reason.TOKENS:
                is_less = tokens < memory.asked[0]
            case Reason.DAY | Reason.MONTH:
                is_less = cost < memory.asked[1]
            case _:
                is_less = not place
        if not is_less:
            raise used_up(refused.whose, refused.reason, wait - passed, refused.rates)

    def _remember(self, name: str, tokens: int, cost: int, now: int, refused: Refused, *, room: int) -> None:
        memory = self._memories.of(name)
        memory.refused, memory.refused_at, memory.asked, memory.room = refused, now, (tokens, cost), room

    # ---- Settling ----------------------------------------------------------------------------------------------------

    def _end(self, reservation: Reservation, used: Used | None) -> "asyncio.Future[bool]":
        """Has the settlements of a reservation written, once."""
        if not reservation.ending:
            if reservation.key or reservation.tenant:
                self._took += (max(self._now() - reservation.at, 1) - self._took) * _LEARNING
            for item in {one.item for one in (reservation.counted, *reservation.key, *reservation.tenant)}:
                self._memories.of(item).own -= 1
            settlements = [self._in_turn(settlement) for settlement in _settlements(reservation, used)]
            if not reservation.key and (used is None or used.counted is None):
                self._marks.free(reservation.counted.item, reservation.counted.mark)
            written = [self._settler.add(settlement) for settlement in settlements]
            # Most have one item: a task that waits for its future would only take turns of the event loop.
            reservation.ending.append(written[0] if len(written) == 1 else asyncio.ensure_future(_all(written)))
        return asyncio.shield(reservation.ending[0])

    def _in_turn(self, settlement: Settlement) -> Settlement:
        """Says where the mark goes of usage that is counted without a reservation: not where the write before puts
        them, since no write can add to a set and take from it."""
        held = settlement.held
        if held.slot is not None:
            return settlement
        over = over_at(self._now(), second=self._memories.of(held.item).turn)
        return replace(settlement, held=replace(held, over=over))

    async def _apply(self, item: str, settlements: Sequence[Settlement]) -> bool:
        """Writes settlements of one item, each once: whether nothing that was sent for that can arrive any more.

        Raises AwsError; some of them may be written then.
        """
        memory, waiting, doubtful = self._memories.of(item), list(settlements), False
        memory.turn = not memory.turn
        for _ in range(_ROUNDS):
            now, sets = self._now(), {one.held.over for one in waiting}
            acknowledged = [(name, mark) for name, mark in memory.acknowledged if name not in sets]
            settling = accounts.settle(waiting, self._lease, now, memory.seen, acknowledged)
            outcome = await self._send(item, settling.write)
            doubtful = doubtful or outcome.doubtful
            if outcome.made:
                self._settled(outcome.item, settling.counted, now)
                memory.acknowledged = [one for one in memory.acknowledged if one not in acknowledged]
                if not doubtful:
                    for _, mark in acknowledged:
                        self._marks.free(item, mark)
                    if any(one.held.slot is None and asks_for_seat(one.held.mark) for one in waiting):
                        self._marks.sit(item, number(outcome.item, SEATS))
                return not doubtful
            gone = [one for one in waiting if not accounts.is_open(one.held, outcome.item)]
            for one in gone:
                await self._apply_late(one, outcome.item)
            waiting = [one for one in waiting if one not in gone]
            if not waiting:
                return False
        raise AwsError("dynamodb", "UpdateItem", "ConditionalCheckFailedException", is_transient=True)

    async def _apply_late(self, settlement: Settlement, item: Item) -> None:
        """Writes a settlement whose reservation is not in the item, or no longer: it may have been settled, taken back
        by its lease, or never have arrived."""
        held = settlement.held
        for _ in range(_ROUNDS):
            now, name = self._now(), taken_back(item, held.mark)
            if accounts.stands(held, item):
                await self._apply(held.item, [settlement])
                return
            if name is not None:
                settling = accounts.settle_taken_back(settlement, name, now, item)
            elif settlement.used is None and not accounts.is_over(held, item):
                settling = accounts.give_up(held)
            else:
                return
            outcome = await self._send(held.item, settling.write)
            if outcome.made:
                self._settled(outcome.item, settling.counted, now)
                return
            item = outcome.item
        raise AwsError("dynamodb", "UpdateItem", "ConditionalCheckFailedException", is_transient=True)

    def _settled(self, item: Item, counted: Mapping[str, int], now: int) -> None:
        name = str(item.get("id", ""))
        for known in (name, name.rpartition("#")[0]):
            if known in self._memories:
                self._memories[known].refused = None
        by_chance = random.random() < _BY_CHANCE  # noqa: S311 - it need not be secret
        if is_to_be_drained(item, counted, now, by_chance=by_chance):
            self._settler.run(self.usage.drain(item, now))

    def _forget(self, settlement: Settlement) -> None:
        """Lets the mark of a settlement go that is written, and of which nothing can arrive any more."""
        held = settlement.held
        if held.slot is None:
            self._memories.of(held.item).acknowledged.append((held.over, held.mark))
        elif not held.doubtful:
            self._marks.free(held.item, held.mark)

    def _may_gather(self, item: str) -> bool:
        memory = self._memories.of(item)
        return memory.is_roomy and memory.own > 0

    # ---- What this process knows -------------------------------------------------------------------------------------

    async def _send(self, item: str, write: Write) -> Outcome:
        outcome = await send(self._aws, self._table, {"id": item}, write, attempts=_SENDINGS)
        self._memories.of(item).seen = outcome.item
        return outcome

    def _now(self) -> int:
        """Unix microseconds, by AWS's clock where ours is off: so all processes share one."""
        now, bounds = self._clock(), self._aws.server_clock.bounds()
        if bounds is None:
            return now
        least, most = (round(bound * SECOND) for bound in bounds)
        middle = (least + most) // 2
        return now if least <= now <= most or abs(middle - now) > _BELIEVED_SKEW else middle


def _settlements(reservation: Reservation, used: Used | None) -> list[Settlement]:
    """What is to be written to each item of a reservation."""
    if used is None or used.counted is None:
        return [Settlement(one, used) for one in (*reservation.key, *reservation.tenant)]
    without_usage = replace(used, counted=None)
    return [
        *_shared_out(reservation.key or (reservation.counted,), used),
        *_shared_out(reservation.tenant, without_usage),
    ]


def _shared_out(held: Sequence[ReservedItem], used: Used) -> list[Settlement]:
    """What was used, of each item as much as is reserved there, and of the first all the rest."""
    found, tokens, cost = [], used.tokens, used.cost
    for one in held[1:]:
        part = Used(min(tokens, one.tokens), min(cost, one.cost))
        tokens, cost = tokens - part.tokens, cost - part.cost
        found.append(Settlement(one, part))
    return [*(Settlement(one, Used(tokens, cost, used.counted)) for one in held[:1]), *found]


async def _all(written: Sequence["asyncio.Future[bool]"]) -> bool:
    return all([await one for one in written])


def _less(one: Rate, other: Rate) -> Rate:
    return min(one, other, key=lambda rate: (rate.remaining, -rate.reset))


def _lesser(wanted: int, left: int | None) -> int:
    return wanted if left is None else min(wanted, left)
