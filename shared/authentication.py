"""Who calls: from a request's headers to the key that they hold. The authorizer and the functions share it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from shared.errors import ModelUnavailable, TokenMissing, Unauthorized
from shared.schemas.caller import Key
from shared.stores.aws import AwsError
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
    """The key that a request holds.

    Raises Unauthorized for one that is unknown, expired or revoked, and ModelUnavailable where that cannot be said
    because the table of keys cannot be read.
    """
    try:
        key = await keys.find(token_of(headers))
    except AwsError as error:
        raise ModelUnavailable("Keys cannot be checked at the moment. Try again later.", retry_after=1) from error
    if key is None or not key.usable(datetime.now(UTC)):
        raise Unauthorized("The API key is not valid.")
    return key
