"""AWS Signature Version 4: signs requests and URLs. The few dozen lines cost a cold start nothing, botocore 300 ms.

Followed: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from shared.dataclass import dataclass

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""The payload hash of a request whose body the signature does not cover (S3 alone knows it)."""
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs a call."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signature Version 4 for one service, region and moment.

    `path` is percent-encoded and `headers` have lower-case names, `host` among them. All headers given are signed.
    """

    service: str
    region: str
    credentials: Credentials
    now: datetime

    def sign(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], payload_hash: str
    ) -> dict[str, str]:
        """The headers with the signature among them. `payload_hash` is the body's SHA-256 in hexadecimal."""
        stamp = self._stamp
        signed = {**headers, "x-amz-date": stamp}
        if self.credentials.token:
            signed["x-amz-security-token"] = self.credentials.token
        scope = self._scope(stamp)
        signature = self._signature(stamp, scope, method, path, query, signed, payload_hash)
        credential = f"Credential={self.credentials.access_key}/{scope}"
        names = f"SignedHeaders={_names(signed)}"
        signed["authorization"] = f"{_ALGORITHM} {credential}, {names}, Signature={signature}"
        return signed

    def presign(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], seconds: int
    ) -> str:
        """The query string of a URL that carries its own signature and is good for `seconds`, whatever the body.

        Who opens it has to send the same headers.
        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
        """
        stamp = self._stamp
        scope = self._scope(stamp)
        signed = {
            **query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.credentials.access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": _names(headers),
        }
        if self.credentials.token:
            signed["X-Amz-Security-Token"] = self.credentials.token
        signature = self._signature(stamp, scope, method, path, signed, headers, UNSIGNED_PAYLOAD)
        return f"{query_string(signed)}&X-Amz-Signature={signature}"

    @property
    def _stamp(self) -> str:
        return self.now.strftime("%Y%m%dT%H%M%SZ")

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"

    def _signature(
        self,
        stamp: str,
        scope: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        payload_hash: str,
    ) -> str:
        lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
        request = "\n".join([method, path, query_string(query), lines, _names(headers), payload_hash])
        text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
        return hmac.digest(_signing_key(self.credentials, scope), text.encode(), "sha256").hex()


@lru_cache(maxsize=32)
def _signing_key(credentials: Credentials, scope: str) -> bytes:
    """The key of one day, region and service."""
    key = b"AWS4" + credentials.secret_key.encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key


def _names(headers: Mapping[str, str]) -> str:
    return ";".join(sorted(headers))


def query_string(parameters: Mapping[str, str]) -> str:
    """A query in the one spelling that signatures are made over, which is a good spelling to send too."""
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
