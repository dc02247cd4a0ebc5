"""Seals what callers carry for the gateway but may neither read nor alter, such as a provider's signed thoughts."""

import base64
import hmac
import os
from functools import cached_property
from typing import TYPE_CHECKING

from shared.dataclass import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_PREFIX = "gw1_"
_NONCE_BYTES = 12


def is_seal(token: str) -> bool:
    """Whether a text looks like a token of a Sealer. No vendor's signature does."""
    return token.startswith(_PREFIX)


class Sealer:
    """Authenticated encryption (AES-256-GCM) under a key derived from a secret, which is a stack's own.

    A seal is bound to its `purpose`, such as the tenant: it is not opened for another one.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, text: str, purpose: str) -> str:
        """The text as a token of URL-safe characters."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), purpose.encode())
        return _PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, token: str, purpose: str) -> str | None:
        """The text of a token; None for what is no token of this secret and purpose, or has been altered."""
        if not is_seal(token):
            return None
        from cryptography.exceptions import InvalidTag

        encoded = token.removeprefix(_PREFIX)
        try:
            sealed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode()).decode()
        except (ValueError, InvalidTag):
            return None

    @cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # only requests with seals load it

        return AESGCM(hmac.digest(self._secret, b"sealing", "sha256"))


@dataclass(frozen=True, slots=True)
class BoundSealer:
    """A Sealer for one purpose."""

    sealer: Sealer
    purpose: str

    def seal(self, text: str) -> str:
        """The text as a token of URL-safe characters."""
        return self.sealer.seal(text, self.purpose)

    def open(self, token: str) -> str | None:
        """The text of a token; None for what is no token of this purpose, or has been altered."""
        return self.sealer.open(token, self.purpose)
