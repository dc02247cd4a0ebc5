"""The stack's own secret, from which keys are derived that must never change."""

from shared.shared_call import SharedCall
from shared.stores.aws import Aws


class StackSecret:
    """A Secrets Manager secret that the template draws at random; read when it is first needed, and then kept."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws = aws
        self._name = name
        self._value: bytes | None = None
        self._reading = SharedCall(self._read)

    async def get(self) -> bytes:
        """The secret. Raises AwsError while it has never been read."""
        if self._value is None:
            self._value = await self._reading.result()
        return self._value

    async def _read(self) -> bytes:
        answer = await self._aws.call("secretsmanager", "GetSecretValue", {"SecretId": self._name})
        return str(answer["SecretString"]).encode()

    async def create(self) -> None:
        """Makes the secret in an embedded AWS; in a stack the template does."""
        drawn = await self._aws.call("secretsmanager", "GetRandomPassword", {"PasswordLength": 64})
        body = {"Name": self._name, "SecretString": drawn["RandomPassword"]}
        await self._aws.call("secretsmanager", "CreateSecret", body)
