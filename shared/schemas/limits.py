"""The limits of keys and tenants, the estimate of a request, and what remains. Money is in micro-dollars."""

from dataclasses import dataclass, field

from pydantic import Field

from shared.errors import BudgetExceeded, RateLimited
from shared.schemas.base import Frozen
from shared.schemas.usage import Usage

MINUTE = 60_000_000
"""Microseconds. A bucket holds one minute's worth of its limit."""
UNLIMITED = 1_000_000_000
"""The limit and remainder in headers if there is no limit, since clients expect whole numbers."""
_SHARD_REQUESTS = 24_000
"""Requests per minute of one shard: 400 a second with two writes each, near a partition's limit of 1,000 writes."""
_SHARD_TOKENS = 1_000_000
"""The least tokens per minute of a shard, so that every model's largest request fits into one."""


class Limits(Frozen):
    """The limits of one key, or of all keys of a tenant together. None is no limit.

    Budgets are whole micro-dollars per UTC day and UTC month. `concurrency` counts requests in flight. `shards` is the
    number of items over which the limits are divided; a request has to fit into one item's part. None derives it from
    `requests_per_minute`. After a change, budgets of the current day and month may be enforced too early or too late,
    since past spending stays with its item.
    """

    requests_per_minute: int | None = Field(default=None, ge=1, le=MINUTE)
    tokens_per_minute: int | None = Field(default=None, ge=1, le=10**12)
    concurrency: int | None = Field(default=None, ge=1, le=10**9)
    budget_day: int | None = Field(default=None, ge=0, le=10**15)
    budget_month: int | None = Field(default=None, ge=0, le=10**15)
    shards: int | None = Field(default=None, ge=1, le=100)

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
        """The number of items over which the limits are divided: at most the smallest limit."""
        busy = -(-(self.requests_per_minute or 0) // _SHARD_REQUESTS)
        roomy = busy if self.tokens_per_minute is None else self.tokens_per_minute // _SHARD_TOKENS
        wanted = self.shards or max(1, min(busy, roomy))
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


class Refused(RateLimited):
    """A limit of the key or of its tenant is exhausted; `rates` is for the headers of the response."""

    def __init__(self, message: str, *, retry_after: int, rates: Rates) -> None:
        super().__init__(message, retry_after=retry_after)
        self.rates = rates


class OverBudget(BudgetExceeded, Refused):
    """The budget of a day or a month is spent, or reserved by requests in flight."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A key's or tenant's requests in flight, and its micro-dollars: reserved, and spent in this UTC day and month."""

    in_flight: int
    reserved: int
    spent_day: int
    spent_month: int


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of one model by one key on one UTC day (`YYYY-MM-DD`): successful requests, failed requests, tokens by
    kind, and cost in micro-dollars."""

    key_id: str
    day: str
    model: str
    requests: int = 0
    failures: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: int = 0
