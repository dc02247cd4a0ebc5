"""What an item of the limits has reserved for a request, and what is to be written there when the request has ended."""

from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Literal

from shared.dataclass import dataclass
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class ReservedItem:
    """What one item has reserved for one request, known there by its `mark`. Times are Unix microseconds.

    `at` is when the request began, `slot` the span of time in which that was, None where nothing is reserved and only
    usage will be counted; `over` is the set that remembers the mark afterwards, where that is needed. `requests` is
    time on the clock of its bucket, `requests_end` and `tokens_end` are where the buckets stood after it. `doubtful`
    where a sending of the reservation may yet arrive.
    """

    item: str
    mark: str
    at: int
    slot: str | None
    over: str
    cost: int = 0
    requests: int = 0
    requests_end: int = 0
    tokens: int = 0
    tokens_end: int = 0
    tokens_per_minute: int | None = None
    doubtful: bool = False

    @property
    def marks(self) -> str:
        """The set of the marks that are in flight with this one."""
        return f"k{self.slot}"

    @property
    def is_of_key(self) -> bool:
        """Whether the item is a key's, where usage is counted, and not a tenant's."""
        return self.item.startswith("key#")


@dataclass(frozen=True, slots=True)
class Counted:
    """What of a request goes into the usage of its key. `cost` is in micro-dollars; `estimated` where nobody told what
    was used."""

    model: str
    usage: Usage
    cost: int
    failed: bool = False
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """What a request has used of the limits of one item: tokens, micro-dollars, and what is `counted` there."""

    tokens: int
    cost: int
    counted: Counted | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be written to one item, once: what a request has `used`, None for one that was never made."""

    held: ReservedItem
    used: Used | None


@dataclass(frozen=True, slots=True)
class SettlementMessage:
    """Settlements that their process could not write, for whoever receives them. `failures` counts how often AWS has
    failed since."""

    settlements: tuple[Settlement, ...]
    failures: int = 0
    kind: Literal["settlements"] = field(default="settlements")

    def text(self) -> str:
        return _messages().dump_json(self).decode()

    @classmethod
    def read(cls, text: str) -> "SettlementMessage":
        """Raises ValueError for text that is no such message."""
        return _messages().validate_json(text)

    @staticmethod
    def is_kind_of(text: str) -> bool:
        """Whether a text is such a message, by the kind that it names."""
        return '"kind":"settlements"' in text


@cache
def _messages() -> "TypeAdapter[SettlementMessage]":
    from pydantic import TypeAdapter

    return TypeAdapter(SettlementMessage)
