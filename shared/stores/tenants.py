"""What stands for tenants in the keys of objects, which presigned URLs show."""

import hmac

from shared.stores.stack_secret import StackSecret


class TenantFolders:
    """Keyed hashes of tenants' names: a name cannot be read from a URL, nor a guessed one be confirmed by it.

    Under another key no stored object would be found.
    """

    def __init__(self, secret: StackSecret) -> None:
        self._secret = secret

    async def of(self, tenant: str) -> str:
        """20 hexadecimal digits. Raises AwsError while the secret has never been read."""
        return hmac.digest(await self._secret.get(), tenant.encode(), "sha256").hex()[:20]
