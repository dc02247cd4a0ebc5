"""What stands for tenants in the keys of objects, which presigned URLs show."""

import hmac

from shared.stores.aws import Aws


class TenantFolders:
    """Keyed hashes of tenants' names: a name cannot be read from a URL, nor a guessed one be confirmed by it.

    The hash's key is a Secrets Manager secret, read when it is first needed and then kept. It must not change: under
    another key no stored object would be found.
    """

    def __init__(self, aws: Aws, secret: str) -> None:
        self._aws = aws
        self._secret = secret
        self._key: bytes | None = None

    async def of(self, tenant: str) -> str:
        """20 hexadecimal digits. Raises AwsError while the secret has never been read."""
        if self._key is None:
            answer = await self._aws.call("secretsmanager", "GetSecretValue", {"SecretId": self._secret})
            self._key = str(answer["SecretString"]).encode()
        return hmac.digest(self._key, tenant.encode(), "sha256").hex()[:20]

    async def create_secret(self) -> None:
        """Makes the secret in an embedded AWS; in a stack the template does."""
        drawn = await self._aws.call("secretsmanager", "GetRandomPassword", {"PasswordLength": 64})
        body = {"Name": self._secret, "SecretString": drawn["RandomPassword"]}
        await self._aws.call("secretsmanager", "CreateSecret", body)
