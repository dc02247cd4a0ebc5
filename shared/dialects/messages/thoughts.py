"""What models of other vendors thought, sealed in the `signature` of thinking blocks and the `data` of redacted ones.

A client shows the text of a block and sends the block back; only the gateway knows who signed it. The text is not in
the seal, but what it must be.
"""

from hashlib import sha256
from typing import Literal

from pydantic import ValidationError

from shared.dataclass import dataclass
from shared.dialects.base import Seal, Wire
from shared.schemas.content import Reasoning, ToolCall

ANTHROPIC = "anthropic"
"""The issuer of the thoughts that clients send back as they came from an Anthropic model."""


class _Sealed(Wire):
    """`digest` is that of the text, or `text` the text itself where the client does not see it.

    The signature of a tool call names its `call_id`.
    """

    kind: Literal["thought", "redacted", "call"]
    issuer: str | None = None
    signature: str | None = None
    digest: str | None = None
    text: str | None = None
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallSignature:
    """The signature of a tool call, which has no field for it."""

    call_id: str
    signature: str | None
    issuer: str | None


def seal_thought(thought: Reasoning, seal: Seal | None, *, is_shown: bool) -> str:
    """The signature of a thinking block with the thought's text or, if that is not shown, without."""
    if thought.issuer == ANTHROPIC:
        return thought.signature or ""
    told = {"digest": _digest(thought.text)} if is_shown else {"text": thought.text}
    return _sealed(_Sealed(kind="thought", issuer=thought.issuer, signature=thought.signature, **told), seal)


def seal_redacted(thought: Reasoning, seal: Seal | None) -> str:
    """The data of a redacted thinking block."""
    if thought.issuer == ANTHROPIC:
        return thought.signature or ""
    return _sealed(_Sealed(kind="redacted", issuer=thought.issuer, signature=thought.signature), seal)


def seal_call(call: CallSignature, seal: Seal | None) -> str:
    """The data of a redacted thinking block before a tool call, with the call's signature."""
    sealed = _Sealed(kind="call", issuer=call.issuer, signature=call.signature, call_id=call.call_id)
    return _sealed(sealed, seal)


def open_thought(token: str, text: str, seal: Seal | None) -> Reasoning | CallSignature | None:
    """What a seal holds beside a block's text; None for another tenant's, and for one whose text has been altered."""
    opened = None if seal is None else seal.open(token)
    if opened is None:
        return None
    try:
        sealed = _Sealed.model_validate_json(opened)
    except ValidationError:  # a seal of another dialect
        return None
    match sealed.kind:
        case "call":
            return CallSignature(sealed.call_id or "", sealed.signature, sealed.issuer)
        case "redacted":
            return Reasoning(signature=sealed.signature, redacted=True, issuer=sealed.issuer)
        case "thought":
            if sealed.digest is not None and sealed.digest != _digest(text):
                return None
            whole = text if sealed.text is None else sealed.text
            return Reasoning(text=whole, signature=sealed.signature, issuer=sealed.issuer)


def with_signature(call: ToolCall, signatures: dict[str, CallSignature]) -> ToolCall:
    """The call with its signature, if there is one."""
    found = signatures.get(call.id)
    if found is None:
        return call
    return call.model_copy(update={"signature": found.signature, "issuer": found.issuer})


def _sealed(sealed: _Sealed, seal: Seal | None) -> str:
    return "" if seal is None else seal.seal(sealed.model_dump_json(exclude_none=True))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
