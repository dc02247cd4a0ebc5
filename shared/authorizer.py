"""The Lambda authorizer of type REQUEST: admits valid keys and passes the caller on to the functions.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
"""

import asyncio
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from shared.authentication import authenticate
from shared.errors import Unauthorized
from shared.routes import sends_either_key
from shared.schemas.caller import Caller, Key
from shared.settings import KeyHeader, Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore

CONTEXT_FIELD = "caller"


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answers an Allow for the whole stage. Raises exactly `Exception("Unauthorized")` for a 401, and ModelUnavailable
    where nothing can be said of the key, which the stack's AUTHORIZER_FAILURE response makes a 503.

    What a caller may do is for the functions to say, in their own dialects: API Gateway caches this answer for all
    routes, by the value of the header that the template names as the authorizer's identity source. No other header may
    count here: whoever sent the cached value would be let in as the account that another header named.
    """
    try:
        key = _runner().run(authenticate(_headers(event), _keys(), _accepted(event)))
    except Unauthorized:
        raise Exception("Unauthorized") from None  # API Gateway knows this very text
    return _allow(key, event["methodArn"])


def _accepted(event: Mapping[str, Any]) -> KeyHeader:
    """The header that may hold the key of a request; either on routes whose answers API Gateway does not cache."""
    return KeyHeader.EITHER if sends_either_key(event.get("resource") or "") else _settings().key_header


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers with lower-case names.

    Raises Unauthorized for several values of a header that may hold the key, of which API Gateway caches by one.
    """
    for name, values in (event.get("multiValueHeaders") or {}).items():
        if name.lower() in ("authorization", "x-api-key") and len(set(values)) > 1:
            raise Unauthorized("A header that holds the API key was sent twice.")
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def caller_of(event: Mapping[str, Any]) -> Caller | None:
    """The caller that the authorizer put into a function's event, if it ran."""
    authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
    text = authorizer.get(CONTEXT_FIELD)
    return Caller.model_validate_json(text) if isinstance(text, str) else None


def _allow(key: Key, method_arn: str) -> dict[str, Any]:
    api, stage = method_arn.split("/")[:2]
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{api}/{stage}/*/*"}
    caller = Caller(**{name: getattr(key, name) for name in Caller.model_fields})
    answer: dict[str, Any] = {
        "principalId": key.key_id,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {CONTEXT_FIELD: caller.model_dump_json()},
    }
    usage_key = key.usage_key or _settings().usage_key
    return answer if usage_key is None else {**answer, "usageIdentifierKey": usage_key}


@cache
def _runner() -> asyncio.Runner:
    """One event loop for the life of the process, so that connections are reused."""
    return asyncio.Runner()


@cache
def _settings() -> Settings:
    return Settings.from_environment(os.environ)


@cache
def _keys() -> KeyStore:
    # API Gateway caches for us: a key that comes here is to be looked up, if that is possible.
    return KeyStore(Aws(), _settings().keys_table, grace_seconds=_settings().key_grace)
