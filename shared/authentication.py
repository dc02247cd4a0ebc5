"""Authentication: finds the key in a request's headers and checks its permissions."""

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
    """The key of a request. Raises Unauthorized if it is unknown, expired or revoked, and AwsError."""
    key = await keys.find(token_of(headers))
    if key is None or not key.usable(datetime.now(UTC)):
        raise Unauthorized("The API key is not valid.")
    return key


def require_permissions(caller: Caller, permissions: Iterable[Permission]) -> None:
    """Raises PermissionDenied naming the first of `permissions` that the caller lacks."""
    for permission in permissions:
        if permission not in caller.permissions:
            raise PermissionDenied(f"This key lacks the permission {permission}.")
