"""Who calls: from a request's headers to the key that they hold, and what it permits. All functions share it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from shared.errors import PermissionDenied, TokenMissing, Unauthorized
from shared.schemas.caller import Caller, Key, Permission
from shared.stores.keys import KeyStore


def token_of(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer` or, without that header, of `x-api-key`. Raises TokenMissing.

    The names in `headers` are in lower case.
    """
    authorization = headers.get("authorization")
    if authorization is None:
        token = headers.get("x-api-key", "").strip()
    else:
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
    if not token:
        raise TokenMissing("An API key is required: send 'Authorization: Bearer <key>'.")
    return token


async def authenticate(headers: Mapping[str, str], keys: KeyStore) -> Key:
    """The key that a request holds. Raises Unauthorized for one that is unknown, expired or revoked, and AwsError."""
    key = await keys.find(token_of(headers))
    if key is None or not key.usable(datetime.now(UTC)):
        raise Unauthorized("The API key is not valid.")
    return key


def require_permissions(caller: Caller, permissions: Iterable[Permission]) -> None:
    """Raises PermissionDenied that names the first of `permissions` which the caller lacks."""
    for permission in permissions:
        if permission not in caller.permissions:
            raise PermissionDenied(f"This key lacks the permission {permission}.")
