"""Providers' keys in a stack: one secret, a JSON object keyed by environment variable names."""

import json
import time
import uuid
from collections.abc import Callable, Mapping

from shared.shared_call import SharedCall
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError

TTL_SECONDS = 300.0


class ProviderSecret:
    """The secret's values, read again once they are older than TTL_SECONDS, so that keys can be rotated in place."""

    def __init__(self, aws: Aws, arn: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._aws = aws
        self._arn = arn
        self._clock = clock
        self._values: Mapping[str, str] | None = None
        self._expires = 0.0
        self._reading = SharedCall(self._read)

    async def values(self) -> Mapping[str, str]:
        """The values; the same object until the secret is read again. Raises AwsError until it has been read once.

        If a later read fails, the old values are kept, so that an outage of Secrets Manager does not stop the gateway.
        """
        if self._values is None or self._clock() >= self._expires:
            try:
                fresh = await self._reading.result()
            except AwsError:
                if self._values is None:
                    raise
            else:
                self._values = self._values if fresh == self._values else fresh
            self._expires = self._clock() + TTL_SECONDS
        assert self._values is not None
        return self._values

    async def change(self, changes: Mapping[str, str | None]) -> None:
        """Stores values beside the others that the secret holds, and takes out those that are None. Raises AwsError."""
        merged = {**await self._read(), **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        body = {"SecretId": self._arn, "SecretString": json.dumps(kept), "ClientRequestToken": str(uuid.uuid4())}
        await self._aws.call("secretsmanager", "PutSecretValue", body)

    async def _read(self) -> Mapping[str, str]:
        answer = await self._aws.call("secretsmanager", "GetSecretValue", {"SecretId": self._arn})
        return _parsed(answer["SecretString"])


def _parsed(text: str) -> Mapping[str, str]:
    """The secret's values. Raises AwsError, which quotes nothing of it, if it is not a JSON object of strings."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise AwsError("secretsmanager", "GetSecretValue", "NotAJsonObjectOfStrings")
    return values
