"""What a reasoning item's `encrypted_content` carries: thoughts and signatures as their vendor gave them, sealed.

A caller can neither read nor alter it. It is JSON: a list of thoughts, and the signatures of the tool calls after them.
"""

import json
from collections.abc import Sequence
from typing import Any

from shared.dataclass import dataclass
from shared.dialects.base import Seal
from shared.schemas.content import Reasoning


@dataclass(frozen=True, slots=True)
class CallSignature:
    """The signature of the tool call `call_id`, which means something to the adapter `issuer` only."""

    call_id: str
    signature: str
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Carried:
    """What one reasoning item carries."""

    thoughts: Sequence[Reasoning] = ()
    calls: Sequence[CallSignature] = ()


def sealed(carried: Carried, seal: Seal) -> str:
    """The carried thoughts as a token."""
    fields = {
        "thoughts": [[part.text, part.signature, part.redacted, part.issuer] for part in carried.thoughts],
        "calls": [[call.call_id, call.signature, call.issuer] for call in carried.calls],
    }
    return seal.seal(json.dumps(fields, separators=(",", ":")))


def opened(token: str, seal: Seal) -> Carried | None:
    """What a token carries; None for one that the gateway has not sealed for this tenant."""
    text = seal.open(token)
    if text is None:
        return None
    fields: dict[str, list[list[Any]]] = json.loads(text)
    if fields.keys() != {"thoughts", "calls"}:  # a seal of another dialect
        return None
    return Carried(
        tuple(
            Reasoning(text=text, signature=signature, redacted=redacted, issuer=issuer)
            for text, signature, redacted, issuer in fields["thoughts"]
        ),
        tuple(CallSignature(*call) for call in fields["calls"]),
    )
