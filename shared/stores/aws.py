"""Calls AWS over one HTTP client, and makes the calls of the JSON protocol (DynamoDB, SQS, secrets).

boto3 with one client costs a cold start 300 ms and 30 MB, and it blocks.
"""

import asyncio
import hashlib
import math
import os
import time
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

    from shared.http_transport import HttpTransport
    from shared.stores.credentials import ChainedCredentials, ContainerCredentials
from pydantic_core import from_json, to_json

from shared.sigv4 import Credentials, Signer
from shared.stores.aws_calls import ATTEMPTS, NEVER_SENT, AwsError, pause_before

_RETRIED = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
    }
)
_TIMEOUT, _CONNECT = 5.0, 2.0
_KEEP_ALIVE_SECONDS = 5.0
_JSON_VERSION = {"dynamodb": "1.0", "sqs": "1.0", "secretsmanager": "1.1"}
_TARGET = {"dynamodb": "DynamoDB_20120810", "sqs": "AmazonSQS", "secretsmanager": "secretsmanager"}


@lru_cache(maxsize=16)
def _unix_time(date: str) -> float | None:
    """The seconds of a `Date` header, which all answers of one second share."""
    from email.utils import parsedate_to_datetime  # which the HTTP client has loaded by now

    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


class ServerClock:
    """What AWS's clock shows, as far as the `Date` of its answers tells: whole seconds, so that each narrows it down.

    https://www.rfc-editor.org/rfc/rfc9110#name-date
    """

    def __init__(self) -> None:
        self._ahead_least, self._ahead_most = -math.inf, math.inf

    def observe(self, sent: float, received: float, date: str | None) -> None:
        """Takes note of an answer to a call that was sent and answered at these moments of our clock, in Unix time."""
        told = _unix_time(date or "")
        if told is None:
            return
        least, most = told - received, told + 1 - sent
        self._ahead_least, self._ahead_most = max(self._ahead_least, least), min(self._ahead_most, most)
        if self._ahead_least > self._ahead_most:  # one of the clocks was set since
            self._ahead_least, self._ahead_most = least, most

    def bounds(self) -> tuple[float, float] | None:
        """Between which moments AWS's clock is now, in Unix seconds; None before the first answer."""
        now = time.time()
        return (now + self._ahead_least, now + self._ahead_most) if math.isfinite(self._ahead_least) else None


class Aws:
    """The way to AWS: region, credentials, addresses and one client, made for the event loop that first needs it."""

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._environment = environment
        self._given_transport = transport
        self._clock = clock
        self._source: ContainerCredentials | ChainedCredentials | None = None
        self._transport: HttpTransport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.server_clock = ServerClock()
        self._has_asked_time = False

    async def call(
        self,
        service: str,
        action: str,
        body: Mapping[str, Any],
        *,
        attempts: int = ATTEMPTS,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """One call of a JSON service, tried again when AWS throttles it or fails. Raises AwsError.

        `seconds` is how long each attempt may wait for its answer; None is what suits calls with small bodies.
        """
        content = to_json(body)
        may_be_done = False
        for attempt in range(attempts):
            if attempt:
                await pause_before(attempt)
            status, answer = await self._send(service, action, content, seconds)
            if status == 200:
                return answer
            code = str(answer.get("__type", status)).rpartition("#")[2]
            is_transient = status >= 500 or code in _RETRIED
            may_be_done = may_be_done or (status >= 500 and code not in NEVER_SENT)
            if not is_transient:
                break
        raise AwsError(service, action, code, answer, is_transient=is_transient, may_be_done=may_be_done)

    async def _send(
        self, service: str, action: str, content: bytes, seconds: float | None
    ) -> tuple[int, dict[str, Any]]:
        import httpx  # only who calls AWS pays for it

        url = self._address(service)
        headers = {
            "content-type": f"application/x-amz-json-{_JSON_VERSION[service]}",
            "host": urlsplit(url).netloc,
            "x-amz-target": f"{_TARGET[service]}.{action}",
        }
        signer = await self.signer(service)
        signed = signer.sign("POST", "/", {}, headers, hashlib.sha256(content).hexdigest())
        timeout = _TIMEOUT if seconds is None else seconds
        sent = time.time()
        try:
            response = await self.send("POST", url, signed, content, connect=min(timeout, _CONNECT), read=timeout)
            await response.aread()
        except httpx.HTTPError as error:
            return 503, {"__type": type(error).__name__}
        self.server_clock.observe(sent, time.time(), response.headers.get("date"))
        try:
            answer = from_json(response.content)
        except ValueError:
            answer = None
        return response.status_code, answer if isinstance(answer, dict) else {}

    async def learn_time(self) -> None:
        """Makes `server_clock` know AWS's time where no call was made yet, by one that costs nothing."""
        if self.server_clock.bounds() is None and not self._has_asked_time:
            self._has_asked_time = True
            with suppress(AwsError):  # any answer tells the time, also that we may not ask this
                await self.call("dynamodb", "DescribeEndpoints", {}, attempts=1, seconds=_CONNECT)

    async def signer(self, service: str, region: str | None = None) -> Signer:
        """What signs a call made now, in our own region unless another is given. Raises AwsError where no credentials
        can be found.
        """
        return Signer(service, region or self.region, await self._credentials(), self._clock())

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | AsyncIterable[bytes] = b"",
        *,
        connect: float = _CONNECT,
        read: float = _TIMEOUT,
    ) -> "httpx.Response":
        """A response with a body that is not read yet, and must be read or closed. Raises httpx.TransportError.

        `connect` bounds connecting, `read` each silence, in seconds.
        """
        from shared.http_transport import request_to

        timeout = {"connect": connect, "read": read}
        request = request_to(url, method, headers, content, {"timeout": timeout})
        response = await self._connections().handle_async_request(request)
        response.request = request
        return response

    def _connections(self) -> "httpx.AsyncBaseTransport":
        if self._given_transport is not None:
            return self._given_transport
        from shared.http_transport import HttpTransport

        loop = asyncio.get_running_loop()
        if self._transport is None or self._loop is not loop:
            self._loop = loop
            self._transport = HttpTransport(retries=1, keepalive_expiry=_KEEP_ALIVE_SECONDS)
        return self._transport

    @property
    def region(self) -> str:
        return self._environment.get("AWS_REGION") or self._environment.get("AWS_DEFAULT_REGION") or "us-east-1"

    @property
    def domain(self) -> str:
        """What the names of the region's services end in."""
        return "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"

    def endpoint(self, service: str) -> str | None:
        """The address set for a service as for AWS's SDKs, such as an emulator's, without a slash at the end."""
        suffix = "SECRETS_MANAGER" if service == "secretsmanager" else service.upper()
        given = self._environment.get(f"AWS_ENDPOINT_URL_{suffix}") or self._environment.get("AWS_ENDPOINT_URL")
        return given.rstrip("/") if given else None

    def _address(self, service: str) -> str:
        return (self.endpoint(service) or f"https://{service}.{self.region}.{self.domain}") + "/"

    async def _credentials(self) -> Credentials:
        access_key = self._environment.get("AWS_ACCESS_KEY_ID")
        secret_key = self._environment.get("AWS_SECRET_ACCESS_KEY")
        if access_key and secret_key:
            return Credentials(access_key, secret_key, self._environment.get("AWS_SESSION_TOKEN") or None)
        if self._source is None:
            from shared.stores.credentials import ChainedCredentials, ContainerCredentials

            container = ContainerCredentials(self._environment, self.send, self._clock)
            self._source = container if container.url else ChainedCredentials()
        return await self._source.get()

    async def aclose(self) -> None:
        if self._transport is not None and self._loop is asyncio.get_running_loop():
            await self._transport.aclose()
            self._transport = None
