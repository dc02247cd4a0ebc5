"""One item: what a reservation, its settlement and its return write to it, and why a request is refused.

Pure functions of the item as it was seen last. Times are Unix microseconds, lengths of time microseconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.dataclass import dataclass
from shared.schemas.limits import MINUTE, Limits, Rates, Reason, Refused, used_up
from shared.schemas.settlement import ReservedItem, Settlement
from shared.stores.limits import leases
from shared.stores.limits.bucket import (
    REQUESTS,
    TOKENS,
    Take,
    rate,
    room_left,
    take,
    take_known,
    time_of,
    unspent,
    wait,
)
from shared.stores.limits.leases import SECOND
from shared.stores.limits.marks import asks_for_seat, places
from shared.stores.limits.money import DAY_SECONDS, PLACES, add_money, caps, money_names, tidy_money, until_next
from shared.stores.limits.usage import KEPT_SECONDS, UNSETTLED, Counting, counters_of, unsettled
from shared.stores.limits.write import Item, Write, members, number

SEATS = "p"
"""How many processes have reserved in an item."""


@dataclass(frozen=True, slots=True)
class Account:
    """The item of a key or a tenant, or a shard of one, with its part of the limits of the `whole`."""

    item: str
    whose: str
    """`key` or `tenant`."""
    whole: Limits
    limits: Limits
    shards: int
    lease: int
    """Seconds after which a reservation that was not settled is taken back."""
    room: int = MINUTE
    """How much of a bucket may be taken, where something has to be left to others. One request always fits."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a request is to be reserved in one item: tokens, micro-dollars, and whether it is one of the requests a
    minute and takes a place in flight here."""

    tokens: int
    cost: int
    place: bool = True


# ---- Reserving -------------------------------------------------------------------------------------------------------


def takes(account: Account, part: Part) -> list[Take]:
    """What a part takes of the buckets of an item."""
    limits, found = account.limits, list[Take]()
    if limits.requests_per_minute is not None and part.place:
        amount = time_of(1, limits.requests_per_minute)
        found.append(Take(REQUESTS, amount, max(account.room, amount)))
    if limits.tokens_per_minute is not None:
        amount = time_of(part.tokens, limits.tokens_per_minute)
        found.append(Take(TOKENS, amount, max(account.room, amount)))
    return found


def fits_when_empty(account: Account, part: Part) -> bool:
    """Whether there would be room for a part in an item of which nothing is used."""
    limits = account.limits
    asked = ((part.tokens, limits.tokens_per_minute), (part.cost, limits.budget_day), (part.cost, limits.budget_month))
    return all(limit is None or amount <= limit for amount, limit in asked)


def reserve(
    account: Account,
    part: Part,
    held: ReservedItem,
    now: int,
    seen: Item,
    *,
    busy: frozenset[str] | None,
    pace: float,
) -> Write:
    """The write that reserves everything or fails, also where the mark of `held` is in the item or is over.

    `busy` are the buckets that are thought to be in use; None where the item is as it was seen, as far as anyone knows.
    `pace` is how many requests a microsecond seem to be made in it.
    """
    write = Write()
    write.require_no_member(held.marks, held.mark)
    write.require_no_member(held.over, held.mark)
    write.include(held.marks, [held.mark])
    if busy is None:
        take_known(write, takes(account, part), now, seen, pace)
    else:
        take(write, takes(account, part), now, busy)
    expired = leases.expired(seen, account.lease, now)
    for name, limit, _ in caps(account.limits, now):
        if name != PLACES:
            write.require_at_most(name, limit - part.cost)
        elif part.place:
            write.require_at_most(name, limit - 1 + sum(places(slot.marks) for slot in expired))
    _count(write, held, 1)
    if asks_for_seat(held.mark):
        write.add(SEATS, 1)
    _take_back(write, Counting(write, seen, now) if held.is_of_key else None, expired, now)
    _keep(write, seen, account.lease, now)
    return write


def reserved(account: Account, part: Part, held: ReservedItem, item: Item, *, doubtful: bool) -> ReservedItem:
    """What was reserved, the item being as the write has left it.

    Where it is doubtful whether others have written since, the buckets are taken to have stood no further than the
    reservation alone would have moved them.
    """
    amounts = {one.name: one.amount for one in takes(account, part)}
    ends = {name: held.at + amount if doubtful else number(item, name) for name, amount in amounts.items()}
    return replace(
        held,
        requests=amounts.get(REQUESTS, 0),
        requests_end=ends.get(REQUESTS, 0),
        tokens=part.tokens,
        tokens_end=ends.get(TOKENS, 0),
        doubtful=doubtful,
    )


def refusal(account: Account, part: Part, now: int, item: Item) -> Refused | None:
    """Why the item, which is up to date, has no room: the limit that will take longest. None if it has room."""
    reasons = {REQUESTS: Reason.REQUESTS, TOKENS: Reason.TOKENS}
    found = [(wait(one, now, item), reasons[one.name]) for one in takes(account, part)]
    dead = leases.dead(item, account.lease, now)
    for name, limit, reason in caps(account.limits, now):
        taken = number(item, name)
        if name == PLACES:
            free = limit - taken + sum(places(slot.marks) for slot in dead)
            found.append((SECOND if part.place and free < 1 else 0, reason))
        elif taken + part.cost > limit:
            # What is only reserved may come back at any moment.
            spent = taken - _reserved_money(item, name, dead)
            found.append((SECOND if spent + part.cost <= limit else until_next(reason, now), reason))
    longest, reason = max(found, key=lambda pair: pair[0], default=(0, Reason.REQUESTS))
    return used_up(account.whose, reason, longest, rates(account, now, item)) if longest > 0 else None


def room(account: Account, now: int, item: Item) -> tuple[int | None, int | None]:
    """How many tokens and micro-dollars an item has left; None where they are not limited."""
    tokens = cost = None
    if (per_minute := account.limits.tokens_per_minute) is not None:
        tokens = room_left(TOKENS, account.room, now, item) * per_minute // MINUTE
    left = [limit - number(item, name) for name, limit, _ in caps(account.limits, now) if name != PLACES]
    if left:
        cost = max(0, min(left))
    return tokens, cost


def rates(account: Account, now: int, item: Item) -> Rates:
    """How much is left, for the headers."""
    whole, part = account.whole, account.limits
    return Rates(
        rate(
            item,
            REQUESTS,
            now,
            whole=whole.requests_per_minute,
            part=part.requests_per_minute,
            shards=account.shards,
        ),
        rate(item, TOKENS, now, whole=whole.tokens_per_minute, part=part.tokens_per_minute, shards=account.shards),
    )


# ---- Settling --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settling:
    """A write that settles, and how many requests it counts of each pair of day and model."""

    write: Write
    counted: dict[str, int]


def settle(
    settlements: Sequence[Settlement], lease: int, now: int, seen: Item, acknowledged: Iterable[tuple[str, str]] = ()
) -> Settling:
    """The write that puts what requests used in the place of what they have reserved, and gives back what was reserved
    for those that were never made: of all of them, or it fails.

    `acknowledged` are marks of usage that was counted without a reservation, and their sets: the process that counted
    it has had its answer, so that nobody will ask for them.
    """
    write = Write()
    counting = Counting(write, seen, now)
    for one in settlements:
        held = one.held
        if held.slot is None:
            write.require_no_member(held.over, held.mark)
            write.include(held.over, [held.mark])
            if asks_for_seat(held.mark):
                write.add(SEATS, 1)
        else:
            write.require_member(held.marks, held.mark)
            write.exclude(held.marks, [held.mark])
            _count(write, held, -1)
            _refill(write, one, now)
            if held.doubtful:
                write.include(held.over, [held.mark])
        _use(write, counting, one)
    for name, mark in acknowledged:
        write.exclude(name, [mark])
    own = {one.held.slot for one in settlements}
    expired = [slot for slot in leases.expired(seen, lease, now) if slot.name not in own]
    _take_back(write, counting if settlements[0].held.is_of_key else None, expired, now)
    _keep(write, seen, lease, now)
    return Settling(write, counting.pairs)


def settle_taken_back(one: Settlement, name: str, now: int, seen: Item) -> Settling:
    """The same of one whose lease has run out: its mark is in the set of that name, its money was taken for spent."""
    write, held = Write(), one.held
    write.require_member(name, held.mark)
    write.exclude(name, [held.mark])
    add_money(write, held.at, -held.cost)
    counting = Counting(write, seen, now)
    _use(write, counting, one)
    if held.is_of_key:
        lost = unsettled(places(frozenset({held.mark})), held.cost)
        counting.add(held.at, UNSETTLED, {field: -amount for field, amount in lost.items()})
    return Settling(write, counting.pairs)


def give_up(held: ReservedItem) -> Settling:
    """The write that lets a reservation that is not in the item never get into it."""
    write = Write()
    write.require_no_member(held.marks, held.mark)
    write.include(held.over, [held.mark])
    return Settling(write, {})


def _use(write: Write, counting: Counting, one: Settlement) -> None:
    """Counts what a request used, in money and usage."""
    if one.used is None:
        return
    add_money(write, one.held.at, one.used.cost)
    if (counted := one.used.counted) is not None:
        counting.add(one.held.at, counted.model, counters_of(counted))


def _count(write: Write, held: ReservedItem, sign: int) -> None:
    """Counts the place and the money of a reservation, or gives them back."""
    write.add(PLACES, sign * places(frozenset({held.mark})))
    if held.cost:
        write.add(f"c{held.slot}", sign * held.cost)
        add_money(write, held.at, sign * held.cost)


def _refill(write: Write, one: Settlement, now: int) -> None:
    """Gives buckets back what was not used, or takes what was used beyond."""
    held, used = one.held, one.used
    if used is None and held.requests:
        write.add(REQUESTS, -unspent(held.requests, 0, held.requests_end, now))
    if held.tokens_per_minute is not None:
        estimated = time_of(held.tokens, held.tokens_per_minute)
        actual = 0 if used is None else time_of(used.tokens, held.tokens_per_minute)
        more = actual - estimated
        write.add(TOKENS, more if more > 0 else -unspent(estimated, actual, held.tokens_end, now))


def _take_back(write: Write, counting: Counting | None, expired: Iterable[leases.Slot], now: int) -> None:
    """Takes the places of the dead back, and counts them in the usage of a key: their money stays spent."""
    for slot in expired:
        leases.take_back(write, slot, now)
        write.add(PLACES, -places(slot.marks))
        if counting is not None:
            counting.add(slot.begin * SECOND, UNSETTLED, unsettled(places(slot.marks), slot.cost))


def _keep(write: Write, seen: Item, lease: int, now: int) -> None:
    """Keeps an item, and no more of it than will be looked at again."""
    write.set("ttl", now // SECOND + KEPT_SECONDS)
    leases.tidy(write, seen, lease, now)
    tidy_money(write, seen, now - 2 * DAY_SECONDS * SECOND)


# ---- Looking ---------------------------------------------------------------------------------------------------------


def balance(lease: int, now: int, item: Item) -> tuple[int, int, int, int]:
    """In flight, reserved, and spent today and this month: the fields of `Balance`, of one item.

    What has died is no longer in flight, and spent, whether or not somebody has taken it back.
    """
    dead = leases.dead(item, lease, now)
    day, month = (number(item, name) - _reserved_money(item, name, dead) for name in money_names(now))
    in_flight = number(item, PLACES) - sum(places(slot.marks) for slot in dead)
    return in_flight, sum(slot.cost for slot in leases.slots(item) if slot not in dead), day, month


def _reserved_money(item: Item, name: str, dead: list[leases.Slot]) -> int:
    """How much of a day's or a month's money is only reserved."""
    return sum(
        slot.cost for slot in leases.slots(item) if slot not in dead and name in money_names(slot.begin * SECOND)
    )


def stands(held: ReservedItem, item: Item) -> bool:
    """Whether a reservation is in the item."""
    return held.slot is not None and held.mark in members(item, held.marks)


def is_over(held: ReservedItem, item: Item) -> bool:
    """Whether the item knows that a reservation is over, or that usage was counted."""
    return held.mark in members(item, held.over)


def is_open(held: ReservedItem, item: Item) -> bool:
    """Whether a settlement has still to be written to the item, and may be as if nothing had happened."""
    return not is_over(held, item) if held.slot is None else stands(held, item)


def is_taken(held: ReservedItem, item: Item) -> bool:
    """Whether a mark is already in the item, which a new one is not."""
    return stands(held, item) or is_over(held, item)


def is_roomy(account: Account, now: int, item: Item) -> bool:
    """Whether more than half of every limit is free."""
    buckets = (room_left(name, MINUTE, now, item) for name in (REQUESTS, TOKENS))
    return all(number(item, name) * 2 < limit for name, limit, _ in caps(account.limits, now)) and all(
        room * 2 > MINUTE for room in buckets
    )
