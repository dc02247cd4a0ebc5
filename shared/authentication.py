"""Authentication: finds the key in a request's headers and checks its permissions."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from shared.errors import ModelUnavailable, PermissionDenied, TokenMissing, Unauthorized
from shared.schemas.caller import Caller, Key, Permission
from shared.settings import KeyHeader
from shared.stores.aws_calls import AwsError
from shared.stores.keys import KeyStore


def token_of(headers: Mapping[str, str], accepted: KeyHeader = KeyHeader.EITHER) -> str:
    """The token in the accepted header, `Authorization: Bearer` or `x-api-key`.

    Where either is accepted, two headers with different tokens are refused: API Gateway may remember the answer to one
    of them. The names in `headers` are in lower case. Raises TokenMissing and Unauthorized.
    """
    tokens = set()
    if accepted is not KeyHeader.X_API_KEY and (authorization := headers.get("authorization", "").strip()):
        scheme, _, token = authorization.partition(" ")
        tokens.add(token.strip() if scheme.lower() == "bearer" else "")
    if accepted is not KeyHeader.AUTHORIZATION and (token := headers.get("x-api-key", "").strip()):
        tokens.add(token)
    if len(tokens) > 1:
        raise Unauthorized("The headers Authorization and x-api-key hold different keys: send one of them.")
    token = next(iter(tokens), "")
    if not token:
        wanted = "x-api-key: <key>" if accepted is KeyHeader.X_API_KEY else "Authorization: Bearer <key>"
        raise TokenMissing(f"An API key is required: send '{wanted}'.")
    return token


async def authenticate(headers: Mapping[str, str], keys: KeyStore, accepted: KeyHeader = KeyHeader.EITHER) -> Key:
    """The key that a request holds.

    Raises Unauthorized for one that is unknown, expired or revoked, and ModelUnavailable where that cannot be said
    because the table of keys cannot be read.
    """
    try:
        key = await keys.find(token_of(headers, accepted))
    except AwsError as error:
        raise ModelUnavailable("Keys cannot be checked at the moment. Try again later.", retry_after=1) from error
    if key is None or not key.usable(datetime.now(UTC)):
        raise Unauthorized("The API key is not valid.")
    return key


def require_permissions(caller: Caller, permissions: Iterable[Permission]) -> None:
    """Raises PermissionDenied naming the first of `permissions` that the caller lacks."""
    for permission in permissions:
        if permission not in caller.permissions:
            raise PermissionDenied(f"This key lacks the permission {permission}.")
