"""Answers that are given again: what a request asks for, what has become of it, and the recorded answer."""

import json
from collections.abc import Sequence

from shared.dataclass import dataclass

KEPT_SECONDS = 24 * 3600
"""How long an answer may be given again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for: the answer kept under `name` if it is one to `request`, up to `max_age` seconds old.

    Both are hashes. Without `is_cache` the caller has named the request, which is never to be run twice.
    """

    name: str
    request: str
    max_age: float
    is_cache: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """The caller of `claim` is to answer the request; `lease` proves it."""

    lease: int


@dataclass(frozen=True, slots=True)
class Running:
    """Another one answers it."""


@dataclass(frozen=True, slots=True)
class Reused:
    """Its name stands for another request."""


@dataclass(frozen=True, slots=True)
class Stored:
    """It is answered; `at` is in Unix seconds."""

    key: str
    at: int


@dataclass(frozen=True, slots=True)
class Recording:
    """An answer as it went over the wire, and the id of its request."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    request_id: str

    def content(self) -> bytes:
        head = {"status": self.status, "headers": list(self.headers), "request_id": self.request_id}
        return json.dumps(head).encode() + b"\n" + self.body

    @classmethod
    def read(cls, content: bytes) -> "Recording":
        head, _, body = content.partition(b"\n")
        values = json.loads(head)
        return cls(values["status"], [(name, value) for name, value in values["headers"]], body, values["request_id"])


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded answer to be given again, and its age in seconds."""

    recording: Recording
    age: int
