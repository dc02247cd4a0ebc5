"""What a reservation, its settlement and its return write to the item of a key or a tenant, and why one is refused.

Pure functions of the item as it was seen; times are Unix microseconds, lengths of time microseconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import islice

from shared.schemas.limits import MINUTE, UNLIMITED, Estimate, Limits, Rate, Rates
from shared.schemas.usage import Usage
from shared.stores.limits.usage import count
from shared.stores.limits.write import Item, Write, number

SECOND = 1_000_000
KEPT_SECONDS = 400 * 86_400
"""How long an item that nobody uses is kept, and a row of usage."""
_DAY_SECONDS = 86_400
_MANY_SLOTS = 4
_TIDIED_AT_ONCE = 50  # an expression may be 4 KB long
_SLOT_SECONDS = (600, 300, 120, 60, 30, 15, 10, 5, 2, 1)  # each divides a day, so that a slot lies within one


class Reason(Enum):
    """Which limit refuses, in words for the caller."""

    REQUESTS = "requests a minute"
    TOKENS = "tokens a minute"
    CONCURRENCY = "requests in flight"
    DAY = "money a day"
    MONTH = "money a month"


_BUCKETS = {"rq": Reason.REQUESTS, "tk": Reason.TOKENS}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there was no room, and in how many microseconds there may be; None if there never is for such a request."""

    reason: Reason
    wait: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """One item and its limits: of a key or a tenant, or a shard of one with its part of the limits."""

    item: str
    limits: Limits
    lease: int
    """Seconds after which a reservation that was not settled is taken back."""
    room: int = MINUTE
    """How much of a bucket may be taken, where something has to be left to others. One request always fits."""

    @property
    def slot_seconds(self) -> int:
        """Some slots to a lease, so that the dead return no later than a third of a lease after it."""
        return next((length for length in _SLOT_SECONDS if length * 3 <= self.lease), 1)

    @property
    def counts_flights(self) -> bool:
        return self.limits.concurrency is not None or self.limits.budgeted


@dataclass(frozen=True, slots=True)
class ReservedItem:
    """What one item has reserved for one request. `tokens` and `requests` are time on the buckets' clocks, and
    `tokens_end` and `requests_end` where the buckets stood after it."""

    account: Account
    at: int
    cost: int = 0
    requests: int = 0
    requests_end: int = 0
    tokens: int = 0
    tokens_end: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """What a request turned out to have used, counted under `model` where the item is a key's."""

    usage: Usage
    cost: int
    failed: bool = False
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The requests begun in one span of time that are still in flight, by what the item shows."""

    begin: str
    flights: int
    cost: int
    money: tuple[str, str]
    """The attributes of the day and the month in which it lies."""


# ---- Reserving -------------------------------------------------------------------------------------------------------


def reserve(account: Account, estimate: Estimate, now: int, seen: Item, busy: frozenset[str] = frozenset()) -> Write:
    """The write that reserves everything or fails.

    `seen` may be out of date or empty; `busy` are the buckets that are thought to be in use whatever it says.
    """
    write, limits = Write(), account.limits
    for name, amount in _asked(account, estimate):
        _take(write, name, amount, now, max(account.room, amount), full=number(seen, name) < now and name not in busy)
    if account.counts_flights:
        expired = _expired(account, now, seen)
        for name, limit in _caps(account, now):
            wanted = 1 if name == "n" else estimate.cost
            write.require_at_most(name, limit - wanted + _returned(name, expired))
        _count(write, account, now, 1, estimate.cost)
        if limits.budgeted:
            for name in money_names(now):
                write.add(name, estimate.cost)
        _tidy(write, account, now, seen, expired)
    return write


def impossible(account: Account, estimate: Estimate) -> Refusal | None:
    """Why a request would be refused whatever the item held."""
    limits = account.limits
    if limits.tokens_per_minute is not None and estimate.tokens > limits.tokens_per_minute:
        return Refusal(Reason.TOKENS, None)
    if limits.budget_day is not None and estimate.cost > limits.budget_day:
        return Refusal(Reason.DAY, None)
    if limits.budget_month is not None and estimate.cost > limits.budget_month:
        return Refusal(Reason.MONTH, None)
    return None


def refusal(account: Account, estimate: Estimate, now: int, item: Item) -> Refusal | None:
    """Why the item, which is up to date, has no room: the limit that will take longest. None if it has room."""
    found = [
        (max(number(item, name), now) + amount - max(account.room, amount) - now, _BUCKETS[name])
        for name, amount in _asked(account, estimate)
    ]
    expired = _expired(account, now, item)
    for name, limit in _caps(account, now):
        taken = number(item, name) - _returned(name, expired)
        if name == "n":
            found.append((SECOND if taken >= limit else 0, Reason.CONCURRENCY))
        elif taken + estimate.cost > limit:
            # What is only reserved may come back at any moment.
            spent = taken - sum(slot.cost for slot in _slots(item) if name in slot.money and slot not in expired)
            reason = Reason.DAY if name.startswith("d:") else Reason.MONTH
            found.append((SECOND if spent + estimate.cost <= limit else _rest(now, reason), reason))
    wait, reason = max(found, key=lambda pair: pair[0], default=(0, Reason.REQUESTS))
    return Refusal(reason, wait) if wait > 0 else None


def busy_buckets(account: Account, estimate: Estimate, now: int, item: Item, *, made: bool) -> frozenset[str]:
    """The buckets that were not full before the write that found the item so, or `made` it so."""
    asked = _asked(account, estimate)
    return frozenset(name for name, amount in asked if number(item, name) - (amount if made else 0) > now)


def hold(account: Account, estimate: Estimate, now: int, item: Item) -> ReservedItem:
    """What was reserved, the item being as the write has left it."""
    asked = dict(_asked(account, estimate))
    return ReservedItem(
        account,
        now,
        cost=estimate.cost if account.limits.budgeted else 0,
        requests=asked.get("rq", 0),
        requests_end=number(item, "rq"),
        tokens=asked.get("tk", 0),
        tokens_end=number(item, "tk"),
    )


# ---- Settling --------------------------------------------------------------------------------------------------------


def settle(held: ReservedItem, used: Used, now: int, mark: str, seen: Item, *, expired: bool = False) -> Write:
    """The write that puts what was used in place of what was reserved.

    `expired` where the lease has run out and another has taken the reservation back: then there is only use to count.
    """
    write, limits = Write(mark), held.account.limits
    if limits.tokens_per_minute is not None:
        actual = time_of(used.usage.total_tokens, limits.tokens_per_minute)
        too_little = actual - held.tokens
        write.add("tk", too_little if too_little > 0 else -_unspent(held.tokens, actual, held.tokens_end, now))
    reserved = 0 if expired else held.cost
    if held.account.counts_flights and not expired:
        _release(write, held)
    for name in money_names(held.at):
        write.add(name, used.cost - reserved)
    if used.model is not None:
        count(write, day_of(held.at), used.model, used.usage, used.cost, failed=used.failed)
    write.set("ttl", now // SECOND + KEPT_SECONDS)
    _tidy_much(write, held, now, seen)
    return write


def give_back(held: ReservedItem, now: int, mark: str) -> Write:
    """The write that undoes a reservation of which nothing was used."""
    write, limits = Write(mark), held.account.limits
    if limits.requests_per_minute is not None:
        write.add("rq", -_unspent(held.requests, 0, held.requests_end, now))
    if limits.tokens_per_minute is not None:
        write.add("tk", -_unspent(held.tokens, 0, held.tokens_end, now))
    if held.account.counts_flights:
        _release(write, held)
        for name in money_names(held.at):
            write.add(name, -held.cost)
    return write


def released(held: ReservedItem, item: Item) -> bool:
    """Whether the slot of a reservation has been taken back."""
    return held.account.counts_flights and number(item, f"n:{_slot(held.account, held.at)}") < 1


# ---- Buckets ---------------------------------------------------------------------------------------------------------


def time_of(units: int, per_minute: int) -> int:
    """How long a bucket takes to refill so many units, rounded up."""
    return -(-units * MINUTE // per_minute)


def _asked(account: Account, estimate: Estimate) -> list[tuple[str, int]]:
    """The buckets of an item, and what a request takes of them."""
    limits, asked = account.limits, list[tuple[str, int]]()
    if limits.requests_per_minute is not None:
        asked.append(("rq", time_of(1, limits.requests_per_minute)))
    if limits.tokens_per_minute is not None:
        asked.append(("tk", time_of(estimate.tokens, limits.tokens_per_minute)))
    return asked


def _take(write: Write, name: str, amount: int, now: int, room: int, *, full: bool) -> None:
    """Takes from a bucket: from a full one by setting its clock, from another by moving it on."""
    if full:
        write.require_below(name, now)
        write.set(name, now + amount)
    else:
        write.require_between(name, now, now + room - amount)
        write.add(name, amount)


def _unspent(reserved: int, actual: int, end: int, now: int) -> int:
    """What a bucket gets back. What time has refilled meanwhile is not given a second time."""
    return max(0, min(reserved - actual, end - now))


def rates(account: Account, whole: Limits, shards: int, now: int, item: Item) -> Rates:
    """How much is left, for the headers: that of all shards is taken to be as in this one."""

    def rate(name: str, limit: int | None, share: int | None) -> Rate:
        if limit is None or share is None:
            return Rate(reset_at=now // SECOND)
        debt = min(max(number(item, name) - now, 0), MINUTE)
        remaining = min((MINUTE - debt) * share // MINUTE * shards, limit)
        return Rate(min(limit, UNLIMITED), min(remaining, UNLIMITED), debt, -(-(now + debt) // SECOND))

    return Rates(
        rate("rq", whole.requests_per_minute, account.limits.requests_per_minute),
        rate("tk", whole.tokens_per_minute, account.limits.tokens_per_minute),
    )


# ---- Flights and money -----------------------------------------------------------------------------------------------


def day_of(at: int) -> str:
    return _utc(at).strftime("%Y%m%d")


def money_names(at: int) -> tuple[str, str]:
    """The attributes of money of the UTC day and month of a moment."""
    day = day_of(at)
    return f"d:{day}", f"m:{day[:6]}"


def standing(account: Account, now: int, item: Item) -> tuple[int, int, int, int]:
    """In flight, reserved, and spent today and this month: the fields of `Standing`, of one item.

    What is expired is no longer in flight, whether or not somebody has taken it back.
    """
    found, dead = list(_slots(item)), _dead(account, now, item)
    day, month = (
        number(item, name) - sum(slot.cost for slot in found if name in slot.money) for name in money_names(now)
    )
    in_flight = number(item, "n") - sum(slot.flights for slot in dead)
    return in_flight, sum(slot.cost for slot in found) - sum(slot.cost for slot in dead), day, month


def _slots(item: Item) -> Iterator[Slot]:
    for name in item:
        if name.startswith("n:"):
            begin = name.removeprefix("n:")
            money = money_names(int(begin) * SECOND)
            yield Slot(begin, number(item, name), number(item, f"c:{begin}"), money)


def _dead(account: Account, now: int, item: Item) -> list[Slot]:
    """The slots whose every lease has run out."""
    last = now // SECOND - account.slot_seconds - account.lease
    return [slot for slot in _slots(item) if int(slot.begin) <= last]


def _expired(account: Account, now: int, item: Item) -> list[Slot]:
    """As many of the dead as one write takes back, first those that return most."""
    dead = _dead(account, now, item)
    return sorted(dead, key=lambda slot: (slot.cost, slot.flights), reverse=True)[:_TIDIED_AT_ONCE]


def _caps(account: Account, now: int) -> Iterator[tuple[str, int]]:
    """The attributes that count what is out now, and how far they may go."""
    day, month = money_names(now)
    limits = account.limits
    for name, limit in (("n", limits.concurrency), (day, limits.budget_day), (month, limits.budget_month)):
        if limit is not None:
            yield name, limit


def _returned(name: str, expired: Sequence[Slot]) -> int:
    """How much of a counter comes back with the expired slots."""
    if name == "n":
        return sum(slot.flights for slot in expired)
    return sum(slot.cost for slot in expired if name in slot.money)


def _tidy(write: Write, account: Account, now: int, seen: Item, expired: Sequence[Slot]) -> None:
    """Takes expired slots back, and removes what will not be looked at again."""
    oldest_day, oldest_month = money_names(now - (2 * account.lease + _DAY_SECONDS) * SECOND)
    past = (name for name in seen if "d:" <= name < oldest_day or "m:" <= name < oldest_month)
    for name in islice(past, _TIDIED_AT_ONCE):
        write.remove(name)
    for slot in (*expired, *_settled(account, now, seen)):
        # Nobody reserves in a slot of the past, so that the same number means the same reservations.
        write.require_equal(f"n:{slot.begin}", slot.flights)
        write.remove(f"n:{slot.begin}")
        write.remove(f"c:{slot.begin}")
        write.add("n", -slot.flights)
        for name in slot.money:
            write.add(name, -slot.cost)


def _tidy_much(write: Write, held: ReservedItem, now: int, seen: Item) -> None:
    """Tidies only where that has not happened for a while: as long as processes live on, reserving does it."""
    own = str(_slot(held.account, held.at))
    expired = [slot for slot in _expired(held.account, now, seen) if slot.begin != own]
    if len(expired) + sum(1 for _ in _settled(held.account, now, seen)) >= _MANY_SLOTS:
        _tidy(write, held.account, now, seen, expired)


def _settled(account: Account, now: int, item: Item) -> Iterator[Slot]:
    """The slots that are over and have no request in flight, but are not expired."""
    for slot in _slots(item):
        end = int(slot.begin) + account.slot_seconds
        if slot.flights == 0 and end <= now // SECOND < end + account.lease:
            yield slot


def _slot(account: Account, at: int) -> int:
    seconds = at // SECOND
    return seconds - seconds % account.slot_seconds


def _count(write: Write, account: Account, at: int, flights: int, cost: int) -> None:
    slot = _slot(account, at)
    write.add("n", flights)
    write.add(f"n:{slot}", flights)
    write.add(f"c:{slot}", cost if account.limits.budgeted else 0)


def _release(write: Write, held: ReservedItem) -> None:
    write.require_at_least(f"n:{_slot(held.account, held.at)}", 1)
    _count(write, held.account, held.at, -1, -held.cost)


def _rest(now: int, reason: Reason) -> int:
    """The time until the day or the month ends."""
    today = _utc(now).replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = today + timedelta(days=1) if reason is Reason.DAY else next_month
    return int(end.timestamp()) * SECOND - now


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND, UTC)
