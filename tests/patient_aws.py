"""An `Aws` for an emulated AWS on a busy machine."""

from collections.abc import AsyncIterable, Mapping

import httpx

from shared.stores.aws import Aws

_SECONDS = 60.0


class PatientAws(Aws):
    """Waits a minute for each answer, where stores wait 2 seconds for DynamoDB's and then send a write again.

    An emulator may be slower than that on a machine that has other work, so that a test would see a time-out of which
    it knows nothing.
    """

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | AsyncIterable[bytes] = b"",
        *,
        connect: float = _SECONDS,
        read: float = _SECONDS,
    ) -> httpx.Response:
        return await super().send(method, url, headers, content, connect=_SECONDS, read=_SECONDS)
