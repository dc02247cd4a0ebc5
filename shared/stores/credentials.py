"""Finds credentials where the environment holds none, and keeps them until they expire.

Loaded only then: Lambda puts a role's credentials into the environment, except with SnapStart, where a container
endpoint hands them out, as on ECS. Elsewhere (an operator's profile) botocore knows where to look.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.shared_call import SharedCall
from shared.sigv4 import Credentials
from shared.stores.aws_calls import ATTEMPTS, AwsError, pause_before

if TYPE_CHECKING:
    import httpx
    from botocore.credentials import Credentials as BotocoreCredentials

# The endpoint hands out new credentials before the old ones expire; URLs that they sign die with them.
_RENEWED_BEFORE = timedelta(minutes=5)
_ECS = "http://169.254.170.2"
_TIMEOUT = 2.0


class ContainerCredentials:
    """The credentials of the endpoint that the environment names."""

    def __init__(
        self,
        environment: Mapping[str, str],
        send: "Callable[..., Awaitable[httpx.Response]]",
        clock: Callable[[], datetime],
    ) -> None:
        self._environment = environment
        self._send = send
        self._clock = clock
        self._found: Credentials | None = None
        self._expires: datetime | None = None
        self._asking = SharedCall(self._asked)

    @property
    def url(self) -> str | None:
        """Where the endpoint is, None where there is none."""
        if relative := self._environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return _ECS + relative
        return self._environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")

    async def get(self) -> Credentials:
        """The same until shortly before they expire. Raises AwsError while there are none that are valid."""
        if self._found is not None and not self._ends_within(_RENEWED_BEFORE):
            return self._found
        try:
            answer = await self._asking.result()
        except AwsError:
            if self._found is None or self._ends_within(timedelta(0)):
                raise
            return self._found
        self._found = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("Token"))
        ends = answer.get("Expiration")
        self._expires = None if ends is None else datetime.fromisoformat(ends)
        return self._found

    def _ends_within(self, time: timedelta) -> bool:
        return self._expires is not None and self._clock() >= self._expires - time

    async def _asked(self) -> dict[str, Any]:
        import httpx

        assert self.url is not None
        headers = self._authorization()
        code = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await pause_before(attempt)
            try:
                response = await self._send("GET", self.url, headers, connect=_TIMEOUT, read=_TIMEOUT)
                await response.aread()
                if response.is_success:
                    return dict(response.json())
                code = str(response.status_code)
                if response.status_code < 500:
                    break
            except (httpx.HTTPError, ValueError) as error:
                code = type(error).__name__
        raise AwsError("credentials", "get", code)

    def _authorization(self) -> dict[str, str]:
        file = self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        # The file's content changes, and is short.
        token = Path(file).read_text("utf-8") if file else self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        return {"authorization": token.strip()} if token else {}


class ChainedCredentials:
    """The credentials of botocore's chain: one session, which renews them itself."""

    def __init__(self) -> None:
        self._found: BotocoreCredentials | None = None
        self._one_at_a_time = threading.Lock()

    async def get(self) -> Credentials:
        """Raises AwsError where there are none."""
        return await asyncio.to_thread(self._get)

    def _get(self) -> Credentials:
        with self._one_at_a_time:
            if self._found is None:
                from botocore.session import Session

                session = Session()
                # Looked for already; in a local run, the variables are those of the embedded AWS by now.
                session.get_component("credential_provider").remove("env")
                self._found = session.get_credentials()
            if self._found is None:
                raise AwsError("credentials", "find", "NoCredentials")
            frozen = self._found.get_frozen_credentials()
        return Credentials(str(frozen.access_key), str(frozen.secret_key), frozen.token)
