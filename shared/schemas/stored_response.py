"""Stored responses: their ids and those of their items, what is kept of each, and the message that has one answered."""

import re
import secrets
from dataclasses import field
from typing import Any, Literal, TypeAlias

from pydantic import Field

from shared.dataclass import dataclass
from shared.schemas.base import Frozen
from shared.schemas.caller import Caller

JsonObject: TypeAlias = dict[str, Any]

_ID = re.compile(r"resp_[0-9a-f]{27}")
_ITEM_ID = re.compile(r"[a-z]{2,12}_([0-9a-f]{27})i?[0-9a-f]{3,6}")


def new_response_id(now: float) -> str:
    """A new id; `now` is Unix time."""
    return f"resp_{int(now * 1000):011x}{secrets.token_hex(8)}"


def is_response_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def output_id(kind: str, response_id: str, number: int) -> str:
    """The id of a response's output item, which leads to the response; `kind` is its prefix, such as `msg`."""
    return f"{kind}_{response_id.removeprefix('resp_')}{number:03x}"


def input_id(kind: str, response_id: str, number: int) -> str:
    """The id of one of a response's own input items, if the client gave it none."""
    return f"{kind}_{response_id.removeprefix('resp_')}i{number:03x}"


def response_of(item_id: str) -> str | None:
    """The id of the response that an item's id leads to; None for an id that the gateway has not made."""
    found = _ITEM_ID.fullmatch(item_id)
    return None if found is None else f"resp_{found[1]}"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response that has ended: its body, the items of the conversation before it, and its own input items.

    It holds the whole conversation, so that continuing from it takes one read. `size` is that of the stored object, in
    bytes, where it has been read.
    """

    body: JsonObject = field(repr=False)
    context: tuple[JsonObject, ...] = field(default=(), repr=False)
    input: tuple[JsonObject, ...] = field(default=(), repr=False)
    size: int = 0

    @property
    def id(self) -> str:
        response_id: str = self.body["id"]
        return response_id

    @property
    def given(self) -> tuple[JsonObject, ...]:
        """All items that the model was given."""
        return self.context + self.input

    @property
    def conversation(self) -> tuple[JsonObject, ...]:
        """All items, the output included."""
        return (*self.given, *self.body["output"])


class BackgroundRequest(Frozen):
    """A request that is answered in the background.

    `body` is the request's, `models` those to try after its model, `response` the response's body while it waits.
    `token_hash` identifies the key that sent it.
    """

    caller: Caller
    token_hash: str = Field(repr=False)
    body: JsonObject = Field(repr=False)
    models: tuple[str, ...] = ()
    response: JsonObject = Field(repr=False)

    @property
    def id(self) -> str:
        response_id: str = self.response["id"]
        return response_id


class BackgroundMessage(Frozen):
    """Answer a request in the background. `failures` is how often AWS failed meanwhile, `round` how often a rate limit
    has postponed it.
    """

    tenant: str
    response: str
    failures: int = 0
    round: int = 0
    kind: Literal["response"] = "response"

    @staticmethod
    def is_kind_of(text: str) -> bool:
        """Whether a text is such a message, by the kind that it names."""
        return '"kind":"response"' in text
