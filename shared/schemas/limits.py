"""The limits of keys and tenants, the estimate of a request, and what remains. Money is in micro-dollars."""

from dataclasses import field
from enum import StrEnum

from pydantic import Field

from shared.dataclass import dataclass
from shared.errors import BudgetExceeded, RateLimited
from shared.schemas.base import Frozen
from shared.schemas.usage import Usage

MINUTE = 60_000_000
"""Microseconds. A bucket holds one minute's worth of its limit."""
UNLIMITED = 1_000_000_000
"""What the headers call limit and remainder where there is no limit: clients read whole numbers there."""
MAX_SHARDS = 100
_SHARD_REQUESTS = 3_000
"""Requests a minute that one shard takes: at 10 s each, 500 of them are in flight, for which its item has 2 KB."""
_SHARD_PLACES = 256
"""Requests in flight that one shard takes: as many as an item of 1 KB has room for."""
_SHARD_TOKENS = 1_000_000
"""Tokens a minute that a shard has at least, so that nearly every request fits into one: what does not is reserved in
several, at a write each."""
_SHARD_MONEY = 5_000_000
"""Micro-dollars that a shard has at least of each budget, for the same reason."""


class Limits(Frozen):
    """The limits of one key, or of all keys of a tenant together. None is no limit.

    Budgets are whole micro-dollars a UTC day and a UTC month. `concurrency` counts requests in flight. `shards` is over
    how many items the limits are spread, each with its part; None derives it from the other limits. Change it, and for
    that day and month money may be refused too early or too late, since what was spent stays where it was.
    """

    requests_per_minute: int | None = Field(default=None, ge=1, le=MINUTE)
    tokens_per_minute: int | None = Field(default=None, ge=1, le=10**12)
    concurrency: int | None = Field(default=None, ge=1, le=10**9)
    budget_day: int | None = Field(default=None, ge=0, le=10**15)
    budget_month: int | None = Field(default=None, ge=0, le=10**15)
    shards: int | None = Field(default=None, ge=1, le=MAX_SHARDS)

    @property
    def any(self) -> bool:
        """Whether any limit is set."""
        rates = (self.requests_per_minute, self.tokens_per_minute, self.concurrency)
        return self.budgeted or any(limit is not None for limit in rates)

    @property
    def budgeted(self) -> bool:
        return self.budget_day is not None or self.budget_month is not None

    @property
    def shard_count(self) -> int:
        """Over how many items the limits are spread: never more than there is to share."""
        busy = max(-(-(self.requests_per_minute or 0) // _SHARD_REQUESTS), -(-(self.concurrency or 0) // _SHARD_PLACES))
        whole = (
            (self.tokens_per_minute, _SHARD_TOKENS),
            (self.budget_day, _SHARD_MONEY),
            (self.budget_month, _SHARD_MONEY),
        )
        roomy = min((limit // least for limit, least in whole if limit is not None), default=MAX_SHARDS)
        wanted = self.shards or max(1, min(busy, roomy, MAX_SHARDS))
        rates = (self.requests_per_minute, self.tokens_per_minute, self.concurrency)
        return min([wanted, *(limit for limit in rates if limit is not None)])

    def share(self, shard: int, shards: int) -> "Limits":
        """One shard's part of the limits. The parts add up exactly to the whole."""

        def part(whole: int | None) -> int | None:
            return None if whole is None else whole // shards + (shard < whole % shards)

        if shards == 1:
            return self
        return Limits(
            requests_per_minute=part(self.requests_per_minute),
            tokens_per_minute=part(self.tokens_per_minute),
            concurrency=part(self.concurrency),
            budget_day=part(self.budget_day),
            budget_month=part(self.budget_month),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is reserved for a request: tokens in and out, and micro-dollars.

    A budget is never exceeded as long as no request costs more than estimated.
    """

    tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """The state of one token bucket: it is full again after `reset` microseconds, at the Unix time `reset_at`."""

    limit: int = UNLIMITED
    remaining: int = UNLIMITED
    reset: int = 0
    reset_at: int = 0

    def headers(self, kind: str) -> dict[str, str]:
        """The three headers of OpenAI: https://developers.openai.com/api/docs/guides/rate-limits."""
        return {
            f"x-ratelimit-limit-{kind}": str(self.limit),
            f"x-ratelimit-remaining-{kind}": str(self.remaining),
            f"x-ratelimit-reset-{kind}": duration(self.reset),
        }


@dataclass(frozen=True, slots=True)
class Rates:
    """What remains of the key's or its tenant's limits, whichever is less. An estimate if there are several shards."""

    requests: Rate = field(default_factory=Rate)
    tokens: Rate = field(default_factory=Rate)

    def headers(self) -> dict[str, str]:
        return self.requests.headers("requests") | self.tokens.headers("tokens")


def duration(microseconds: int) -> str:
    """A duration in the format of OpenAI's headers: `0s`, `12ms`, `1.2s`, `6m0s`. Rounded up to a millisecond."""
    milliseconds = -(-microseconds // 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    fraction = f".{milliseconds:03}".rstrip("0") if milliseconds else ""
    return f"{minutes}m{seconds}{fraction}s" if minutes else f"{seconds}{fraction}s"


class Reason(StrEnum):
    """Which limit refuses, in words for the caller."""

    REQUESTS = "requests a minute"
    TOKENS = "tokens a minute"
    CONCURRENCY = "requests in flight"
    DAY = "money a day"
    MONTH = "money a month"


class Refused(RateLimited):
    """A limit of the key or of its tenant leaves no room for a request; `rates` is what the headers of the answer say.

    `whose` is "key" or "tenant". `wait` is in how many microseconds there may be room, None where there never is for
    such a request: then there is no `retry_after`.
    """

    def __init__(self, message: str, whose: str, reason: Reason, wait: int | None, rates: Rates) -> None:
        super().__init__(message, retry_after=None if wait is None else max(1, -(-wait // 1_000_000)))
        self.whose = whose
        self.reason = reason
        self.wait = wait
        self.rates = rates


class OverBudget(BudgetExceeded, Refused):
    """The budget of a day or a month is spent, or reserved by requests in flight."""


def used_up(whose: str, reason: Reason, wait: int, rates: Rates) -> Refused:
    """The refusal of a limit that has no room now."""
    seconds = max(1, -(-wait // 1_000_000))
    again = f"Try again in {seconds} {'second' if seconds == 1 else 'seconds'}."
    return _kind(reason)(f"The {whose}'s limit of {reason} is used up. {again}", whose, reason, wait, rates)


def too_large(whose: str, reason: Reason, need: int, limit: int, rates: Rates) -> Refused:
    """The refusal of a request that needs more than a whole limit: tokens, or micro-dollars."""
    if reason in _MONEY:
        numbers = f"it may cost ${need / 1e6:,.6f}, and the limit is ${limit / 1e6:,.6f}"
    else:
        numbers = f"it needs {need:,} tokens, and the limit is {limit:,}"
    message = f"The request is larger than the {whose}'s whole limit of {reason}: {numbers}."
    return _kind(reason)(message, whose, reason, None, rates)


_MONEY = frozenset({Reason.DAY, Reason.MONTH})


def _kind(reason: Reason) -> type[Refused]:
    return OverBudget if reason in _MONEY else Refused


@dataclass(frozen=True, slots=True)
class Balance:
    """A key's or tenant's requests in flight, and its micro-dollars: reserved, and spent in this UTC day and month."""

    in_flight: int
    reserved: int
    spent_day: int
    spent_month: int


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one key used of one model on one UTC day (`YYYY-MM-DD`): requests that were answered, those that failed,
    tokens by kind, and micro-dollars.

    Of how many of those requests nobody told what they used, so that it was estimated, and what they are taken to have
    cost, is in `estimated` and `estimated_cost`.
    """

    key_id: str
    day: str
    model: str
    requests: int = 0
    failures: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: int = 0
    estimated: int = 0
    estimated_cost: int = 0
