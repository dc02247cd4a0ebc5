"""Calls AWS services of the JSON protocol (DynamoDB, Secrets Manager, SQS) over one HTTP client, signed by ourselves.

boto3 with one client costs a cold start 300 ms and 30 MB, and it blocks; the two dozen lines of Signature Version 4
that a JSON service needs cost nothing. Followed:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import asyncio
import hashlib
import hmac
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

_ATTEMPTS = 3
_RETRIED = frozenset({"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"})
_JSON_VERSION = {"dynamodb": "1.0", "sqs": "1.0", "secretsmanager": "1.1"}
_TARGET = {"dynamodb": "DynamoDB_20120810", "sqs": "AmazonSQS", "secretsmanager": "secretsmanager"}


class AwsError(Exception):
    """AWS refused a call or could not be reached; `code` is AWS's name of the error."""

    def __init__(self, service: str, action: str, code: str) -> None:
        super().__init__(f"{service} {action}: {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs a call."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Aws:
    """A client for all JSON services, made when it is first needed, for the event loop that needs it."""

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._environment = environment
        self._transport = transport
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(self, service: str, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One call, tried again when AWS throttles it or fails. Raises AwsError."""
        content = json.dumps(body).encode()
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter needs no secrecy
            status, answer = await self._send(service, action, content)
            if status == 200:
                return answer
            code = str(answer.get("__type", status)).rpartition("#")[2]
            if status < 500 and code not in _RETRIED:
                break
        raise AwsError(service, action, code)

    async def _send(self, service: str, action: str, content: bytes) -> tuple[int, dict[str, Any]]:
        import httpx  # only who calls AWS pays for it

        url = self._endpoint(service)
        headers = {
            "content-type": f"application/x-amz-json-{_JSON_VERSION[service]}",
            "host": urlsplit(url).netloc,
            "x-amz-target": f"{_TARGET[service]}.{action}",
        }
        signed = sign(headers, content, service, self._region, await self._credentials(), self._clock())
        try:
            response = await self._http().post(url, content=content, headers=signed)
        except httpx.HTTPError as error:
            return 503, {"__type": type(error).__name__}
        try:
            answer = response.json()
        except ValueError:
            answer = None
        return response.status_code, answer if isinstance(answer, dict) else {}

    def _http(self) -> "httpx.AsyncClient":
        import httpx

        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = httpx.AsyncClient(
                transport=self._transport or httpx.AsyncHTTPTransport(retries=1),
                timeout=httpx.Timeout(5, connect=2),
                trust_env=False,
            )
        return self._client

    @property
    def _region(self) -> str:
        return self._environment.get("AWS_REGION") or self._environment.get("AWS_DEFAULT_REGION") or "us-east-1"

    def _endpoint(self, service: str) -> str:
        """The service's address, or that of an emulator as AWS's SDKs have it set."""
        given = self._environment.get(
            f"AWS_ENDPOINT_URL_{service.upper().replace('SECRETSMANAGER', 'SECRETS_MANAGER')}"
        )
        domain = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"
        default = f"https://{service}.{self._region}.{domain}"
        return (given or self._environment.get("AWS_ENDPOINT_URL") or default).rstrip("/") + "/"

    async def _credentials(self) -> Credentials:
        access_key = self._environment.get("AWS_ACCESS_KEY_ID")
        secret_key = self._environment.get("AWS_SECRET_ACCESS_KEY")
        if access_key and secret_key:
            return Credentials(access_key, secret_key, self._environment.get("AWS_SESSION_TOKEN") or None)
        return await asyncio.to_thread(_credentials_of_the_chain)

    async def aclose(self) -> None:
        if self._client is not None and self._loop is asyncio.get_running_loop():
            await self._client.aclose()


def sign(
    headers: Mapping[str, str], content: bytes, service: str, region: str, credentials: Credentials, now: datetime
) -> dict[str, str]:
    """The headers of a `POST /` with its signature among them."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signed = {**headers, "x-amz-date": stamp}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(signed))
    canonical_headers = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    request = "\n".join(["POST", "/", "", canonical_headers, names, hashlib.sha256(content).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = b"AWS4" + credentials.secret_key.encode()
    for step in (stamp[:8], region, service, "aws4_request", text):
        key = hmac.digest(key, step.encode(), "sha256")
    credential = f"Credential={credentials.access_key}/{scope}"
    signed["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={key.hex()}"
    return signed


def _credentials_of_the_chain() -> Credentials:
    """Where no keys are in the environment (profiles, SnapStart's container credentials): botocore knows them all."""
    from botocore.session import Session

    found = Session().get_credentials()
    if found is None:
        raise AwsError("credentials", "find", "NoCredentials")
    frozen = found.get_frozen_credentials()
    return Credentials(str(frozen.access_key), str(frozen.secret_key), frozen.token)
