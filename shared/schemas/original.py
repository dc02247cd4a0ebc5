"""A request or an answer in the wire format in which it came: what the canonical form cannot say is not lost.

Only an adapter or encoder of the same wire format reads these. All others use the canonical form beside them.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypeAlias

from shared.dataclass import dataclass

WireFormat: TypeAlias = Literal["chat", "messages", "responses"]
"""OpenAI's Chat Completions, Anthropic's Messages and OpenAI's Responses."""


@dataclass(frozen=True, slots=True)
class Original:
    """A request's decoded JSON body, which is never changed in place, and the headers that are part of its meaning.

    Of a chat completion it is those fields only that the gateway does not know.
    """

    wire: WireFormat
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
