"""Signs Bedrock's requests with AWS credentials. Imported with the first call, since httpx is large."""

import hashlib
from collections.abc import AsyncGenerator
from urllib.parse import quote

import httpx

from shared.providers.base import SignerSource

SERVICE = "bedrock"


class Signature(httpx.Auth):
    """Signs method, path, host, content type and body. The credentials are in no repr."""

    def __init__(self, signer: SignerSource) -> None:
        self._signer = signer

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Raises what the source of the signer raises where there are no credentials."""
        body = await request.aread()
        signer = await self._signer(SERVICE)
        # A service other than S3 escapes the path, as it is sent, once more before it signs it.
        path = quote(request.url.raw_path.decode("ascii"), safe="/~")
        signed = {name: request.headers[name] for name in ("host", "content-type")}
        request.headers.update(signer.sign(request.method, path, {}, signed, hashlib.sha256(body).hexdigest()))
        yield request
