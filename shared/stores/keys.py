"""Callers' keys, held in DynamoDB by the hash of their token."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shared.schemas.caller import Key

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

MAX_TOKEN_LENGTH = 512
_CACHED_KEYS = 1000


def hash_token(token: str) -> str:
    """How a token is stored: a stolen table opens nothing. Tokens are random, so they need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


class KeyStore:
    """Looks keys up, one read each for `cache_seconds`; after that a revoked key is revoked here too."""

    def __init__(
        self,
        table: str,
        *,
        cache_seconds: float = 0.0,
        client: "Callable[[], DynamoDBClient] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._cache_seconds = cache_seconds
        self._make_client = client or _client
        self._clock = clock
        self._cache: dict[str, tuple[float, Key]] = {}

    @cached_property
    def _dynamodb(self) -> "DynamoDBClient":
        return self._make_client()

    async def find(self, token: str) -> Key | None:
        """The key of a token, or None. Whether it is still usable is for the caller to ask."""
        if len(token) > MAX_TOKEN_LENGTH:
            return None
        token_hash = hash_token(token)
        expires, key = self._cache.get(token_hash, (0.0, None))
        if key is not None and self._clock() < expires:
            return key
        found = await asyncio.to_thread(self._read, token_hash)
        if found is None:
            self._cache.pop(token_hash, None)
            return None
        if len(self._cache) >= _CACHED_KEYS:
            self._cache.pop(next(iter(self._cache)))
        self._cache[token_hash] = (self._clock() + self._cache_seconds, found)
        return found

    def _read(self, token_hash: str) -> Key | None:
        answer = self._dynamodb.get_item(TableName=self._table, Key={"token_hash": {"S": token_hash}})
        item = answer.get("Item")
        return None if item is None else Key.model_validate_json(item["key"]["S"])

    def put(self, token: str, key: Key) -> None:
        """Stores a key, or changes it."""
        item: dict[str, Any] = {
            "token_hash": {"S": hash_token(token)},
            "key_id": {"S": key.key_id},
            "key": {"S": key.model_dump_json()},
        }
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def create_table(self) -> None:
        """Makes the table in an empty embedded AWS; in a stack the template does."""
        self._dynamodb.create_table(
            TableName=self._table,
            KeySchema=[{"AttributeName": "token_hash", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "token_hash", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


def _client() -> "DynamoDBClient":
    import boto3  # slow to import: only who looks a key up pays for it

    return boto3.client("dynamodb")
