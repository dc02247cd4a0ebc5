"""The answer to a compaction: a conversation made shorter, in the wire format of the vendor that can read it."""

from dataclasses import field

from shared.dataclass import dataclass
from shared.schemas.chat import JsonObject
from shared.schemas.usage import Usage


@dataclass(frozen=True, slots=True)
class Compaction:
    """`body` is the vendor's own answer: what it holds of the conversation is encrypted."""

    body: JsonObject = field(repr=False)
    usage: Usage = field(default_factory=Usage)
