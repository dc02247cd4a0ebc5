"""The toy vendor's request signature, a stand-in for AWS Signature Version 4. Imported with the first call."""

import hashlib
import hmac
from collections.abc import Generator

import httpx


class Signature(httpx.Auth):
    """Signs method, path with query, and body with HMAC-SHA256. The secret is in no header and no repr."""

    requires_request_body = True

    def __init__(self, access_key_id: str, secret: str) -> None:
        self._access_key_id = access_key_id
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        signed = b"\n".join((request.method.encode(), request.url.raw_path, hashlib.sha256(request.content).digest()))
        signature = hmac.digest(self._secret.encode(), signed, "sha256").hex()
        request.headers["authorization"] = f"TOY-HMAC-SHA256 Credential={self._access_key_id}, Signature={signature}"
        yield request
